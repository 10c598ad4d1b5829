//! The figures that are read for metrics and for the first page.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use slamon_protocol::Capability;
use slamon_store::{AgentCounts, Counters, TaskCounts};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// So many of the last minutes tell how things are going.
pub const LATELY: usize = 10;

/// What was read last, and when. Whoever reads holds the lock.
pub(super) type Cached<T> = Mutex<Option<(Instant, Arc<T>)>>;

/// What the store holds now, whichever AFM has brought it there.
#[derive(Debug, Clone)]
pub struct StoreGauges {
    /// How many tasks of each type there are; `None`: all types that are not listed. Empty until they were counted.
    pub types: Vec<(Option<Arc<Capability>>, TaskCounts)>,
    /// The agents.
    pub agents: AgentCounts,
}

/// What waits and runs now, and what happened in the last hour, at all AFMs on the database.
#[derive(Debug, Clone)]
pub struct OverviewFigures {
    /// When it was read.
    pub at: Timestamp,
    /// How many tasks there are in each state that is no end; `None` until they have been counted.
    pub tasks: Option<TaskCounts>,
    /// The agents.
    pub agents: AgentCounts,
    /// The last 60 minutes, the one that runs included, the oldest first.
    pub minutes: Vec<MinutePoint>,
    /// The types to whose tasks something happened in that time, those with the most tasks first.
    pub types: Vec<TypeTimes>,
    /// Whether all such types are listed.
    pub has_all_types: bool,
}

impl OverviewFigures {
    /// Returns what happened to the tasks of a type in the last hour; `None` if that cannot be told apart from others.
    pub(crate) fn last_hour_of(&self, capability: &Capability) -> Option<Counters> {
        let of = |wanted: Option<&Capability>| {
            self.types.iter().find(|of_type| of_type.capability.as_deref() == wanted)
        };
        let found = of(Some(capability)).map(|of_type| of_type.counters);
        found.or_else(|| (self.has_all_types && of(None).is_none()).then(Counters::default))
    }
}

/// What happened in a minute.
#[derive(Debug, Clone, Copy)]
pub struct MinutePoint {
    /// When the minute began.
    pub minute: Timestamp,
    /// What happened.
    pub counters: Counters,
}

/// What happened to the tasks of a type in the last hour.
#[derive(Debug, Clone)]
pub struct TypeTimes {
    /// The type; `None`: all types that have no figures of their own.
    pub capability: Option<Arc<Capability>>,
    /// What happened.
    pub counters: Counters,
    /// What of it happened in the last [`LATELY`] minutes.
    pub lately: Counters,
    /// How long tasks waited for their first attempt: the 50th, 95th and 99th percentile.
    pub queue: Option<[Duration; 3]>,
    /// How long attempts took.
    pub run: Option<[Duration; 3]>,
}
