//! How soon an agent that holds a poll open is handed a task that is posted: from when the post is sent until the
//! poll is answered.
//!
//! `max_wait` is an addition to protocol 1, which slamon-afm 1.1.0 refuses.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
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
use crate::tasks::poll_body;
use crate::unit::{GaveUp, Took, Worker, judge};

/// How many tasks to post when nothing else is said.
const COUNT: u64 = 2_000;

/// `slamon-bench dispatch`.
#[derive(Debug, Clone, Args)]
pub struct Dispatch {
    #[command(flatten)]
    options: Shared,
    /// Milliseconds between sending the poll and posting the task: nothing tells when the server holds the poll
    #[arg(long, value_name = "MS", default_value = "2", value_parser = clap::value_parser!(u64).range(..=10_000))]
    pause: u64,
}

impl Load for Dispatch {
    fn shared(&self) -> &Shared {
        &self.options
    }

    async fn run(&self, stop: &Stop) -> Result<Report> {
        let defaults = Defaults { connections: 1, count: Some(COUNT), ..Defaults::default() };
        let plan = self.options.plan(defaults)?;
        self.options.reach().await?;
        let ledger = Arc::new(Ledger::default());
        let waits = (0..plan.connections).map(|_| self.waits(&ledger));
        let mut measured = drive("dispatch", &self.options, plan, waits.collect(), stop).await?;
        measured.tally.checks.lost = ledger.open();
        Ok(Report::new("dispatch", &self.options, plan.connections as u64, measured))
    }
}

impl Dispatch {
    fn waits(&self, ledger: &Arc<Ledger>) -> Waits {
        let task_type = format!("dispatch-{}", Uuid::new_v4());
        let mut poll = poll_body(&Uuid::new_v4().to_string(), "Python Agent 1.0", &task_type, 1);
        // Answered before our own patience ends.
        poll["max_wait"] = (self.options.timeout / 2.0).into();
        Waits {
            pause: Duration::from_millis(self.pause),
            agent: self.options.client(),
            poll: Request::post(self.options.address, self.options.close, "/tasks", &poll.to_string()),
            pair: Pair::new(&self.options, &task_type, Arc::clone(ledger)),
        }
    }
}

const POST: usize = 0;
const POLL: usize = 1;
const STEPS: Steps = Steps { claim: 2, report: 3, get: 4 };

/// An agent that waits on one connection for what is posted on another.
struct Waits {
    pause: Duration,
    agent: Client,
    poll: Request,
    pair: Pair,
}

impl Worker for Waits {
    /// There is nothing to claim but what a poll did not get.
    const STEPS: &'static [&'static str] = &["post", "poll", "claim", "report", "get"];

    async fn unit(&mut self, _n: u64, tally: &mut Tally) -> Result<Took, GaveUp> {
        let Self { pause, agent, poll, pair } = self;
        agent.write(poll).await.map_err(|failure| GaveUp::Failed(format!("poll: {failure}")))?;
        tokio::time::sleep(*pause).await;
        let began = Instant::now();
        let post = pair.post(POST, tally);
        // If it is not posted, the poll is given up with its connection.
        let answer = async { Ok((agent.answer().await, began.elapsed())) };
        let ((), (answer, took)) = tokio::try_join!(post, answer)?;
        let task = pair.take(judge(answer, took, POLL, tally)?, tally)?;
        pair.report(task, STEPS.report, tally).await?;
        pair.get(task, STEPS.get, tally).await?;
        Ok(Took::Only(took))
    }

    async fn finish(&mut self, tally: &mut Tally) {
        self.pair.finish(STEPS, tally).await;
    }
}
