//! Where to look for waiting tasks.

use slamon_protocol::{AgentFilter, Capability, PostTask};

/// A place in the order in which the tasks of a kind are claimed: where to start looking for those that wait.
///
/// A place of a higher priority, or of an earlier arrival, is lower. What else it means is its store's business: whoever
/// keeps one may only compare it to others of the same kind, and give it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueCursor {
    /// The priority, negated.
    pub rank: i32,
    /// The order of arrival.
    pub seq: i64,
}

impl QueueCursor {
    /// Before all tasks.
    pub const START: Self = Self { rank: i32::MIN, seq: i64::MIN };

    /// Behind all tasks: none is there but those that come to wait in the same batch.
    pub const END: Self = Self { rank: i32::MAX, seq: i64::MAX };

    /// The place of a task of this priority that was the so manieth to arrive: for stores, and for tests of who keeps it.
    #[must_use]
    pub const fn at(priority: i32, seq: i64) -> Self {
        Self { rank: priority.saturating_neg(), seq }
    }

    /// The place of a task.
    #[must_use]
    pub fn of(posted: &PostTask, seq: i64) -> Self {
        Self::at(posted.terms.priority, seq)
    }
}

/// A task that waits: who could take it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WaitingKind {
    /// What an agent must offer.
    pub capability: Capability,
    /// What it must match.
    pub agent_filter: AgentFilter,
}

impl WaitingKind {
    /// Of a task.
    #[must_use]
    pub fn of(posted: &PostTask) -> Self {
        Self {
            capability: Capability { task_type: posted.task_type.clone(), version: posted.task_version },
            agent_filter: posted.terms.agent_filter.clone(),
        }
    }

    /// How much text it holds, in bytes.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        self.capability.task_type.len() + self.agent_filter.text_bytes()
    }
}

/// A kind of which tasks may wait, none of them before the cursor.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KindCursor {
    /// The kind.
    pub kind: WaitingKind,
    /// Where to start looking.
    pub cursor: QueueCursor,
}

impl From<WaitingKind> for KindCursor {
    /// Of a kind of which nothing else is known.
    fn from(kind: WaitingKind) -> Self {
        Self { kind, cursor: QueueCursor::START }
    }
}
