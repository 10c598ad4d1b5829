//! A task and the states of its life.

use jiff::Timestamp;
use slamon_protocol::{JsonText, PostTask};
use uuid::Uuid;

/// A task as a store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// What its client posted.
    pub posted: PostTask,
    /// When it was posted.
    pub created: Timestamp,
    /// Where it is in its life.
    pub state: State,
}

/// Where a task is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Waits for an agent.
    Pending,
    /// Is an agent's, and no other's.
    Claimed(Claim),
    /// Ended with a result.
    Completed {
        /// Whose it was.
        claim: Claim,
        /// When the result came.
        at: Timestamp,
        /// A JSON object.
        result: JsonText,
    },
    /// Ended with an error.
    Failed {
        /// Whose it was.
        claim: Claim,
        /// When the error came.
        at: Timestamp,
        /// A JSON string.
        error: JsonText,
    },
}

/// An agent's hold on a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Whose it is.
    pub agent_id: Uuid,
    /// Since when.
    pub at: Timestamp,
}
