//! Which types agents offer.

use jiff::Timestamp;
use slamon_protocol::Capability;

/// So many agents are counted whenever somebody asks. Of more, the numbers of the last census are given.
pub const MOST_OFFERING: u32 = 1_000;

/// A type that agents offer, or may offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedType {
    /// The type, in one version.
    pub capability: Capability,
    /// How many agents offer it.
    pub agents: u32,
    /// How many of these were seen since the time that was asked for.
    pub active: u32,
    /// When they were counted, if that was in a census.
    pub counted_at: Option<Timestamp>,
    /// Whether there are no more: before the first census, at most [`MOST_OFFERING`] are counted.
    pub is_complete: bool,
}

impl OfferedType {
    /// A type that no agent offers.
    #[must_use]
    pub fn by_nobody(capability: Capability) -> Self {
        Self { capability, agents: 0, active: 0, counted_at: None, is_complete: true }
    }
}

/// Which part of the types that agents offer to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffersQuery {
    /// Agents seen at or after this time are active.
    pub seen_since: Timestamp,
    /// The most types to list. Where several have the same long beginning, they count as one.
    pub limit: u32,
    /// A place that another page has given.
    pub after: Option<String>,
}
