//! The ways to change what a store holds, and what comes of each.

use jiff::Timestamp;
use slamon_protocol::{JsonText, PollRequest, PostTask, ResultPost};
use uuid::Uuid;

/// One change. There is no other way to change anything.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// A client posts a task.
    Submit(PostTask),
    /// An agent says that it is there and asks for work.
    Poll(PollRequest),
    /// An agent posts what came out of a task.
    Report(ResultPost),
    /// Tasks were handed out, but the answer that carried them was never sent: they wait again.
    Release {
        /// The agent that never got them.
        agent_id: Uuid,
        /// When they were claimed: tells this claim from a later one of the same agent.
        claimed_at: Timestamp,
        /// The tasks.
        task_ids: Vec<Uuid>,
    },
}

/// What came of one command; the variants go with those of [`Command`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Of [`Command::Submit`].
    Submit(Result<Submitted, Refusal>),
    /// Of [`Command::Poll`]: the tasks that are now the agent's, oldest first.
    Poll(Vec<Delivery>),
    /// Of [`Command::Report`].
    Report(Result<Reported, Refusal>),
    /// Of [`Command::Release`]: how many tasks wait again.
    Release(usize),
}

/// A task on its way to the agent that claimed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Which task.
    pub task_id: Uuid,
    /// Its type.
    pub task_type: String,
    /// The version of the type.
    pub task_version: i64,
    /// What its client sent along.
    pub task_data: Option<JsonText>,
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
    /// It ended the task.
    Stored,
    /// The same result was there already; nothing changed.
    Repeated,
}

/// Why a command changed nothing; the message is for whoever sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Submit: another task has this id.
    #[error("task_id: is taken by a task that differs in {0}")]
    IdTaken(&'static str),
    /// Report: no such task.
    #[error("task_id: no task has this id")]
    UnknownTask,
    /// Report: nobody has claimed the task.
    #[error("task_id: the task has not been claimed by an agent")]
    NotClaimed,
    /// Report: the task has another result.
    #[error("task_id: the task is finished already, with another result")]
    AlreadyFinished,
}
