//! Five times as much as a server can do.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::fleet::mib;
use super::kind::Kind;
use super::load::{self, Measured};
use super::server::{LOAD_CORE, SERVER_CORE, Server};
use super::spread::{Spread, short};
use super::table::Table;
use super::workshop::Workshop;

/// More than the server lets wait: what it turns away is what no place was left for.
const CONNECTIONS: &str = "6000";

/// Ours, and what so many connections cost a server that has nothing else to do.
const KINDS: [Kind; 4] = [Kind::Bare, Kind::Memory, Kind::File, Kind::Postgres];

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
    /// What it can do then, with all the tasks that it has taken meanwhile.
    capacity_after: Measured,
}

impl Overload {
    /// Requests answered with 200 a second, by those at capacity.
    fn ratio(&self) -> f64 {
        taken(&self.overloaded) / self.taken_at_capacity()
    }

    /// A store that grows takes more time: the mean of before and after.
    fn taken_at_capacity(&self) -> f64 {
        f64::midpoint(taken(&self.capacity), taken(&self.capacity_after))
    }
}

/// Requests a second that were not turned away.
fn taken(measured: &Measured) -> f64 {
    measured.requests_per_second - measured.refused as f64 / measured.seconds
}

impl Overloads {
    /// Each in each round.
    ///
    /// # Errors
    /// When a server or a load does not run.
    pub(crate) fn measure(workshop: &Workshop) -> Result<Self> {
        let mut of = Vec::new();
        for _ in 0..workshop.scale.rounds {
            for kind in KINDS {
                let place = workshop.place(kind)?;
                let server = Server::start(workshop, kind, &place, Some(SERVER_CORE))?;
                let seconds = workshop.scale.seconds.as_secs_f64();
                let [brief, seconds, long] = [0.5, 1.0, 3.0].map(|times| (times * seconds).to_string());
                // Nothing comes of what is posted to the bare route: it gets the requests of lives.
                let load = if kind == Kind::Bare { "mix" } else { "life" };
                let life = |args: &[&str]| load::run(workshop, load, &server, args, Some(LOAD_CORE));
                let at_capacity =
                    || life(&["--connections", "64", "--warm-up", &brief, "--seconds", &seconds]);
                let capacity = at_capacity()?;
                let rate = format!("{:.0}", TIMES * capacity.per_second);
                // All of it is measured: what is sent late, because the load cannot do more either, is sent all the same.
                let overloaded = life(&["--connections", CONNECTIONS, "--rate", &rate, "--seconds", &long])?;
                let capacity_after = at_capacity()?;
                let overload = Overload { kind, capacity, overloaded, capacity_after };
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
        let overloaded = self.spread(kind, |overload| taken(&overload.overloaded))?;
        Some((self.spread(kind, Overload::taken_at_capacity)?, overloaded))
    }

    fn spread(&self, kind: Kind, pick: impl Fn(&Overload) -> f64) -> Option<Spread> {
        Spread::of(self.of.iter().filter(|overload| overload.kind == kind).map(pick))
    }

    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new([
            "server",
            "lives a second at capacity",
            "due",
            "begun",
            "done",
            "refused with 503",
            "requests with 200, ÷ capacity",
            "server's cores: at capacity",
            "under overload",
            "peak memory, MiB: at capacity",
            "under overload",
        ]);
        for kind in KINDS {
            let spread = |pick: &dyn Fn(&Overload) -> f64| self.spread(kind, pick);
            let written =
                |spread: Option<Spread>| spread.map_or_else(|| "–".to_owned(), |spread| short(spread.median));
            let a_second = |pick: fn(&Measured) -> u64| {
                written(spread(&|o| pick(&o.overloaded) as f64 / o.overloaded.seconds))
            };
            let Some(ratio) = self.ratio(kind) else { continue };
            let cores = |measured: &Measured| measured.server_cores().unwrap_or(f64::NAN);
            table.row([
                kind.label().to_owned(),
                written(spread(&|o| o.capacity.per_second)),
                written(spread(&|o| TIMES * o.capacity.per_second)),
                a_second(|measured| measured.done + measured.refused),
                a_second(|measured| measured.done),
                a_second(|measured| measured.refused),
                ratio.to_string(),
                written(spread(&|o| cores(&o.capacity))),
                written(spread(&|o| cores(&o.overloaded))),
                written(spread(&|o| peak(&o.capacity))),
                written(spread(&|o| peak(&o.overloaded))),
            ]);
        }
        table
    }
}

/// MiB.
fn peak(measured: &Measured) -> f64 {
    measured.server.map_or(f64::NAN, |server| mib(server.peak_rss_bytes))
}
