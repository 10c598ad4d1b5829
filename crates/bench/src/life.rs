//! Whole lives of tasks: post, claim, report, get. Each task must be handed out once, and come back as it was posted
//! and reported.

use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use uuid::Uuid;

use crate::drive::drive;
use crate::ledger::Ledger;
use crate::load::Load;
use crate::options::{Defaults, Shared};
use crate::pair::{Pair, Steps};
use crate::report::Report;
use crate::stop::Stop;
use crate::tally::Tally;
use crate::unit::{GaveUp, Took, Worker};

/// `slamon-bench life`.
#[derive(Debug, Clone, Args)]
pub struct Life {
    #[command(flatten)]
    options: Shared,
    /// All connections post and claim tasks of one type, so that they are handed each other's; else each has its own
    #[arg(long)]
    shared: bool,
}

impl Load for Life {
    fn shared(&self) -> &Shared {
        &self.options
    }

    async fn run(&self, stop: &Stop) -> Result<Report> {
        let plan = self.options.plan(Defaults::default())?;
        self.options.reach().await?;
        let ledger = Arc::new(Ledger::default());
        let run = Uuid::new_v4();
        let lives = (0..plan.connections).map(|place| {
            let task_type = if self.shared { format!("life-{run}") } else { format!("life-{run}-{place}") };
            Lives(Pair::new(&self.options, &task_type, Arc::clone(&ledger)))
        });
        let mut measured = drive("life", &self.options, plan, lives.collect(), stop).await?;
        measured.tally.checks.lost = ledger.open();
        Ok(Report::new("life", &self.options, plan.connections as u64, measured))
    }
}

const POST: usize = 0;
const STEPS: Steps = Steps { claim: 1, report: 2, get: 3 };

/// Lives of tasks, one after the other.
pub(crate) struct Lives(pub(crate) Pair);

impl Worker for Lives {
    const STEPS: &'static [&'static str] = &["post", "claim", "report", "get"];

    async fn unit(&mut self, _n: u64, tally: &mut Tally) -> Result<Took, GaveUp> {
        let Self(pair) = self;
        pair.post(POST, tally).await?;
        let task = pair.claim(STEPS.claim, tally).await?;
        pair.report(task, STEPS.report, tally).await?;
        pair.get(task, STEPS.get, tally).await?;
        Ok(Took::AllOfIt)
    }

    async fn finish(&mut self, tally: &mut Tally) {
        self.0.finish(STEPS, tally).await;
    }
}
