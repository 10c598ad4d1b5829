//! Changes of tasks' states, for those who count them and those who watch.

use std::time::Duration;

use jiff::Timestamp;
use slamon_protocol::PostTask;
use uuid::Uuid;

use crate::task::{Attempt, AttemptEnd, End, State};

/// A change of a task's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// The task.
    pub task_id: Uuid,
    /// The process instance it belongs to.
    pub test_id: Uuid,
    /// Its type.
    pub task_type: String,
    /// The version of the type.
    pub task_version: i64,
    /// When it happened.
    pub at: Timestamp,
    /// The state before; `None`: the task was posted.
    pub from: Option<StateName>,
    /// The state after.
    pub to: StateName,
    /// The agent that executes the task now, or did until now.
    pub agent_id: Option<Uuid>,
    /// How the attempt ended, if one did that did not finish the task.
    pub attempt_end: Option<AttemptEndName>,
    /// How long the task had waited for its first attempt, which begins with this change: without the delay
    /// that its client asked for.
    pub queued_for: Option<Duration>,
    /// How long the attempt took that ended with this change.
    pub ran_for: Option<Duration>,
    /// How long the life of the task was, which ended with this change.
    pub lived_for: Option<Duration>,
}

/// The state of a task, without what belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StateName {
    /// [`State::Delayed`].
    Delayed,
    /// [`State::Pending`].
    Pending,
    /// [`State::Claimed`].
    Claimed,
    /// [`End::Completed`].
    Completed,
    /// [`End::Failed`].
    Failed,
    /// [`End::Lost`].
    Lost,
    /// [`End::TimedOut`].
    TimedOut,
    /// [`End::Expired`].
    Expired,
    /// [`End::Cancelled`].
    Cancelled,
}

/// How an attempt ended, without what belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AttemptEndName {
    /// [`AttemptEnd::Error`].
    Error,
    /// [`AttemptEnd::Lost`].
    Lost,
    /// [`AttemptEnd::Abandoned`].
    Abandoned,
    /// [`AttemptEnd::TimedOut`].
    TimedOut,
    /// [`AttemptEnd::Expired`].
    Expired,
    /// [`AttemptEnd::Cancelled`].
    Cancelled,
}

impl StateName {
    /// All states.
    pub const ALL: [Self; 9] = [
        Self::Delayed,
        Self::Pending,
        Self::Claimed,
        Self::Completed,
        Self::Failed,
        Self::Lost,
        Self::TimedOut,
        Self::Expired,
        Self::Cancelled,
    ];

    /// The name of the state as text. It tells apart how a task failed, which protocol 1 does not.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delayed => "delayed",
            Self::Pending => "pending",
            Self::Claimed => "claimed",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Lost => "lost",
            Self::TimedOut => "timed_out",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the task has ended.
    #[must_use]
    pub fn is_end(self) -> bool {
        !matches!(self, Self::Delayed | Self::Pending | Self::Claimed)
    }
}

impl AttemptEndName {
    /// The name as text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Lost => "lost",
            Self::Abandoned => "abandoned",
            Self::TimedOut => "timed_out",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }
}

impl From<&State> for StateName {
    fn from(state: &State) -> Self {
        match state {
            State::Delayed { .. } => Self::Delayed,
            State::Pending => Self::Pending,
            State::Claimed(_) => Self::Claimed,
            State::Ended { end, .. } => match end {
                End::Completed(_) => Self::Completed,
                End::Failed(_) => Self::Failed,
                End::Lost(_) => Self::Lost,
                End::TimedOut(_) => Self::TimedOut,
                End::Expired(_) => Self::Expired,
                End::Cancelled(_) => Self::Cancelled,
            },
        }
    }
}

impl From<&AttemptEnd> for AttemptEndName {
    fn from(end: &AttemptEnd) -> Self {
        match end {
            AttemptEnd::Error(_) => Self::Error,
            AttemptEnd::Lost => Self::Lost,
            AttemptEnd::Abandoned => Self::Abandoned,
            AttemptEnd::TimedOut => Self::TimedOut,
            AttemptEnd::Expired => Self::Expired,
            AttemptEnd::Cancelled => Self::Cancelled,
        }
    }
}

impl Transition {
    /// The post of a task, which is in this state now.
    pub(crate) fn posted(posted: &PostTask, state: &State, now: Timestamp) -> Self {
        Self::new(posted, None, state.into(), now)
    }

    /// A claim, by which this attempt of a task began that was posted at `created`.
    #[must_use]
    pub fn claimed(posted: &PostTask, created: Timestamp, attempt: &Attempt) -> Self {
        let waited = || elapsed(created, attempt.at).saturating_sub(posted.terms.delay);
        Self {
            agent_id: Some(attempt.agent_id),
            queued_for: (attempt.number == 1).then(waited),
            ..Self::new(posted, Some(StateName::Pending), StateName::Claimed, attempt.at)
        }
    }

    /// Any other change, `from` a state `to` another, of a task that was posted at `created`.
    pub(crate) fn changed(
        posted: &PostTask,
        created: Timestamp,
        from: &State,
        to: &State,
        attempt_end: Option<&AttemptEnd>,
        now: Timestamp,
    ) -> Self {
        let (before, after) = (StateName::from(from), StateName::from(to));
        let ran = if let State::Claimed(attempt) = from { Some(attempt) } else { None };
        // A task that was released waits as if the attempt had not been.
        let is_released = after == StateName::Pending && attempt_end.is_none();
        Self {
            agent_id: ran.map(|attempt| attempt.agent_id),
            attempt_end: attempt_end.map(AttemptEndName::from),
            ran_for: ran.filter(|_| !is_released).map(|attempt| elapsed(attempt.at, now)),
            lived_for: after.is_end().then(|| elapsed(created, now)),
            ..Self::new(posted, Some(before), after, now)
        }
    }

    fn new(posted: &PostTask, from: Option<StateName>, to: StateName, at: Timestamp) -> Self {
        Self {
            test_id: posted.test_id,
            task_type: posted.task_type.clone(),
            task_version: posted.task_version,
            ..Self::of(posted.task_id, from, to, at)
        }
    }

    /// A change of a task of which nothing else is known.
    #[must_use]
    pub fn of(task_id: Uuid, from: Option<StateName>, to: StateName, at: Timestamp) -> Self {
        Self {
            task_id,
            test_id: Uuid::nil(),
            task_type: String::new(),
            task_version: 0,
            at,
            from,
            to,
            agent_id: None,
            attempt_end: None,
            queued_for: None,
            ran_for: None,
            lived_for: None,
        }
    }
}

fn elapsed(from: Timestamp, to: Timestamp) -> Duration {
    // A clock may have been set back.
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}
