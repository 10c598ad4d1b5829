//! The kinds of tasks that wait, each with the task that comes first.

use jiff::Timestamp;
use slamon_protocol::Capability;
use uuid::Uuid;

/// Of the agents that offer a type, so many are looked at to see whether any is active.
pub(crate) const AGENTS_LOOKED_AT: u32 = 100;

/// The first waiting task of a type, an agent filter and a priority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingHead {
    /// The type, in one version.
    pub capability: Capability,
    /// Which agents may take it, as the store compares it.
    pub agent_filter: String,
    /// The priority.
    pub priority: i32,
    /// The task that has arrived first.
    pub task_id: Uuid,
    /// When it was posted.
    pub created: Timestamp,
    /// Whether an active agent offers the type, among the first that do; of tasks for one agent, whether that one is
    /// active.
    pub is_served: bool,
}

/// A part of all that waits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WaitingPart {
    /// The heads, in an order of the store's own. In PostgreSQL, types with the same long beginning count as one, and
    /// so do filters.
    pub heads: Vec<WaitingHead>,
    /// The head behind which the next part begins; `None` if there are no more.
    pub next: Option<WaitingHead>,
}

impl WaitingPart {
    pub(crate) fn of(heads: Vec<WaitingHead>, limit: u32) -> Self {
        let next = heads.last().filter(|_| heads.len() >= limit as usize).cloned();
        Self { heads, next }
    }
}
