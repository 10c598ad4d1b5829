//! Five times as much as a server can do.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::load::Measured;
use super::server::{Kind, OURS};
use super::spread::{Spread, grouped, short};
use super::table::Table;
use super::workshop::Workshop;

/// More than the server lets wait: what it turns away is what no place was left for.
const CONNECTIONS: &str = "6000";

/// How many times its capacity is offered.
const TIMES: f64 = 5.0;

/// What each server did with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Overloads {
    of: Vec<Overload>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Overload {
    kind: Kind,
    /// Closed loop, 64 connections.
    capacity: Measured,
    /// Open loop.
    overloaded: Measured,
}

impl Overload {
    /// Requests answered with 200 a second, by those at capacity.
    fn ratio(&self) -> f64 {
        taken(&self.overloaded) / taken(&self.capacity)
    }
}

/// Requests a second that were not turned away.
fn taken(measured: &Measured) -> f64 {
    measured.requests_per_second - measured.refused as f64 / measured.seconds
}

impl Overloads {
    /// Each of ours in each round.
    ///
    /// # Errors
    /// When a server or a load does not run.
    pub(crate) fn measure(workshop: &Workshop) -> Result<Self> {
        let mut of = Vec::new();
        for _ in 0..workshop.scale.rounds {
            for kind in OURS {
                let running = workshop.start(kind)?;
                let capacity = workshop.timed_load("life", &running.server, &["--connections", "64"])?;
                let rate = format!("{:.0}", TIMES * capacity.per_second);
                let args = ["--connections", CONNECTIONS, "--rate", &rate];
                let overloaded = workshop.timed_load("life", &running.server, &args)?;
                let overload = Overload { kind, capacity, overloaded };
                eprintln!("{}: {} of its requests a second", kind.label(), short(overload.ratio()));
                of.push(overload);
            }
        }
        Ok(Self { of })
    }

    /// Throughput under overload by that at capacity.
    pub(crate) fn ratio(&self, kind: Kind) -> Option<Spread> {
        self.spread(kind, Overload::ratio)
    }

    /// Requests a second answered with 200: at capacity, and under overload.
    pub(crate) fn taken(&self, kind: Kind) -> Option<(Spread, Spread)> {
        let at = |pick: fn(&Overload) -> &Measured| self.spread(kind, |overload| taken(pick(overload)));
        Some((at(|overload| &overload.capacity)?, at(|overload| &overload.overloaded)?))
    }

    fn spread(&self, kind: Kind, pick: impl Fn(&Overload) -> f64) -> Option<Spread> {
        Spread::of(self.of.iter().filter(|overload| overload.kind == kind).map(pick))
    }

    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new([
            "server",
            "lives a second at capacity",
            "offered",
            "done",
            "requests with 200, ÷ capacity",
            "units refused with 503",
            "peak memory, MiB: at capacity",
            "under overload",
        ]);
        for kind in OURS {
            let spread = |pick: &dyn Fn(&Overload) -> f64| self.spread(kind, pick);
            let share = |o: &Overload| {
                let m = &o.overloaded;
                100.0 * m.refused as f64 / (m.refused + m.done).max(1) as f64
            };
            let (Some(capacity), Some(done), Some(ratio), Some(share)) = (
                spread(&|o| o.capacity.per_second),
                spread(&|o| o.overloaded.per_second),
                self.ratio(kind),
                spread(&share),
            ) else {
                continue;
            };
            table.row([
                kind.label().to_owned(),
                capacity.to_string(),
                grouped(TIMES * capacity.median),
                done.to_string(),
                ratio.to_string(),
                format!("{:.0} %", share.median),
                mib(spread(&|o| peak(&o.capacity))),
                mib(spread(&|o| peak(&o.overloaded))),
            ]);
        }
        table
    }
}

fn peak(measured: &Measured) -> f64 {
    measured.server.map_or(0.0, |server| server.peak_rss_bytes as f64)
}

fn mib(bytes: Option<Spread>) -> String {
    bytes.map_or_else(|| "–".to_owned(), |bytes| short(bytes.median / f64::from(1 << 20)))
}
