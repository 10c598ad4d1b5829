//! Commands, and the replies to them.

use std::time::Duration;

use jiff::Timestamp;
use slamon_protocol::{JsonText, PollRequest, PostTask, ResultPost};
use uuid::Uuid;

use crate::cursor::{KindCursor, QueueCursor, WaitingKind};
use crate::operation::{MAX_PAUSES, Operation};
use crate::task::{Attempt, State, Task};
use crate::transition::Transition;

/// One change that a store is asked for. There is no other way to change anything.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// A client posts a task.
    Submit(PostTask),
    /// An agent says that it is there and asks for work.
    Poll {
        /// What the agent says of itself, and asks for.
        poll: PollRequest,
        /// The kinds of which there may be tasks for it, as in [`Command::Claim`]; `None`: that is not known.
        kinds: Option<Vec<KindCursor>>,
        /// What it says that it executes, if it says so: of what it was given before, the rest is lost.
        running: Option<Running>,
    },
    /// An agent asks for work of which all else is known: what it offers, when it was seen, and that it has
    /// no pending cancellations.
    Claim {
        /// What the agent asks for.
        poll: PollRequest,
        /// The kinds of which there may be tasks for it, with where to look. It offers all of them, and their
        /// filters match it.
        kinds: Vec<KindCursor>,
    },
    /// An agent posts what came out of a task.
    Report(ResultPost),
    /// A client does not want a task any more.
    Cancel(Uuid),
    /// Tasks were handed out, but their agent never got the answer: they wait again.
    Release {
        /// The agent that never got them.
        agent_id: Uuid,
        /// When they were claimed, which tells this claim from a later one of the same agent.
        claimed_at: Timestamp,
        /// The tasks.
        task_ids: Vec<Uuid>,
        /// The cancellations that it was told of in that answer, by the ids that it knows: it is told again.
        cancelled: Vec<Uuid>,
    },
    /// Agents were seen at these times: they polled, said nothing new and were told that there is nothing, or
    /// the store has given the times back in [`Applied::heartbeats`].
    Seen(Vec<(Uuid, Timestamp)>),
    /// Time has passed.
    Sweep(Sweep),
    /// An operator pauses or resumes an agent or a type, or forgets an agent.
    Operate(Operation),
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
    /// Makes the command of a poll of which nothing is known.
    fn from(poll: PollRequest) -> Self {
        Self::Poll { poll, kinds: None, running: None }
    }
}

/// What an agent that polls says that it executes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// The attempts, by the ids that the agent was handed.
    pub aliases: Vec<Uuid>,
    /// The time from which on it need not have known of attempts that it claimed.
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

/// What a sweep looks for. What is left over is done by the next sweep.
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
    /// The times at which agents were seen, where these may not be saved: such agents are not as silent as
    /// they look.
    pub heartbeats: Vec<(Uuid, Timestamp)>,
}

/// What applying a batch has brought.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applied {
    /// The reply to each command.
    pub replies: Replies,
    /// One entry for each task that waits now and did not before, with its place: whoever holds a poll open
    /// for it can ask again.
    pub waiting: Vec<KindCursor>,
    /// For each kind that was searched for polls, in their order, the place from which on tasks may still
    /// wait after this batch; `None`: none do.
    pub searched: Vec<(WaitingKind, Option<QueueCursor>)>,
    /// The number of the commit, as the store numbers them: by it a count of tasks knows what it has seen.
    pub commit: Option<u64>,
    /// How the states of tasks changed, in the order of the changes.
    pub transitions: Vec<Transition>,
    /// The tasks that ended: whoever waits for them can read them.
    pub ended: Vec<Uuid>,
    /// The agents that have pending cancellations by this batch.
    pub pending_cancellations: Vec<Uuid>,
    /// The agents that said what they execute, and had nothing else before they were given what this batch
    /// gives them.
    pub accounted: Vec<Uuid>,
    /// How many attempts ended because their agent did not say that it executes them.
    pub abandoned: usize,
    /// The times at which agents were seen, where these are not saved: whoever has batches applied keeps
    /// them, and gives them back in a [`Command::Seen`] before a sweep looks for silent agents.
    pub heartbeats: Vec<(Uuid, Timestamp)>,
    /// Whether pauses may have changed: whoever holds them in memory reads them again.
    pub pauses_changed: bool,
    /// The agents whose polls could not be saved, because another session has locked their rows. Their next
    /// poll says the same again.
    pub unsaved: Vec<Uuid>,
}

