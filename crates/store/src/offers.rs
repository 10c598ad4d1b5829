//! Which types agents offer.

use jiff::Timestamp;
use slamon_protocol::Capability;

/// Of the agents that offer a type, so many are counted. An agent that is counted is read.
pub const MOST_OFFERING: u32 = 1_000;

/// A type that agents offer, or may offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedType {
    /// The type, in one version.
    pub capability: Capability,
    /// How many agents offer it, counted up to [`MOST_OFFERING`].
    pub agents: u32,
    /// How many of these were seen since the time that was asked for.
    pub active: u32,
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
