//! The ways to change what a store holds, and what comes of each.

use std::time::Duration;

use jiff::Timestamp;
use slamon_protocol::{JsonText, PollRequest, PostTask, ResultPost};
use uuid::Uuid;

use crate::{Attempt, KindCursor, QueueCursor, State, Task, WaitingKind};

/// One change. There is no other way to change anything.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// A client posts a task.
    Submit(PostTask),
    /// An agent says that it is there and asks for work.
    Poll {
        /// What it says of itself, and asks.
        poll: PollRequest,
        /// Where there may be tasks for it, as in [`Command::Claim`]; `None`: that is not known.
        kinds: Option<Vec<KindCursor>>,
        /// What it says that it is executing, if it says so: of what it was given before, the rest is lost.
        running: Option<Running>,
    },
    /// An agent asks for work, of whom all else is known: what it offers, when it was seen, and that it has nothing to
    /// be told.
    Claim {
        /// What it asks.
        poll: PollRequest,
        /// Where there may be tasks for it. All of these are of its capabilities, and their filters match it.
        kinds: Vec<KindCursor>,
    },
    /// An agent posts what came out of a task.
    Report(ResultPost),
    /// A client does not want a task any more.
    Cancel(Uuid),
    /// Tasks were handed out, but the answer that carried them was never sent: they wait again.
    Release {
        /// The agent that never got them.
        agent_id: Uuid,
        /// When they were claimed: tells this claim from a later one of the same agent.
        claimed_at: Timestamp,
        /// The tasks.
        task_ids: Vec<Uuid>,
        /// What it was told that is not wanted any more, by the ids that it knows: it is told again.
        cancelled: Vec<Uuid>,
    },
    /// Agents were seen, at these times: they polled, said nothing new and were told that there is nothing, or the store has
    /// given it back in [`Applied::heartbeats`].
    Seen(Vec<(Uuid, Timestamp)>),
    /// Time has passed.
    Sweep(Sweep),
}

impl Command {
    /// The poll that asks for work, if one does.
    #[must_use]
    pub fn poll(&self) -> Option<&PollRequest> {
        match self {
            Self::Poll { poll, .. } | Self::Claim { poll, .. } => Some(poll),
            _ => None,
        }
    }
}

impl From<PollRequest> for Command {
    /// A poll of which nothing is known.
    fn from(poll: PollRequest) -> Self {
        Self::Poll { poll, kinds: None, running: None }
    }
}

/// What an agent that polls says that it is executing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Attempts, by the ids that it was handed.
    pub aliases: Vec<Uuid>,
    /// Of an attempt that was claimed later it need not have known yet.
    pub until: Timestamp,
}

impl Running {
    /// What the agents that poll in a batch say, in the order of their polls.
    pub fn of(batch: &[Command]) -> impl Iterator<Item = (Uuid, &Self)> {
        batch.iter().filter_map(|command| match command {
            Command::Poll { poll, running: Some(running), .. } => Some((poll.agent_id, running)),
            _ => None,
        })
    }

    /// Whether the agent says that it executes an attempt.
    #[must_use]
    pub fn names(&self, attempt: &Attempt) -> bool {
        self.aliases.contains(&attempt.alias)
    }
}

/// What to look for when time has passed. What is left over is done by the next sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sweep {
    /// The most tasks, and the most agents, to change at once.
    pub limit: u32,
    /// Agents silent for longer are lost, and their attempts end; `None`: nobody is.
    pub lost_after: Option<Duration>,
    /// Agents silent for longer are forgotten; `None`: nobody is.
    pub forget_after: Option<Duration>,
    /// Tasks that ended longer ago are deleted; `None`: none are.
    pub delete_after: Option<Duration>,
    /// When agents were seen, where that may not be saved: these are not as silent as they look.
    pub heartbeats: Vec<(Uuid, Timestamp)>,
}

/// What came of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applied {
    /// What each command is replied.
    pub replies: Replies,
    /// One for each task that waits now and did not before, with its place: whoever holds a poll open for it can ask again.
    pub waiting: Vec<KindCursor>,
    /// Of the kinds that polls were looked for in, in the order that they were, where tasks may still wait as this batch
    /// leaves it; `None`: nowhere.
    pub searched: Vec<(WaitingKind, Option<QueueCursor>)>,
    /// Tasks that ended: whoever waits for them can read them.
    pub ended: Vec<Uuid>,
    /// Agents that have something to be told: a task that they have is not wanted any more.
    pub pending_cancellations: Vec<Uuid>,
    /// Agents that said what they execute, and had nothing else before they were given what this batch gives them.
    pub accounted: Vec<Uuid>,
    /// How many attempts ended because their agent did not say that it executes them.
    pub abandoned: usize,
    /// Agents that were seen, and when, where that is not saved: whoever has batches applied keeps it and gives it back in a
    /// [`Command::Seen`] before a sweep looks for silent agents.
    pub heartbeats: Vec<(Uuid, Timestamp)>,
    /// Agents that polled, and of whom what they said could not be saved: somebody else has locked it. Their next poll
    /// says it again.
    pub unsaved: Vec<Uuid>,
}

