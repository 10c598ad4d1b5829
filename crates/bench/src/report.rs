//! What a run has shown, as JSON and as a table.

mod table;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Write, stdout};
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;
use serde::{Serialize, Serializer};

use crate::checks::Checks;
use crate::drive::Measured;
use crate::latencies::Summary;
use crate::options::Shared;
use crate::processes::ServerUsage;

/// What a run has shown. Counts and times are of the measured part, without the warm-up; checks are of all of it.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Which load: the name of the subcommand.
    pub load: &'static str,
    /// Where the server listens.
    pub address: SocketAddr,
    /// `closed` or `open`.
    #[serde(rename = "loop")]
    pub kind: &'static str,
    /// Units a second that were asked for, in an open loop.
    pub rate: Option<f64>,
    /// How many connections worked at the same time.
    pub connections: usize,
    /// Whether connections were used again.
    pub keep_alive: bool,
    /// How many agents polled.
    pub agents: u64,
    /// How they arrived, if that came first.
    pub arrival: Option<Arrival>,
    /// How long was measured.
    pub seconds: f64,
    /// How many units were done.
    pub done: u64,
    /// `done` by `seconds`.
    pub per_second: f64,
    /// Requests answered, by `seconds`, whatever the answers.
    pub requests_per_second: f64,
    /// How long the units took; in an open loop from when they were due.
    pub latency_us: Summary,
    /// How long the requests of a unit took, from when they were sent, if there are several.
    #[serde(serialize_with = "in_order")]
    pub steps: Vec<(&'static str, Summary)>,
    /// Units that the server refused with 503.
    pub refused: u64,
    /// Units of an open loop that were due, and for which no connection was free until the end.
    pub unsent: u64,
    /// Units that failed, by how.
    pub errors: BTreeMap<String, u64>,
    /// What was wrong with tasks.
    pub checks: Checks,
    /// What the server has used, if its process was named.
    pub server: Option<ServerUsage>,
    /// Processor time that making the load has taken, in seconds.
    pub client_cpu_seconds: f64,
}

/// Agents that polled for the first time, before anything was measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Arrival {
    /// How many there were.
    pub agents: u64,
    /// How long they took.
    pub seconds: f64,
}

fn in_order<S: Serializer>(steps: &[(&'static str, Summary)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(steps.iter().copied())
}

impl Report {
    pub(crate) fn new(load: &'static str, shared: &Shared, agents: u64, measured: Measured) -> Self {
        let Measured { plan, tally, times, seconds, unsent, server, client_cpu_seconds } = measured;
        let per_second = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        let steps = tally.steps.iter().zip(&times.steps).filter(|(_, times)| !times.is_empty());
        let steps = steps.map(|(name, times)| (*name, times.summary()));
        Self {
            load,
            address: shared.address,
            kind: if plan.rate.is_some() { "open" } else { "closed" },
            rate: plan.rate,
            connections: plan.connections,
            keep_alive: !shared.close,
            agents,
            arrival: None,
            seconds,
            done: tally.done,
            per_second: per_second(tally.done),
            requests_per_second: per_second(tally.requests),
            latency_us: times.whole.summary(),
            steps: steps.collect(),
            refused: tally.refused,
            unsent,
            errors: tally.errors,
            checks: tally.checks,
            server,
            client_cpu_seconds,
        }
    }

    /// Writes it where the options say.
    pub(crate) fn write(&self, shared: &Shared) -> anyhow::Result<()> {
        let mut out = stdout().lock();
        match shared.json.as_deref() {
            Some(path) if path == Path::new("-") => {
                serde_json::to_writer(&mut out, self)?;
                writeln!(out)?;
            }
            Some(path) => {
                let mut file = File::create(path).with_context(|| path.display().to_string())?;
                serde_json::to_writer(&mut file, self)?;
                writeln!(file)?;
                write!(out, "{self}")?;
            }
            None => write!(out, "{self}")?,
        }
        Ok(())
    }
}
