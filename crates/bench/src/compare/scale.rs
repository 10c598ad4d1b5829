//! How much is measured.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long a comparison may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Size {
    /// A minute or two: whether it works, not how fast anything is
    Quick,
    /// A quarter of an hour: stores, fleets and waits of a tenth
    Tenth,
    /// An hour: what docs/performance.md holds
    Full,
}

/// The numbers of a size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    pub(crate) size: Size,
    /// How often each server has its turn.
    pub(crate) rounds: usize,
    /// Of each load.
    pub(crate) seconds: Duration,
    /// Before each load.
    pub(crate) warm_up: Duration,
    /// How often each server is started.
    pub(crate) starts: usize,
    /// Tasks that are posted to an agent that waits.
    pub(crate) dispatches: usize,
    /// Tasks in the stores that are filled; a tenth of them waits.
    pub(crate) stored: &'static [u64],
    /// Tasks in the two stores that are listed.
    pub(crate) listed: [u64; 2],
    /// How often each list, and each page of the dashboard, is asked for.
    pub(crate) reads: u64,
    /// Agents of the fleet.
    pub(crate) agents: u64,
    /// Between two polls of one.
    pub(crate) interval: Duration,
    /// How long the fleet is measured.
    pub(crate) fleet: Duration,
    /// How long a transaction is held open.
    pub(crate) held: Duration,
    /// Claim times are summed up for each of these.
    pub(crate) slice: Duration,
}

impl Size {
    pub(crate) fn scale(self) -> Scale {
        let seconds = Duration::from_secs;
        match self {
            Self::Quick => Scale {
                size: self,
                rounds: 1,
                seconds: seconds(1),
                warm_up: Duration::from_millis(300),
                starts: 3,
                dispatches: 100,
                stored: &[1_000, 10_000],
                listed: [1_000, 20_000],
                reads: 20,
                agents: 10_000,
                interval: seconds(5),
                fleet: seconds(5),
                held: seconds(6),
                slice: seconds(2),
            },
            Self::Tenth => Scale {
                size: self,
                rounds: 3,
                seconds: seconds(3),
                warm_up: seconds(1),
                starts: 20,
                dispatches: 1_000,
                stored: &[1_000, 10_000, 100_000, 1_000_000],
                listed: [10_000, 1_000_000],
                reads: 100,
                agents: 100_000,
                interval: seconds(60),
                fleet: seconds(15),
                held: seconds(30),
                slice: seconds(10),
            },
            Self::Full => Scale {
                size: self,
                rounds: 5,
                seconds: seconds(5),
                warm_up: seconds(1),
                starts: 20,
                dispatches: 2_000,
                stored: &[1_000, 100_000, 1_000_000, 10_000_000],
                listed: [10_000, 10_000_000],
                reads: 300,
                agents: 1_000_000,
                interval: seconds(60),
                fleet: seconds(60),
                held: seconds(300),
                slice: seconds(20),
            },
        }
    }
}
