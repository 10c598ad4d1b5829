//! What operators see of many agents at once: how the attempts of each one ended lately, and how many there are in
//! each place.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use crate::error::StoreError;

/// Keeps how attempts ended, by agent and period, and counts agents by place.
#[async_trait]
pub trait AgentFiguresStore: Send + Sync + 'static {
    /// Saves what one AFM has seen of agents in periods, all of it or nothing. It replaces what the same AFM has
    /// saved of them before.
    async fn save_outcomes(&self, instance: Uuid, outcomes: Arc<[AgentOutcomes]>) -> Result<(), StoreError>;

    /// Reads what was saved of these agents for the periods that began at `since` or later, with the AFM that has
    /// seen it.
    async fn outcomes_of(
        &self,
        agents: Arc<[Uuid]>,
        since: Timestamp,
    ) -> Result<Vec<(Uuid, AgentOutcomes)>, StoreError>;

    /// Deletes what was saved of periods that began before this time, at most `limit` rows; returns how many.
    async fn purge_outcomes(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;

    /// Counts agents by place: the next `limit` of them behind `after`, in an order of the store's own. Agents
    /// seen at or after `seen_since` are active.
    async fn count_places(
        &self,
        seen_since: Timestamp,
        after: Option<String>,
        limit: u32,
    ) -> Result<PlacesPart, StoreError>;
}

/// How attempts ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcomes {
    /// With a result.
    pub completed: u64,
    /// With an error, or because the agent was lost, has abandoned the task, or took too long.
    pub failed: u64,
}

impl Outcomes {
    /// Adds others.
    pub fn add(&mut self, other: Self) {
        self.completed += other.completed;
        self.failed += other.failed;
    }
}

/// How the attempts of an agent ended in a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentOutcomes {
    /// When the period began.
    pub period: Timestamp,
    /// The agent.
    pub agent_id: Uuid,
    /// How its attempts ended.
    pub outcomes: Outcomes,
}

/// Where agents say they are: country and region, or nothing.
pub type Place = Option<(String, String)>;

/// How many agents there are in a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlaceCounts {
    /// Agents that were seen since the time that was asked for, and are not paused.
    pub active: u64,
    /// Agents that were not.
    pub lost: u64,
    /// Agents that are paused, seen or not.
    pub paused: u64,
}

impl PlaceCounts {
    /// Adds others.
    pub fn add(&mut self, other: Self) {
        self.active += other.active;
        self.lost += other.lost;
        self.paused += other.paused;
    }

    /// How many there are in all.
    #[must_use]
    pub fn all(self) -> u64 {
        self.active + self.lost + self.paused
    }
}

/// A part of a count of agents.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlacesPart {
    /// The agents of this part, by place.
    pub places: BTreeMap<Place, PlaceCounts>,
    /// The place in the list of agents behind which the next part begins; `None` if there are no more.
    pub next: Option<String>,
}
