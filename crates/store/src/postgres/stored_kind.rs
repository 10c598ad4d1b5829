//! Kinds of tasks as the tables have them.

use slamon_domain::WaitingKind;
use slamon_protocol::{AgentFilter, Capability};

use super::errors::PgError;

/// A task type in a version, and an agent filter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct StoredKind {
    pub(super) task_type: String,
    pub(super) version: i64,
    /// The key of the filter, as the tables have it.
    pub(super) filter: String,
}

impl StoredKind {
    pub(super) fn of(kind: &WaitingKind) -> Self {
        Self {
            task_type: kind.capability.task_type.clone(),
            version: kind.capability.version,
            filter: kind.agent_filter.key(),
        }
    }

    pub(super) fn into_waiting(self) -> Result<WaitingKind, PgError> {
        let filter = AgentFilter::from_key(&self.filter).map_err(|e| PgError::Unexpected(e.to_string()))?;
        Ok(WaitingKind {
            capability: Capability { task_type: self.task_type, version: self.version },
            agent_filter: filter,
        })
    }
}
