//! The requests of whole lives, whatever the answers are: what a server without tasks makes of the same bytes.

use anyhow::Result;
use clap::Args;
use uuid::Uuid;

use crate::client::{Client, Request};
use crate::drive::drive;
use crate::ids::Ids;
use crate::load::Load;
use crate::options::{Defaults, Shared};
use crate::report::Report;
use crate::stop::Stop;
use crate::tally::Tally;
use crate::tasks::{Polled, Seen, Tasks, poll_body};
use crate::unit::{GaveUp, Took, Worker, ask};

/// `slamon-bench mix`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Mix {
    #[command(flatten)]
    options: Shared,
}

impl Load for Mix {
    fn shared(&self) -> &Shared {
        &self.options
    }

    async fn run(&self, stop: &Stop) -> Result<Report> {
        let plan = self.options.plan(Defaults::default())?;
        self.options.reach().await?;
        let run = Uuid::new_v4();
        let pairs =
            (0..plan.connections).map(|place| Pair::new(&self.options, &format!("life-{run}-{place}")));
        let measured = drive("mix", &self.options, plan, pairs.collect(), stop).await?;
        Ok(Report::new("mix", &self.options, plan.connections as u64, measured))
    }
}

/// A BPMS client and an agent on one connection.
struct Pair {
    client: Client,
    ids: Ids,
    tasks: Tasks,
    claim: Request,
}

impl Pair {
    fn new(shared: &Shared, task_type: &str) -> Self {
        let claim = poll_body(&Uuid::new_v4().to_string(), "Python Agent 1.0", task_type, 1);
        Self {
            client: shared.client(),
            ids: Ids::new(),
            tasks: Tasks::new(shared, task_type),
            claim: Request::post(shared.address, shared.close, "/tasks", &claim.to_string()),
        }
    }
}

impl Worker for Pair {
    const STEPS: &'static [&'static str] = &["post", "claim", "report", "get"];

    /// Answers are parsed as those of lives are, so that the client does as much.
    async fn unit(&mut self, _n: u64, tally: &mut Tally) -> Result<Took, GaveUp> {
        let Self { client, ids, tasks, claim } = self;
        let task = ids.next();
        ask(client, tasks.post(task), 0, tally).await?;
        Polled::parse(ask(client, claim, 1, tally).await?)?;
        ask(client, tasks.report(task), 2, tally).await?;
        Seen::parse(ask(client, tasks.get(task), 3, tally).await?)?;
        Ok(Took::AllOfIt)
    }
}
