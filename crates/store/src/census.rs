//! How many agents there are, and how many offer each type, counted behind all other work and kept.
//!
//! Small fleets are counted whenever somebody asks. Of larger ones an AFM reads every agent and every offer, a step
//! at a time, and keeps the sums; when agents were seen changes all the time, so no sum of changes can be kept.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use slamon_protocol::Capability;
use uuid::Uuid;

use crate::error::StoreError;
use crate::offers::OfferedType;
use crate::statistics::AgentCounts;

/// Counts all agents in steps, and keeps what was counted.
#[async_trait]
pub trait CensusStore: Send + Sync + 'static {
    /// Says that this AFM counts, or goes on; `false` if another one has said so since `free_before`.
    async fn hold_census(
        &self,
        instance: Uuid,
        now: Timestamp,
        free_before: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Counts the next `limit` agents, and returns the place behind them; `None` if there are no more.
    async fn count_next_agents(
        &self,
        after: Option<u128>,
        seen_since: Timestamp,
        limit: u32,
    ) -> Result<(AgentCounts, Option<u128>), StoreError>;

    /// Counts the agents of the next `limit` offers, and of as many more as share the last place. All offers of a
    /// type follow each other, but for types with the same long beginning.
    async fn count_next_offers(
        &self,
        after: Option<OfferPlace>,
        seen_since: Timestamp,
        limit: u32,
    ) -> Result<(Vec<OfferedType>, Option<OfferPlace>), StoreError>;

    /// Keeps a census in the place of the one before.
    async fn save_census(&self, census: Arc<Census>) -> Result<(), StoreError>;

    /// Reads how many agents there were in the last census; `None` if there is none.
    async fn census(&self) -> Result<Option<AgentCounts>, StoreError>;
}

/// A place among all offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferPlace {
    /// The type, or its beginning.
    pub(crate) task_type: String,
    pub(crate) version: i64,
    /// The agent, in words of the store.
    pub(crate) agent: u128,
}

impl OfferPlace {
    /// Whether the next offers may be of this type.
    #[must_use]
    pub fn may_go_on_with(&self, capability: &Capability) -> bool {
        self.version == capability.version && capability.task_type.starts_with(&self.task_type)
    }
}

/// What all agents are and offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Census {
    /// When it was begun; `None` if there are so few agents that none is needed.
    pub counted_at: Option<Timestamp>,
    /// Agents that were active.
    pub active: u64,
    /// Agents that were lost.
    pub lost: u64,
    /// Agents that were paused.
    pub paused: u64,
    /// The types that at least [`crate::MOST_OFFERING`] agents offer: how many do, and how many of these were active.
    pub types: Vec<(Capability, u32, u32)>,
}
