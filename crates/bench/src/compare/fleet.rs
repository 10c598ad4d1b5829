//! A large fleet on one core.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::kind::{Kind, OURS};
use super::load::{self, Measured};
use super::server::{LOAD_CORE, SERVER_CORE, Server};
use super::spread::{grouped, short};
use super::table::Table;
use super::workshop::Workshop;

/// What each server took.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Fleets {
    pub(crate) agents: u64,
    /// Seconds between two polls of one.
    pub(crate) interval: u64,
    of: Vec<(Kind, Measured)>,
}

impl Fleets {
    /// Each of ours, once: the fleet arrives, polls for an interval, and is measured after that.
    ///
    /// # Errors
    /// When a server or a load does not run.
    pub(crate) fn measure(workshop: &Workshop) -> Result<Self> {
        let (agents, interval) = (workshop.scale.agents, workshop.scale.interval.as_secs());
        let [agents_text, interval_text, seconds] =
            [agents, interval, workshop.scale.fleet.as_secs()].map(|number| number.to_string());
        let args = ["--agents", &agents_text, "--interval", &interval_text, "--seconds", &seconds];
        let mut of = Vec::new();
        for kind in OURS {
            let place = workshop.place(kind)?;
            let server = Server::start(workshop, kind, &place, Some(SERVER_CORE))?;
            let measured = load::run(workshop, "fleet", &server, &args, Some(LOAD_CORE))?;
            eprintln!("{}: {} cores", kind.label(), short(measured.server_cores().unwrap_or(f64::NAN)));
            of.push((kind, measured));
        }
        Ok(Self { agents, interval, of })
    }

    /// What was measured of one.
    pub(crate) fn of(&self, kind: Kind) -> Option<&Measured> {
        self.of.iter().find(|(of, _)| *of == kind).map(|(_, measured)| measured)
    }

    /// Polls a second that the fleet should make.
    pub(crate) fn rate(&self) -> f64 {
        self.agents as f64 / self.interval as f64
    }

    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new([
            "server",
            "agents",
            "arrived in, s",
            "polls a second, due",
            "answered",
            "put off to after the end",
            "CPU seconds a second",
            "peak memory, MiB",
            "p50, ms",
            "p99, ms",
        ]);
        for (kind, measured) in &self.of {
            // A server that is late from the beginning on has answered nothing of what was due in the measured part.
            let time = |us: f64| (measured.done > 0).then_some(us / 1e3);
            let number = |number: Option<f64>| number.map_or_else(|| "–".to_owned(), short);
            table.row([
                kind.label().to_owned(),
                grouped(self.agents as f64),
                number(measured.arrival.map(|arrival| arrival.seconds)),
                grouped(self.rate()),
                grouped(measured.per_second),
                grouped(measured.unsent as f64),
                number(measured.server_cores()),
                number(measured.server.map(|server| mib(server.peak_rss_bytes))),
                number(time(measured.latency_us.p50)),
                number(time(measured.latency_us.p99)),
            ]);
        }
        table
    }
}

/// Bytes as MiB.
pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
