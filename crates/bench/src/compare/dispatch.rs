//! From the post of a task to the answer of the agent that waits for it.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::kind::{Kind, OURS};
use super::load::{self, Latency, Measured};
use super::server::Running;
use super::spread::short;
use super::table::Table;
use super::workshop::Workshop;

/// One task at a time, on a server that has nothing else to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Dispatches {
    of: Vec<(Kind, Measured)>,
}

impl Dispatches {
    /// Each of ours, once.
    ///
    /// # Errors
    /// When a server or a load does not run.
    pub(crate) fn measure(workshop: &Workshop) -> Result<Self> {
        let count = workshop.scale.dispatches.to_string();
        let one = |kind| {
            let running = Running::start(workshop, kind)?;
            let measured = load::run(workshop, "dispatch", &running.server, &["--count", &count], None)?;
            eprintln!("{}: p99 {} ms", kind.label(), short(measured.latency_us.p99 / 1e3));
            Ok((kind, measured))
        };
        Ok(Self { of: OURS.into_iter().map(one).collect::<Result<_>>()? })
    }

    /// Microseconds.
    pub(crate) fn latency(&self, kind: Kind) -> Option<Latency> {
        self.of.iter().find(|(of, _)| *of == kind).map(|(_, measured)| measured.latency_us)
    }

    pub(crate) fn table(&self) -> Table {
        let mut table =
            Table::new(["server", "tasks", "p50, ms", "p90, ms", "p99, ms", "p99.9, ms", "longest, ms"]);
        for (kind, measured) in &self.of {
            let Latency { p50, p90, p99, p999, max } = measured.latency_us;
            let [p50, p90, p99, p999, max] = [p50, p90, p99, p999, max].map(|us| short(us / 1e3));
            table.row([kind.label().to_owned(), measured.done.to_string(), p50, p90, p99, p999, max]);
        }
        table
    }
}
