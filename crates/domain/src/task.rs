//! A task and the states of its life.

use jiff::Timestamp;
use slamon_protocol::{JsonText, PostTask, TaskOutcome};
use uuid::Uuid;

/// A task as a store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// What its client posted.
    pub posted: PostTask,
    /// When it was posted.
    pub created: Timestamp,
    /// How often it has been handed out.
    pub attempts: u32,
    /// Its state.
    pub state: State,
}

/// The state of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It waits until it may be handed out.
    Delayed {
        /// When it becomes pending.
        until: Timestamp,
    },
    /// It waits for an agent.
    Pending,
    /// An agent executes it.
    Claimed(Attempt),
    /// It has ended for good.
    Ended {
        /// When it ended.
        at: Timestamp,
        /// The last attempt, if there was one.
        last: Option<Attempt>,
        /// How it ended.
        end: End,
    },
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// An agent posted this result: a JSON object.
    Completed(JsonText),
    /// An agent posted this error: a JSON string.
    Failed(JsonText),
    /// Its agent fell silent or has abandoned it, and it may not be tried again. The error is a JSON string.
    Lost(JsonText),
    /// Its last attempt took too long.
    TimedOut(JsonText),
    /// It was not finished within its TTL.
    Expired(JsonText),
    /// Its client did not want it any more.
    Cancelled(JsonText),
}

/// One execution of a task by one agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Its number, from 1.
    pub number: u32,
    /// The id under which the agent knows the task: the task's own for the first attempt, a fresh one for
    /// each further, so that a late result can be told from one that counts.
    pub alias: Uuid,
    /// The agent that executes it.
    pub agent_id: Uuid,
    /// The name that the agent had then.
    pub agent_name: String,
    /// When it was handed out.
    pub at: Timestamp,
    /// When it times out.
    pub deadline: Option<Timestamp>,
}

/// An attempt that has ended without finishing its task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedAttempt {
    /// The attempt.
    pub attempt: Attempt,
    /// When it ended.
    pub at: Timestamp,
    /// How it ended.
    pub end: AttemptEnd,
}

/// How an attempt ended that did not finish its task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptEnd {
    /// The agent posted this error, a JSON string, and the task may be tried again.
    Error(JsonText),
    /// The agent fell silent.
    Lost,
    /// The agent polled, and did not name it among the attempts that it executes.
    Abandoned,
    /// The attempt took longer than its timeout.
    TimedOut,
    /// The task's TTL ran out.
    Expired,
    /// The task was cancelled.
    Cancelled,
}

impl Task {
    /// When time alone will change this task next; `None`: never.
    #[must_use]
    pub fn due(&self) -> Option<Timestamp> {
        self.state.due(self.expires())
    }

    /// When the TTL of the task runs out.
    #[must_use]
    pub fn expires(&self) -> Option<Timestamp> {
        expires(&self.posted, self.created)
    }

    /// How many attempts have ended without finishing it: those that `Store::attempts` reads.
    #[must_use]
    pub fn ended_attempts(&self) -> u32 {
        match &self.state {
            State::Claimed(_) | State::Ended { end: End::Completed(_) | End::Failed(_), .. } => {
                self.attempts.saturating_sub(1)
            }
            State::Delayed { .. } | State::Pending | State::Ended { .. } => self.attempts,
        }
    }

    /// The attempt that runs, or the last one that ran.
    #[must_use]
    pub fn last_attempt(&self) -> Option<&Attempt> {
        match &self.state {
            State::Claimed(attempt) => Some(attempt),
            State::Ended { last, .. } => last.as_ref(),
            State::Delayed { .. } | State::Pending => None,
        }
    }
}

/// When the TTL of a task runs out that is posted at `created`.
pub fn expires(posted: &PostTask, created: Timestamp) -> Option<Timestamp> {
    posted.terms.ttl.and_then(|ttl| created.checked_add(ttl).ok())
}

impl State {
    /// When time alone will change a task in this state next, whose TTL runs out at `expires`.
    pub fn due(&self, expires: Option<Timestamp>) -> Option<Timestamp> {
        let earlier = |other: Option<Timestamp>| expires.into_iter().chain(other).min();
        match self {
            Self::Delayed { until } => earlier(Some(*until)),
            Self::Pending => expires,
            Self::Claimed(attempt) => earlier(attempt.deadline),
            Self::Ended { .. } => None,
        }
    }

    /// The name of the state, for clients.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Delayed { .. } => "delayed",
            Self::Pending => "pending",
            Self::Claimed(_) => "claimed",
            Self::Ended { end, .. } => match end {
                End::Completed(_) => "completed",
                End::Failed(_) | End::Lost(_) | End::TimedOut(_) => "failed",
                End::Expired(_) => "expired",
                End::Cancelled(_) => "cancelled",
            },
        }
    }
}

impl End {
    /// Gives the result, or else the error.
    ///
    /// # Errors
    /// The error, as a JSON string.
    pub fn outcome(&self) -> Result<&JsonText, &JsonText> {
        match self {
            Self::Completed(result) => Ok(result),
            Self::Failed(error)
            | Self::Lost(error)
            | Self::TimedOut(error)
            | Self::Expired(error)
            | Self::Cancelled(error) => Err(error),
        }
    }
}

impl AttemptEnd {
    /// Whether the agent has to be told, because it still executes the attempt for nothing.
    #[must_use]
    pub fn is_to_be_told(&self) -> bool {
        matches!(self, Self::Expired | Self::Cancelled)
    }
}

/// A result that came after its attempt had ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LateResult {
    /// When it came.
    pub at: Timestamp,
    /// What the agent posted.
    pub outcome: TaskOutcome,
}
