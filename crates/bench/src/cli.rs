//! The command line: one subcommand a load.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::attack::Attack;
use crate::backlog::Backlog;
use crate::batches::Batches;
use crate::dispatch::Dispatch;
use crate::fleet::Fleet;
use crate::life::Life;
use crate::load::Load;
use crate::mix::Mix;
use crate::poll::Poll;
use crate::read::Read;
use crate::stop::Stop;
use crate::{bare, compare, instructions};

/// The run was started in a way that nothing can be measured.
const CANNOT_MEASURE: u8 = 2;

/// Ended by a signal, as shells say it.
const INTERRUPTED: i32 = 130;

/// Load for an AFM
#[derive(Debug, Parser)]
#[command(name = "slamon-bench", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// An idle fleet: agents that poll and find nothing
    Poll(Poll),
    /// Whole lives: post a task, claim it, report its result, read it
    Life(Life),
    /// Whole lives in batches: many tasks in one request
    Batches(Batches),
    /// Claims, and polls of others, while many tasks are stored and waiting
    Backlog(Backlog),
    /// How soon an agent that holds a poll open is handed a task that is posted
    Dispatch(Dispatch),
    /// A large fleet: each agent polls at its interval, whatever became of the polls before
    Fleet(Fleet),
    /// What an innocent client sees while others have the server keep what they never finish
    Attack(Attack),
    /// One path, asked for over and over: a list, or a page of the dashboard
    Read(Read),
    /// The requests of lives, whatever the answers: for the bare route
    Mix(Mix),
    /// A bare axum route that parses the same requests: what any server here could reach
    Bare(bare::Options),
    /// Ours, the original and yardsticks side by side
    Compare(compare::Options),
    /// How many instructions a request takes, by valgrind
    Instructions(instructions::Options),
}

/// Runs the program and gives its exit status: 0 measured, 1 a check has failed, 2 nothing could be measured.
#[must_use]
pub fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Poll(load) => measure(&load),
        Command::Life(load) => measure(&load),
        Command::Batches(load) => measure(&load),
        Command::Backlog(load) => measure(&load),
        Command::Dispatch(load) => measure(&load),
        Command::Fleet(load) => measure(&load),
        Command::Attack(load) => measure(&load),
        Command::Read(load) => measure(&load),
        Command::Mix(load) => measure(&load),
        Command::Bare(options) => bare::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Compare(options) => compare::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Instructions(options) => instructions::run(&options).map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| {
        eprintln!("slamon-bench: {error:#}");
        ExitCode::from(CANNOT_MEASURE)
    })
}

fn measure(load: &impl Load) -> Result<ExitCode> {
    let shared = load.shared();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(shared.threads).enable_all().build()?;
    let report = runtime.block_on(async {
        let stop = Stop::default();
        tokio::spawn(stop_when_told(stop.clone()));
        load.run(&stop).await
    })?;
    report.write(shared).context("the report cannot be written")?;
    Ok(if report.checks.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The first Ctrl-C ends the run early, the second the program.
async fn stop_when_told(stop: Stop) {
    for ended in [false, true] {
        if tokio::signal::ctrl_c().await.is_err() {
            return;
        }
        if ended {
            std::process::exit(INTERRUPTED);
        }
        stop.ask();
    }
}
