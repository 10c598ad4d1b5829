//! Kinds of tasks, and cursors: where to look for waiting tasks.

use slamon_protocol::{AgentFilter, Capability, PostTask};

/// A place in the queue of a kind, from which on its waiting tasks are looked for.
///
/// A place of a higher priority, or of an earlier arrival, is lower. What else it means is known to its store
/// alone: whoever keeps one may only compare it to others of the same kind, and give it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueCursor {
    /// The priority, negated.
    pub rank: i32,
    /// The order of arrival.
    pub seq: i64,
}

impl QueueCursor {
    /// The place before all tasks.
    pub const START: Self = Self { rank: i32::MIN, seq: i64::MIN };

    /// The place behind all tasks: from here on, only tasks are found that come to wait in the same batch.
    pub const END: Self = Self { rank: i32::MAX, seq: i64::MAX };

    /// The place of a task of this priority whose number in the order of arrival is `seq`.
    #[must_use]
    pub const fn at(priority: i32, seq: i64) -> Self {
        Self { rank: priority.saturating_neg(), seq }
    }

    /// The place of a task whose number in the order of arrival is `seq`.
    #[must_use]
    pub fn of(posted: &PostTask, seq: i64) -> Self {
        Self::at(posted.terms.priority, seq)
    }
}

/// All that decides which agents may take a task.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WaitingKind {
    /// The type and version that an agent must offer.
    pub capability: Capability,
    /// The filter that the agent must match.
    pub agent_filter: AgentFilter,
}

impl WaitingKind {
    /// The kind of a task.
    #[must_use]
    pub fn of(posted: &PostTask) -> Self {
        Self {
            capability: Capability { task_type: posted.task_type.clone(), version: posted.task_version },
            agent_filter: posted.terms.agent_filter.clone(),
        }
    }

    /// How many bytes its texts have.
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
    /// The place from which on its tasks are looked for.
    pub cursor: QueueCursor,
}

impl From<WaitingKind> for KindCursor {
    /// The cursor of a kind of which nothing else is known: its start.
    fn from(kind: WaitingKind) -> Self {
        Self { kind, cursor: QueueCursor::START }
    }
}
