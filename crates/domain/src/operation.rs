//! What operators do to agents and task types: pauses, and forgetting an agent.

use std::collections::HashMap;

use jiff::Timestamp;
use slamon_protocol::Capability;
use uuid::Uuid;

use crate::cursor::WaitingKind;

/// The most pauses that a database holds: all of them are kept in memory, and read once a second.
pub const MAX_PAUSES: u32 = 10_000;

/// What an operator asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Pauses an agent or a type; what is paused already stays so since the same time.
    Pause(PauseTarget),
    /// Ends a pause, if there is one. Of all versions of a type, it ends those of single versions, too.
    Resume(PauseTarget),
    /// Forgets an agent, and ends its pause.
    Forget(Uuid),
}

/// What can be paused.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PauseTarget {
    /// An agent: it is handed no task.
    Agent(Uuid),
    /// A type in all its versions: its tasks are handed to nobody.
    Type(String),
    /// A type in one version.
    Version(Capability),
}

/// All pauses, each with the time since when it holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pauses {
    /// The paused agents.
    pub agents: HashMap<Uuid, Timestamp>,
    /// The types that are paused in all versions.
    pub types: HashMap<String, Timestamp>,
    /// The types that are paused in single versions.
    pub versions: HashMap<Capability, Timestamp>,
}

impl Pauses {
    /// Whether nothing is paused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.agents.is_empty() && !self.has_types()
    }

    /// Whether any type is paused.
    #[must_use]
    pub fn has_types(&self) -> bool {
        !self.types.is_empty() || !self.versions.is_empty()
    }

    /// Adds a pause.
    pub fn add(&mut self, target: PauseTarget, since: Timestamp) {
        match target {
            PauseTarget::Agent(id) => self.agents.insert(id, since),
            PauseTarget::Type(task_type) => self.types.insert(task_type, since),
            PauseTarget::Version(capability) => self.versions.insert(capability, since),
        };
    }

    /// Whether an agent is paused.
    #[must_use]
    pub fn pauses_agent(&self, agent_id: Uuid) -> bool {
        self.agents.contains_key(&agent_id)
    }

    /// Returns since when a type is paused in a version, by itself or with all versions; `None` if it is not.
    #[must_use]
    pub fn of_version(&self, capability: &Capability) -> Option<Timestamp> {
        let of_type = self.types.get(&capability.task_type);
        of_type.into_iter().chain(self.versions.get(capability)).min().copied()
    }

    /// Whether tasks of a kind are handed to nobody.
    #[must_use]
    pub fn pauses_kind(&self, kind: &WaitingKind) -> bool {
        self.of_version(&kind.capability).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capability(task_type: &str, version: i64) -> Capability {
        Capability { task_type: task_type.to_owned(), version }
    }

    #[test]
    fn a_version_is_paused_by_itself_or_with_its_type() {
        let (early, late) = (Timestamp::UNIX_EPOCH, Timestamp::MAX);
        let mut pauses = Pauses::default();
        assert!(pauses.is_empty());
        pauses.add(PauseTarget::Version(capability("a", 1)), early);
        assert_eq!(pauses.of_version(&capability("a", 1)), Some(early));
        assert_eq!(pauses.of_version(&capability("a", 2)), None);
        pauses.add(PauseTarget::Type("a".to_owned()), late);
        assert_eq!(pauses.of_version(&capability("a", 1)), Some(early));
        assert_eq!(pauses.of_version(&capability("a", 2)), Some(late));
        assert_eq!(pauses.of_version(&capability("A", 1)), None);
        pauses.add(PauseTarget::Agent(Uuid::nil()), early);
        assert!(pauses.pauses_agent(Uuid::nil()) && !pauses.pauses_agent(Uuid::max()));
    }
}
