//! From the start of the process to its first answer.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use slamon_testbed::free_port;

use super::kind::{Kind, OURS};
use super::place::Place;
use super::probe::until_answered;
use super::server;
use super::spread::Spread;
use super::table::Table;
use super::workshop::Workshop;

const PATIENCE: Duration = Duration::from_secs(60);

/// Milliseconds to the first 200 of `/status`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Starts {
    of: Vec<Start>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Start {
    kind: Kind,
    /// On an empty database: tables are made.
    empty_ms: f64,
    /// On the same one again.
    again_ms: f64,
}

impl Starts {
    /// Starts each of ours on empty databases, and again.
    ///
    /// # Errors
    /// When a server does not start.
    pub(crate) fn measure(workshop: &Workshop) -> Result<Self> {
        let mut of = Vec::new();
        for _ in 0..workshop.scale.starts {
            for kind in OURS {
                let place = workshop.place(kind)?;
                let empty_ms = start(workshop, kind, &place)?;
                let again_ms = start(workshop, kind, &place)?;
                of.push(Start { kind, empty_ms, again_ms });
            }
        }
        Ok(Self { of })
    }

    /// On an empty database.
    pub(crate) fn empty(&self, kind: Kind) -> Option<Spread> {
        self.spread(kind, |start| start.empty_ms)
    }

    fn spread(&self, kind: Kind, pick: impl Fn(&Start) -> f64) -> Option<Spread> {
        Spread::of(self.of.iter().filter(|start| start.kind == kind).map(pick))
    }

    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new(["server", "starts", "empty database, ms", "tables are there, ms"]);
        for kind in OURS {
            if let (Some(empty), Some(again)) = (self.empty(kind), self.spread(kind, |start| start.again_ms))
            {
                let starts = self.of.iter().filter(|start| start.kind == kind).count();
                table.row([
                    kind.label().to_owned(),
                    starts.to_string(),
                    empty.to_string(),
                    again.to_string(),
                ]);
            }
        }
        table
    }
}

/// Without the guard that other servers have around them: a shell takes a millisecond or two to start.
fn start(workshop: &Workshop, kind: Kind, place: &Place) -> Result<f64> {
    workshop.go_on()?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let server::Command { program, args, env } = server::command(workshop, kind, place, address)?;
    let mut command = Command::new(program);
    command.args(args).env_clear().envs(env).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let began = Instant::now();
    let mut child = command.spawn()?;
    let alive = || child.try_wait().is_ok_and(|ended| ended.is_none());
    let took = until_answered((address, "/status"), 200, began, PATIENCE, alive);
    child.kill()?;
    child.wait()?;
    Ok(took?.as_secs_f64() * 1e3)
}
