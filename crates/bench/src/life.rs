//! Whole lives of tasks: post, claim, report, get. Each task must be handed out once, and come back as it was posted
//! and reported.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use uuid::Uuid;

use crate::client::{Client, Request};
use crate::drive::drive;
use crate::ids::Ids;
use crate::ledger::{HandedOut, Ledger};
use crate::options::{Defaults, Shared};
use crate::tally::Tally;
use crate::tasks::{Polled, Seen, Tasks, poll_body};
use crate::unit::{GaveUp, Took, Worker, ask};
use crate::{Load, Report, Stop};

/// `slamon-bench life`.
#[derive(Debug, Clone, Args)]
pub struct Life {
    #[command(flatten)]
    shared: Shared,
    /// All connections post and claim tasks of one type, so that they are handed each other's; else each has its own
    #[arg(long = "shared")]
    one_type: bool,
    /// That type, which nobody else may use meanwhile [default: one of this run]
    #[arg(long = "type", value_name = "NAME", requires = "one_type")]
    task_type: Option<String>,
}

impl Load for Life {
    fn shared(&self) -> &Shared {
        &self.shared
    }

    async fn run(&self, stop: &Stop) -> Result<Report> {
        let plan = self.shared.plan(Defaults::default())?;
        self.shared.reach().await?;
        let ledger = Arc::new(Ledger::default());
        let run = Uuid::new_v4();
        let pairs = (0..plan.connections).map(|place| {
            let task_type = match &self.task_type {
                Some(name) => name.clone(),
                None if self.one_type => format!("life-{run}"),
                None => format!("life-{run}-{place}"),
            };
            Pair::new(&self.shared, &task_type, Arc::clone(&ledger))
        });
        let mut measured = drive("life", &self.shared, plan, pairs.collect(), stop).await?;
        measured.tally.checks.lost = ledger.open();
        Ok(Report::new("life", &self.shared, plan.connections as u64, measured))
    }
}

const POST: usize = 0;
const CLAIM: usize = 1;
const REPORT: usize = 2;
const GET: usize = 3;

/// How often to ask again for what is left at the end, and how long to wait in between: longer than a server takes to
/// notice that a claim's answer did not reach anybody.
const ATTEMPTS: u32 = 30;
const AGAIN: Duration = Duration::from_millis(100);

/// A BPMS client and an agent on one connection.
struct Pair {
    client: Client,
    ids: Ids,
    tasks: Tasks,
    claim: Request,
    ledger: Arc<Ledger>,
    /// Handed out to us, and not yet seen finished.
    in_hand: Vec<Uuid>,
}

impl Pair {
    fn new(shared: &Shared, task_type: &str, ledger: Arc<Ledger>) -> Self {
        let claim = poll_body(&Uuid::new_v4().to_string(), "Python Agent 1.0", task_type, 1);
        Self {
            client: shared.client(),
            ids: Ids::new(),
            tasks: Tasks::new(shared, task_type),
            claim: Request::post(shared.address, shared.close, "/tasks", &claim),
            ledger,
            in_hand: Vec::new(),
        }
    }

    /// Claims a task; says how many came that nobody had before.
    async fn claim(&mut self, tally: &mut Tally) -> Result<usize, GaveUp> {
        let body = ask::<Self>(CLAIM, &mut self.client, &self.claim, tally).await?;
        let before = self.in_hand.len();
        for claimed in &Polled::parse(body)?.tasks {
            match self.ledger.handed_out(claimed.task_id) {
                HandedOut::First => self.in_hand.push(claimed.task_id),
                HandedOut::Again => tally.checks.twice += 1,
                HandedOut::Unknown => {
                    tally.checks.altered += 1;
                    continue;
                }
            }
            tally.checks.altered += u64::from(!self.tasks.is_as_posted(claimed));
        }
        Ok(self.in_hand.len() - before)
    }

    /// Looks whether a task has come to its end as it was reported.
    async fn get(&mut self, task: Uuid, tally: &mut Tally) -> Result<(), GaveUp> {
        let body = ask::<Self>(GET, &mut self.client, self.tasks.get(task), tally).await?;
        if !self.tasks.is_as_reported(task, &Seen::parse(body)?) {
            tally.checks.altered += 1;
        }
        self.ledger.finished(task);
        Ok(())
    }
}

impl Worker for Pair {
    const STEPS: &'static [&'static str] = &["post", "claim", "report", "get"];

    async fn unit(&mut self, _n: u64, tally: &mut Tally) -> Result<Took, GaveUp> {
        let task = self.ids.next();
        self.ledger.sent(task);
        ask::<Self>(POST, &mut self.client, self.tasks.post(task), tally).await?;
        self.ledger.posted(task);
        if self.claim(tally).await? == 0 {
            // What was handed out twice is left to whoever had it first.
            return Err(GaveUp::Failed("claim: was handed nothing new".to_owned()));
        }
        let Some(&task) = self.in_hand.last() else { unreachable!("it was handed something") };
        ask::<Self>(REPORT, &mut self.client, self.tasks.report(task), tally).await?;
        self.get(task, tally).await?;
        self.in_hand.retain(|in_hand| *in_hand != task);
        Ok(Took::AllOfIt)
    }

    async fn finish(&mut self, tally: &mut Tally) {
        for _ in 0..ATTEMPTS {
            while let Ok(1..) = self.claim(tally).await {}
            while let Some(&task) = self.in_hand.last() {
                // It may have been taken before, and the answer lost: what is stored tells.
                let _ = ask::<Self>(REPORT, &mut self.client, self.tasks.report(task), tally).await;
                if self.get(task, tally).await.is_err() {
                    break;
                }
                self.in_hand.pop();
            }
            if self.ledger.open() == 0 {
                return;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}
