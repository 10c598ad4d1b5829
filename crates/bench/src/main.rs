//! Puts an AFM under load and says what it did: `slamon-bench poll` and `slamon-bench life`.
//!
//! Closed loop: each connection sends its next request when the answer to the last has come. It speaks protocol 1
//! only, so that it measures slamon-afm 1.1.0 just as well.

mod bare;
mod client;
mod compare;
mod life;
mod poll;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

/// Load for an AFM
#[derive(Debug, Parser)]
#[command(name = "slamon-bench", version)]
struct Arguments {
    #[command(subcommand)]
    load: Load,
}

#[derive(Debug, Subcommand)]
enum Load {
    /// Agents that poll and find nothing
    Poll(Options),
    /// Whole lives: post a task, claim it, report its result, read it
    Life(Options),
    /// A bare axum route that parses the same requests
    Bare(bare::Options),
    /// All servers side by side
    Compare(compare::Options),
}

#[derive(Debug, Clone, Args)]
struct Options {
    /// Where the AFM listens
    address: SocketAddr,
    /// How many connections work at the same time
    #[arg(long, short, default_value_t = 32)]
    connections: usize,
    /// How long to go on, in seconds
    #[arg(long, short, default_value_t = 5.0)]
    seconds: f64,
    /// A new connection for every request, as the Python agent does
    #[arg(long)]
    close: bool,
}

fn main() -> Result<()> {
    let load = match Arguments::parse().load {
        Load::Bare(options) => return bare::run(&options),
        Load::Compare(options) => return compare::run(&options),
        load => load,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match load {
            Load::Poll(options) => run("polls", &options, poll::worker).await,
            Load::Life(options) => run("lives", &options, life::worker).await,
            Load::Bare(_) | Load::Compare(_) => Ok(()),
        }
    })
}

/// What one worker has done by the end: how long each unit of work took.
type Latencies = Vec<Duration>;

async fn run<F>(what: &str, options: &Options, worker: impl Fn(Options, Instant) -> F) -> Result<()>
where
    F: Future<Output = Result<Latencies>> + Send + 'static,
{
    let started = Instant::now();
    let end = started + Duration::from_secs_f64(options.seconds);
    let workers: Vec<_> =
        (0..options.connections).map(|_| tokio::spawn(worker(options.clone(), end))).collect();
    let mut latencies = Vec::new();
    for worker in workers {
        latencies.extend(worker.await??);
    }
    let seconds = started.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let at = |share: f64| {
        let place = ((latencies.len() as f64 * share) as usize).min(latencies.len().saturating_sub(1));
        latencies.get(place).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
    };
    println!(
        "{what}: {} in {seconds:.1} s = {:.0}/s, {} connections{}; ms: median {:.2}, p99 {:.2}, most {:.2}",
        latencies.len(),
        latencies.len() as f64 / seconds,
        options.connections,
        if options.close { ", each request on a new one" } else { "" },
        at(0.5),
        at(0.99),
        at(1.0),
    );
    Ok(())
}
