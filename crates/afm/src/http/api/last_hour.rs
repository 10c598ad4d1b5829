//! How many ended in the last hour, and how: attempts of an agent, or tasks of a type.

use serde::Serialize;
use slamon_store::{Counter, Counters, Outcomes};
use utoipa::ToSchema;

/// How many ended in the last hour, and how.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub(in crate::http) struct LastHour {
    /// Those that ended with a result.
    pub(in crate::http) completed: u64,
    /// Those that failed.
    pub(in crate::http) failed: u64,
    /// The share of those that failed among both, from 0 to 1; null if there were none.
    pub(in crate::http) error_share: Option<f64>,
}

impl LastHour {
    fn of(completed: u64, failed: u64) -> Self {
        let all = completed + failed;
        let error_share = (all > 0).then(|| failed as f64 / all as f64);
        Self { completed, failed, error_share }
    }
}

impl From<Outcomes> for LastHour {
    fn from(Outcomes { completed, failed }: Outcomes) -> Self {
        Self::of(completed, failed)
    }
}

impl From<&Counters> for LastHour {
    fn from(counters: &Counters) -> Self {
        Self::of(counters.get(Counter::Completed), failed(counters))
    }
}

/// How many tasks failed: those that were cancelled did not.
pub(in crate::http) fn failed(counters: &Counters) -> u64 {
    [Counter::Failed, Counter::TimedOut, Counter::Lost, Counter::Expired]
        .map(|counter| counters.get(counter))
        .iter()
        .sum()
}
