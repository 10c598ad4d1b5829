//! Claims, and polls of others, while many tasks are stored and waiting.
//!
//! First the store is filled, unless that was done before (`--no-fill`): tasks that are posted, claimed and reported,
//! and then tasks that are only posted and wait. Each task that is claimed in the measured part is reported and another
//! one posted for it, so that as many wait at the end as at the start; of a unit's time only that of the claim counts.

mod fill;

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Args;
use uuid::Uuid;

use crate::client::{Client, Request};
use crate::drive::drive;
use crate::ledger::Ledger;
use crate::load::Load;
use crate::options::{Defaults, Shared};
use crate::pair::{Pair, Steps};
use crate::report::Report;
use crate::stop::Stop;
use crate::tally::Tally;
use crate::tasks::{Polled, poll_body};
use crate::unit::{GaveUp, Took, Worker, ask};

/// `slamon-bench backlog`.
#[derive(Debug, Clone, Args)]
pub struct Backlog {
    #[command(flatten)]
    options: Shared,
    /// How many tasks are stored before anything is measured
    #[arg(long, default_value = "1000", conflicts_with = "no_fill")]
    stored: u64,
    /// How many of them wait; the others are finished
    #[arg(long, default_value = "100", conflicts_with = "no_fill")]
    waiting: u64,
    /// The finished tasks are of the same type as those that wait
    #[arg(long, conflicts_with = "no_fill")]
    same_type: bool,
    /// The store is filled already, with tasks of the type --type and version 1 that wait
    #[arg(long, requires = "task_type")]
    no_fill: bool,
    /// The type of the tasks that wait; a new one if nothing is said
    #[arg(long = "type", value_name = "NAME")]
    task_type: Option<String>,
    /// At the end claim and report all that waits, and see that nothing was lost
    #[arg(long, conflicts_with = "no_fill")]
    drain: bool,
}

impl Load for Backlog {
    fn shared(&self) -> &Shared {
        &self.options
    }

    async fn run(&self, stop: &Stop) -> Result<Report> {
        let plan = self.options.plan(Defaults { connections: 8, ..Defaults::default() })?;
        ensure!(self.waiting <= self.stored, "--waiting: must not be more than --stored");
        self.options.reach().await?;
        let task_type = self.task_type.clone().unwrap_or_else(|| format!("backlog-{}", Uuid::new_v4()));
        let ledger = Arc::new(Ledger::default());
        if !self.no_fill {
            self.fill(&task_type, &ledger, stop).await?;
        }
        let claims = (0..plan.connections).map(|_| self.claims(&task_type, &ledger));
        let mut measured = drive("backlog", &self.options, plan, claims.collect(), stop).await?;
        if self.drain {
            measured.tally.checks.lost = ledger.open();
        }
        Ok(Report::new("backlog", &self.options, 2 * plan.connections as u64, measured))
    }
}

impl Backlog {
    fn claims(&self, task_type: &str, ledger: &Arc<Ledger>) -> Claims {
        let other = Uuid::new_v4();
        let idle = poll_body(&other.to_string(), "Python Agent 1.0", &format!("idle-{other}"), 1);
        Claims {
            other: self.options.client(),
            idle: Request::post(self.options.address, self.options.close, "/tasks", &idle.to_string()),
            pair: Pair::new(&self.options, task_type, Arc::clone(ledger)).among_strangers(self.no_fill),
            drain: self.drain,
        }
    }
}

const POLL: usize = 0;
const REPLACE: usize = 3;
const STEPS: Steps = Steps { claim: 1, report: 2, get: 4 };

/// An agent that claims, and one of another type that finds nothing.
struct Claims {
    other: Client,
    idle: Request,
    pair: Pair,
    drain: bool,
}

impl Worker for Claims {
    const STEPS: &'static [&'static str] = &["poll", "claim", "report", "post", "get"];

    async fn unit(&mut self, _n: u64, tally: &mut Tally) -> Result<Took, GaveUp> {
        let Self { other, idle, pair, .. } = self;
        let body = ask(other, idle, POLL, tally).await?;
        if !Polled::parse(body)?.tasks.is_empty() {
            return Err(GaveUp::Failed("poll: was handed a task of another type".to_owned()));
        }
        let began = Instant::now();
        let task = pair.claim(STEPS.claim, tally).await?;
        let took = began.elapsed();
        pair.report(task, STEPS.report, tally).await?;
        pair.finished(task);
        pair.post(REPLACE, tally).await?;
        Ok(Took::Only(took))
    }

    async fn finish(&mut self, tally: &mut Tally) {
        if self.drain {
            self.pair.finish(STEPS, tally).await;
        }
    }
}