/// The replies to the commands of a batch: for each kind of command a list, with one reply for each command,
/// in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Replies {
    /// The reply to each [`Command::Submit`].
    pub submits: Vec<Reply<Result<Submitted, Refusal>>>,
    /// The reply to each [`Command::Poll`] and [`Command::Claim`].
    pub polls: Vec<Reply<Polled>>,
    /// The reply to each [`Command::Report`].
    pub reports: Vec<Reply<Result<Reported, Refusal>>>,
    /// The reply to each [`Command::Cancel`].
    pub cancels: Vec<Reply<Cancelled>>,
    /// The reply to each [`Command::Release`]: how many tasks wait again.
    pub releases: Vec<Reply<usize>>,
    /// The reply to each [`Command::Seen`]: which of the agents are not known, or not any more.
    pub seen: Vec<Reply<Vec<Uuid>>>,
    /// The reply to each [`Command::Sweep`].
    pub sweeps: Vec<Reply<Swept>>,
    /// The reply to each [`Command::Operate`].
    pub operations: Vec<Reply<Operated>>,
}

/// The reply to one command.
pub type Reply<T> = Result<T, Locked>;

/// Another session has locked a row that a command would have to wait for. The command has changed nothing (a
/// release: nothing of the tasks that are locked), and may be given again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Locked;

/// The reply to a cancel: the task as it is now; `None` if there is none with this id.
pub type Cancelled = Option<Result<Box<Task>, Refusal>>;

/// The reply to an operation: since when its target is paused; `None` if it is not.
pub type Operated = Result<Option<Timestamp>, Refusal>;

/// The reply to a poll.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Polled {
    /// The tasks that are now the agent's, by priority, then oldest first.
    pub tasks: Vec<Delivery>,
    /// The ids, as this agent was handed them, of tasks that were cancelled or have expired since, and of
    /// which it has not been told.
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
    /// The data that its client has posted.
    pub task_data: Option<JsonText>,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// When a result is too late: at the end of the attempt or of the TTL, whichever is sooner.
    pub deadline: Option<Timestamp>,
}

impl Delivery {
    /// Makes the delivery of a task with its data; `None` if the task is not claimed.
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

/// The reply to a post that was not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submitted {
    /// The task is new.
    Stored,
    /// The same task was there already; nothing changed.
    Repeated,
}

/// The reply to a result that was not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reported {
    /// The result ended the attempt.
    Stored,
    /// The same result was there already; nothing changed.
    Repeated,
}

/// The reply to a sweep: what it has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// How many tasks time has changed: they expired, timed out, or became due to be handed out.
    pub settled: u64,
    /// How many attempts ended because their agent was lost.
    pub lost: u64,
    /// How many agents were forgotten.
    pub forgotten: u64,
    /// How many tasks were deleted.
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
    /// Pause, resume or forget: no such agent.
    #[error("agent_id: no agent has this id")]
    UnknownAgent,
    /// Forget: the agent executes tasks.
    #[error("agent_id: the agent executes tasks; it can be forgotten once they have ended")]
    AgentExecutes,
    /// Pause: there is no room for another pause.
    #[error("there are {MAX_PAUSES} pauses already; end others first")]
    TooManyPauses,
    /// Resume of one version: all versions are paused.
    #[error("task_type: is paused in all its versions; resume the type")]
    AllVersionsPaused,
}