/// What the commands of a batch are replied: of each kind, one reply a command, in the order of the commands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Replies {
    /// Of each [`Command::Submit`].
    pub submits: Vec<Reply<Result<Submitted, Refusal>>>,
    /// Of each [`Command::Poll`] and [`Command::Claim`].
    pub polls: Vec<Reply<Polled>>,
    /// Of each [`Command::Report`].
    pub reports: Vec<Reply<Result<Reported, Refusal>>>,
    /// Of each [`Command::Cancel`].
    pub cancels: Vec<Reply<Cancelled>>,
    /// Of each [`Command::Release`]: how many tasks wait again.
    pub releases: Vec<Reply<usize>>,
    /// Of each [`Command::Seen`]: those of the agents that are not known, or not any more.
    pub seen: Vec<Reply<Vec<Uuid>>>,
    /// Of each [`Command::Sweep`].
    pub sweeps: Vec<Reply<Swept>>,
}

/// What one command is replied.
pub type Reply<T> = Result<T, Locked>;

/// Somebody else has locked a row that a command would have to wait for. The command has changed nothing (a release: all
/// but the tasks that are locked), and may be given again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Locked;

/// What a cancel is replied: the task as it is now; `None` if there is none with this id.
pub type Cancelled = Option<Result<Box<Task>, Refusal>>;

/// What a poll brings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Polled {
    /// The tasks that are now the agent's, by priority, then oldest first.
    pub tasks: Vec<Delivery>,
    /// The ids, as they were handed out to this agent, of tasks that were cancelled or expired since, and that it
    /// has not been told of.
    pub cancelled: Vec<Uuid>,
}

/// A task on its way to the agent that claimed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The task's own id, which the agent need not know.
    pub task_id: Uuid,
    /// The id that the agent gets, and posts its result under.
    pub alias: Uuid,
    /// Its type.
    pub task_type: String,
    /// The version of the type.
    pub task_version: i64,
    /// What its client sent along.
    pub task_data: Option<JsonText>,
    /// From 1.
    pub attempt: u32,
    /// When a result is too late: the end of the attempt or of the TTL, whichever is sooner.
    pub deadline: Option<Timestamp>,
}

impl Delivery {
    /// A task that is on its way, with its data; `None` if it is not claimed.
    #[must_use]
    pub fn of(task: Task) -> Option<Self> {
        // What time changes first about a claimed task is that it is too late.
        let deadline = task.due();
        let State::Claimed(attempt) = task.state else { return None };
        Some(Self {
            task_id: task.posted.task_id,
            alias: attempt.alias,
            task_type: task.posted.task_type,
            task_version: task.posted.task_version,
            task_data: task.posted.task_data,
            attempt: attempt.number,
            deadline,
        })
    }
}

/// A task was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submitted {
    /// It is new.
    Stored,
    /// The same task was there already; nothing changed.
    Repeated,
}

/// A result was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reported {
    /// It ended the attempt.
    Stored,
    /// The same result was there already; nothing changed.
    Repeated,
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Tasks that time changed: expired, timed out, or due to be handed out.
    pub settled: u64,
    /// Attempts that ended because their agent was lost.
    pub lost: u64,
    /// Agents forgotten.
    pub forgotten: u64,
    /// Tasks deleted.
    pub deleted: u64,
    /// Whether a limit was reached, so that there may be more to do at once.
    pub more: bool,
    /// When time will next change a task; `None`: nothing is known to be due.
    pub next_due: Option<Timestamp>,
}

/// Why a command changed nothing; the message is for whoever sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Submit: another task has this id.
    #[error("task_id: is taken by a task that differs in {0}")]
    IdTaken(&'static str),
    /// Submit: an attempt of another task was handed out under this id.
    #[error("task_id: is the id under which an attempt of another task was handed out")]
    IdOfAttempt,
    /// Report: no such task.
    #[error("task_id: no task has this id")]
    UnknownTask,
    /// Report: nobody has claimed the task.
    #[error("task_id: the task has not been claimed by an agent")]
    NotClaimed,
    /// Report: the attempt is another agent's.
    #[error("agent_id: the task is another agent's")]
    AnotherAgent,
    /// Report: the task has another result.
    #[error("task_id: the task is finished already, with another result")]
    AlreadyFinished,
    /// Report: the attempt had ended by then. The result is kept with it.
    #[error("task_id: the result came too late, attempt {0} had ended; it is kept for the operator to read")]
    TooLate(u32),
    /// Cancel: the task is finished.
    #[error("the task is finished already")]
    CannotCancel,
}
