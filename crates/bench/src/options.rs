//! The options that all loads share.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, FromArgMatches};
use tokio::net::TcpStream;

use crate::client::Client;

/// The longest time that any option takes, in seconds.
const LONGEST: f64 = 86_400.0;

/// Options of every load.
#[derive(Debug, Clone, Args)]
pub struct Shared {
    /// Where the AFM listens: IP:PORT
    pub address: SocketAddr,
    /// How many connections work at the same time
    #[arg(long, short)]
    pub(crate) connections: Option<usize>,
    /// Seconds to measure; 5, if nothing else is said, without --count
    #[arg(long, short, value_parser = seconds)]
    pub(crate) seconds: Option<f64>,
    /// How many units to measure
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Units a second, due at fixed times, each timed from when it was due; without it, one after the other
    #[arg(long, short, value_parser = rate)]
    pub(crate) rate: Option<f64>,
    /// Seconds of load before the measured part
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) warm_up: Option<f64>,
    /// A new connection for every request, as the Python agent does
    #[arg(long)]
    pub(crate) close: bool,
    /// How long to wait for an answer
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) timeout: f64,
    /// Report as JSON to a file; - is standard output, instead of the table
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// The server's process, whose processor time and memory to report, with those of its children
    #[arg(long)]
    pub(crate) pid: Option<u32>,
    /// Threads that make the load
    #[arg(long, default_value = "2", value_parser = threads)]
    pub(crate) threads: usize,
    /// Show no progress
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// The arguments of one subcommand, without its name.
///
/// # Errors
///
/// When they are wrong.
pub fn parse<A: Args + FromArgMatches>(arguments: &[&str]) -> Result<A> {
    let command = A::augment_args(clap::Command::new("load").no_binary_name(true));
    Ok(A::from_arg_matches(&command.try_get_matches_from(arguments)?)?)
}

/// What a load does where nothing was said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Defaults {
    pub(crate) connections: usize,
    pub(crate) count: Option<u64>,
    pub(crate) rate: Option<f64>,
    pub(crate) warm_up: f64,
    pub(crate) seconds: f64,
}

impl Default for Defaults {
    fn default() -> Self {
        Self { connections: 64, count: None, rate: None, warm_up: 0.0, seconds: 5.0 }
    }
}

/// How a load runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) connections: usize,
    /// Units a second, if they are due at fixed times.
    pub(crate) rate: Option<f64>,
    pub(crate) warm_up: Duration,
    /// How long to measure; at least one of this and `count` is there.
    pub(crate) measured: Option<Duration>,
    /// How many units to measure.
    pub(crate) count: Option<u64>,
}

impl Plan {
    /// How many units an open loop has, with those of the warm-up.
    pub(crate) fn units(&self, rate: f64) -> u64 {
        let in_time = |time: Duration| (time.as_secs_f64() * rate).ceil() as u64;
        let warm_up = in_time(self.warm_up);
        let timed = self.measured.map(|time| in_time(self.warm_up + time));
        let counted = self.count.map(|count| warm_up + count);
        timed.into_iter().chain(counted).min().unwrap_or(warm_up)
    }
}

impl Shared {
    pub(crate) fn plan(&self, defaults: Defaults) -> Result<Plan> {
        let count = self.count.or(defaults.count.filter(|_| self.seconds.is_none()));
        let seconds = self.seconds.or_else(|| count.is_none().then_some(defaults.seconds));
        let connections = self.connections.unwrap_or(defaults.connections);
        ensure!(connections > 0, "--connections: must be at least 1");
        Ok(Plan {
            connections,
            rate: self.rate.or(defaults.rate),
            warm_up: Duration::from_secs_f64(self.warm_up.unwrap_or(defaults.warm_up)),
            measured: seconds.map(Duration::from_secs_f64),
            count,
        })
    }

    /// A client of the server.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.address, self.close, Duration::from_secs_f64(self.timeout))
    }

    /// Whether somebody listens at all.
    pub(crate) async fn reach(&self) -> Result<()> {
        let connected = TcpStream::connect(self.address).await;
        connected.map(drop).with_context(|| format!("nobody answers at {}", self.address))
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "must be a number".to_owned())?;
    (0.0..=LONGEST).contains(&seconds).then_some(seconds).ok_or(format!("must be from 0 to {LONGEST}"))
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "must be a number".to_owned())?;
    (0.001..=1e7).contains(&rate).then_some(rate).ok_or("must be from 0.001 to 10000000".to_owned())
}

fn threads(text: &str) -> Result<usize, String> {
    let threads: usize = text.parse().map_err(|_| "must be a number".to_owned())?;
    (1..=64).contains(&threads).then_some(threads).ok_or("must be from 1 to 64".to_owned())
}
