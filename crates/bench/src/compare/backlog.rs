//! Claims and idle polls on stores of a thousand to ten million tasks.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::fill::{Contents, TASK_TYPE, fill, waiting};
use super::kind::Kind;
use super::load::{self, Latency, Measured};
use super::place::Place;
use super::server::Server;
use super::spread::{Spread, grouped, short};
use super::table::Table;
use super::workshop::Workshop;

/// The stores that keep what they are given.
pub(crate) const KINDS: [Kind; 2] = [Kind::File, Kind::Postgres];

/// Measurements of each store, in each round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Backlogs {
    of: Vec<Backlog>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Backlog {
    kind: Kind,
    stored: u64,
    measured: Measured,
}

impl Backlogs {
    /// Fills the stores, then asks each in turn, round after round.
    ///
    /// # Errors
    /// When there is no room, or a server or load does not run.
    pub(crate) fn measure(workshop: &Workshop) -> Result<Self> {
        let mut of = Vec::new();
        for kind in KINDS {
            let mut stores = Vec::new();
            for &stored in workshop.scale.stored {
                stores.push((stored, filled(workshop, kind, stored, Contents::WaitingLine)?));
            }
            for _ in 0..workshop.scale.rounds {
                for (stored, place) in &stores {
                    let server = Server::start(workshop, kind, place, None)?;
                    let args = ["--no-fill", "--type", TASK_TYPE, "--connections", "1"];
                    let measured = load::run_timed(workshop, "backlog", &server, &args)?;
                    let claim = measured.steps.get("claim").map_or(f64::NAN, |claim| claim.p50 / 1e3);
                    eprintln!(
                        "{}, {} stored: claim {} ms",
                        kind.label(),
                        grouped(*stored as f64),
                        short(claim)
                    );
                    of.push(Backlog { kind, stored: *stored, measured });
                }
            }
        }
        Ok(Self { of })
    }

    /// Sizes of the stores, the smallest first.
    pub(crate) fn sizes(&self) -> BTreeSet<u64> {
        self.of.iter().map(|backlog| backlog.stored).collect()
    }

    /// Milliseconds of a step, `claim` or `poll`, in each round.
    pub(crate) fn time(
        &self,
        kind: Kind,
        stored: u64,
        step: &str,
        pick: fn(&Latency) -> f64,
    ) -> Option<Spread> {
        let of_it = self.of.iter().filter(|backlog| backlog.kind == kind && backlog.stored == stored);
        Spread::of(of_it.filter_map(|backlog| Some(pick(backlog.measured.steps.get(step)?) / 1e3)))
    }

    /// Median time of a claim on the largest store by that on the smallest, with both.
    pub(crate) fn growth(&self, kind: Kind) -> Option<Growth> {
        let sizes = self.sizes();
        let (small, large) = (*sizes.first()?, *sizes.last()?);
        let at = |stored| self.time(kind, stored, "claim", |latency| latency.p50).map(|time| time.median);
        Some(Growth { small, large, at_small: at(small)?, at_large: at(large)? })
    }

    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new([
            "store",
            "stored",
            "waiting",
            "claim p50, ms",
            "claim p99, ms",
            "÷ the smallest",
            "idle poll p50, ms",
            "idle poll p99, ms",
        ]);
        for kind in KINDS {
            for stored in self.sizes() {
                let time = |step, pick| self.time(kind, stored, step, pick);
                let Some(claim) = time("claim", |latency| latency.p50) else { continue };
                let small = self.growth(kind).map_or(f64::NAN, |growth| growth.at_small);
                let written =
                    |spread: Option<Spread>| spread.map_or_else(|| "–".to_owned(), |s| s.to_string());
                table.row([
                    kind.label().to_owned(),
                    grouped(stored as f64),
                    grouped(waiting(stored) as f64),
                    claim.to_string(),
                    written(time("claim", |latency| latency.p99)),
                    short(claim.median / small),
                    written(time("poll", |latency| latency.p50)),
                    written(time("poll", |latency| latency.p99)),
                ]);
            }
        }
        table
    }
}

/// Milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Growth {
    pub(crate) small: u64,
    pub(crate) large: u64,
    pub(crate) at_small: f64,
    pub(crate) at_large: f64,
}

/// A store with tasks in it.
pub(crate) fn filled(workshop: &Workshop, kind: Kind, stored: u64, contents: Contents) -> Result<Place> {
    let place = workshop.place(kind)?;
    let made = Command::new(workshop.ours())
        .args(["--database-uri", place.uri(), "create-tables"])
        .env_clear()
        .output()?;
    ensure!(made.status.success(), "create-tables: {}", String::from_utf8_lossy(&made.stderr));
    fill(workshop, &place, stored, contents)?;
    Ok(place)
}
