//! The rules of a task's life.
//!
//! A [`Command`] is the only way to change anything. What a task may become is decided in [`lifecycle`], by
//! plain functions. No clock, no I/O, no SQL: a store finds rows, locks them and saves what the rules said.

#![cfg_attr(
    not(test),
    warn(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)
)]

pub mod alias;
pub mod batch;
mod claim_budget;
mod command;
mod cursor;
pub mod lifecycle;
mod operation;
mod pending_reason;
mod task;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod token;
mod transition;

pub use claim_budget::{ClaimBudget, MAX_BYTES_PER_POLL, MAX_TASKS_PER_POLL};
pub use command::{
    Applied, Cancelled, Command, Delivery, Locked, Operated, Polled, Refusal, Replies, Reply, Reported,
    Running, Submitted, Sweep, Swept,
};
pub use cursor::{KindCursor, QueueCursor, WaitingKind};
pub use operation::{MAX_PAUSES, Operation, PauseTarget, Pauses};
pub use pending_reason::{AHEAD_COUNTED, PendingReason, QueueDiagnostics, kept_from_agents, pending_reason};
pub use task::{Attempt, AttemptEnd, End, EndedAttempt, LateResult, State, Task, expires};
pub use token::{AgentBinding, Right, Role, Token, TokenHash};
pub use transition::{AttemptEndName, StateName, Transition};
