//! Loads, each a process of its own, and what they measured.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::kind::OURS;
use super::server::Server;
use super::workshop::Workshop;

/// What a load says as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) connections: u32,
    pub(crate) keep_alive: bool,
    /// Of a fleet.
    #[serde(default)]
    pub(crate) arrival: Option<Arrival>,
    pub(crate) seconds: f64,
    /// Polls or lives.
    pub(crate) done: u64,
    pub(crate) per_second: f64,
    pub(crate) requests_per_second: f64,
    pub(crate) latency_us: Latency,
    #[serde(default)]
    pub(crate) steps: BTreeMap<String, Latency>,
    pub(crate) refused: u64,
    /// Of an open loop: due, but no connection was free.
    #[serde(default)]
    pub(crate) unsent: u64,
    #[serde(default)]
    pub(crate) errors: BTreeMap<String, u64>,
    #[serde(default)]
    pub(crate) checks: Checks,
    pub(crate) server: Option<ServerUse>,
}

/// Agents that polled for the first time.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Arrival {
    pub(crate) agents: u64,
    pub(crate) seconds: f64,
}

/// Microseconds.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

/// What must be zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checks {
    pub(crate) lost: u64,
    pub(crate) twice: u64,
    pub(crate) altered: u64,
}

/// What the server took meanwhile.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct ServerUse {
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_rss_bytes: u64,
    pub(crate) rss_bytes: u64,
}

impl Measured {
    /// A share of one core.
    pub(crate) fn server_cores(&self) -> Option<f64> {
        self.server.map(|server| server.cpu_seconds / self.seconds)
    }

    /// What went wrong, in one line; nothing when nothing did.
    pub(crate) fn complaint(&self) -> Option<String> {
        let Checks { lost, twice, altered } = self.checks;
        let checks = [("lost", lost), ("twice", twice), ("altered", altered)];
        let checks =
            checks.into_iter().filter(|(_, count)| *count > 0).map(|(what, n)| format!("{what}: {n}"));
        let errors = self.errors.iter().map(|(what, count)| format!("{what}: {count}"));
        let all: Vec<_> = checks.chain(errors).collect();
        (!all.is_empty()).then(|| all.join(", "))
    }
}

/// Runs a load for as long as the scale says.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_timed(workshop: &Workshop, name: &str, server: &Server, args: &[&str]) -> Result<Measured> {
    let seconds = workshop.scale.seconds.as_secs_f64().to_string();
    let warm_up = workshop.scale.warm_up.as_secs_f64().to_string();
    let all = [&["--seconds", &seconds, "--warm-up", &warm_up], args].concat();
    run(workshop, name, server, &all, None)
}

/// Runs `slamon-bench NAME ADDRESS ARGS`. With `core`, all of it runs on that one.
///
/// # Errors
/// When it measured nothing, or somebody pressed Ctrl-C meanwhile.
pub(crate) fn run(
    workshop: &Workshop,
    name: &str,
    server: &Server,
    args: &[&str],
    core: Option<u32>,
) -> Result<Measured> {
    workshop.go_on()?;
    let file = workshop.scratch().join("load.json");
    let mut words = Vec::new();
    if let Some(core) = core {
        words.extend(["taskset".into(), "-c".into(), core.to_string()]);
    }
    words.extend([workshop.itself().display().to_string(), name.to_owned(), server.address.to_string()]);
    words.extend(["--pid".to_owned(), server.pid().to_string()]);
    words.extend(["--json".to_owned(), file.display().to_string()]);
    words.extend(args.iter().map(|&word| word.to_owned()));
    // Errors, and a progress bar if this is a terminal, are for whoever looks on.
    let status = Command::new(&words[0]).args(&words[1..]).stdout(Stdio::null()).status()?;
    workshop.go_on()?;
    let said = || format!("{} ({status})", words.join(" "));
    let json = fs::read_to_string(&file).with_context(said)?;
    fs::remove_file(&file)?;
    let measured: Measured = serde_json::from_str(&json).with_context(said)?;
    if let Some(complaint) = measured.complaint() {
        let complaint = format!("{name}, {}: {complaint}", server.kind.label());
        eprintln!("{complaint}");
        if OURS.contains(&server.kind) {
            workshop.complaints.borrow_mut().push(complaint);
        }
    }
    Ok(measured)
}
