//! Fills the store over HTTP.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use uuid::Uuid;

use super::Backlog;
use crate::client::{Client, Request};
use crate::drive::drive;
use crate::ids::Ids;
use crate::ledger::Ledger;
use crate::options::{Plan, Shared};
use crate::stop::Stop;
use crate::tally::Tally;
use crate::tasks::{Polled, Tasks, poll_body};
use crate::unit::{GaveUp, Took, Worker, ask};

/// How many connections fill, whatever measures.
const CONNECTIONS: usize = 64;

/// How many tasks are posted, claimed and reported together.
const BATCH: u64 = 50;

/// How often to try again what the server has no time for, and how long to wait in between.
const ATTEMPTS: u32 = 500;
const AGAIN: Duration = Duration::from_millis(20);

impl Backlog {
    /// Stores tasks, first those that are finished, then those that wait.
    pub(super) async fn fill(&self, task_type: &str, ledger: &Arc<Ledger>, stop: &Stop) -> Result<()> {
        let done_type = if self.same_type { task_type.to_owned() } else { format!("{task_type}-finished") };
        let finished = self.stored - self.waiting;
        self.store(finished, stop, |batch| Fill::new(&self.options, &done_type, batch, Then::Finish)).await?;
        let waits = Then::Wait(Arc::clone(ledger));
        self.store(self.waiting, stop, |batch| Fill::new(&self.options, task_type, batch, waits.clone()))
            .await
    }

    async fn store(&self, tasks: u64, stop: &Stop, fill: impl Fn(Batches) -> Fill) -> Result<()> {
        let batches = Batches { tasks };
        let plan = Plan {
            connections: CONNECTIONS,
            rate: None,
            warm_up: Duration::ZERO,
            measured: None,
            count: Some(tasks.div_ceil(BATCH)),
        };
        let workers = (0..CONNECTIONS).map(|_| fill(batches)).collect();
        let filled = drive("filling", &self.options, plan, workers, stop).await?;
        ensure!(!stop.is_asked(), "stopped while the store was filled");
        let problem = filled.tally.errors.keys().next();
        ensure!(problem.is_none(), "the store cannot be filled: {}", problem.map_or("", String::as_str));
        ensure!(filled.tally.refused == 0, "the store cannot be filled: the server has no time for it");
        Ok(())
    }
}

/// How many tasks are to be stored, in batches.
#[derive(Debug, Clone, Copy)]
struct Batches {
    tasks: u64,
}

impl Batches {
    fn size(self, n: u64) -> u64 {
        BATCH.min(self.tasks.saturating_sub(n * BATCH))
    }
}

/// What becomes of tasks once they are posted.
#[derive(Debug, Clone)]
enum Then {
    Finish,
    Wait(Arc<Ledger>),
}

/// Stores batches of tasks.
struct Fill {
    shared: Shared,
    client: Client,
    ids: Ids,
    tasks: Tasks,
    task_type: String,
    agent_id: Uuid,
    batches: Batches,
    then: Then,
}

const POST: usize = 0;
const CLAIM: usize = 1;
const REPORT: usize = 2;

impl Fill {
    fn new(shared: &Shared, task_type: &str, batches: Batches, then: Then) -> Self {
        Self {
            shared: shared.clone(),
            client: shared.client(),
            ids: Ids::new(),
            tasks: Tasks::new(shared, task_type),
            task_type: task_type.to_owned(),
            agent_id: Uuid::new_v4(),
            batches,
            then,
        }
    }

    async fn post(&mut self, tally: &mut Tally) -> Result<(), GaveUp> {
        let task = self.ids.next();
        if let Then::Wait(ledger) = &self.then {
            ledger.sent(task);
        }
        insist(&mut self.client, self.tasks.post(task), POST, tally).await?;
        if let Then::Wait(ledger) = &self.then {
            ledger.posted(task);
        }
        Ok(())
    }

    /// Claims and reports as many tasks as it has posted. They may be those of others, who then have these.
    async fn finish_tasks(&mut self, tasks: usize, tally: &mut Tally) -> Result<(), GaveUp> {
        let mut left = tasks;
        for _ in 0..ATTEMPTS {
            let poll = poll_body(&self.agent_id.to_string(), "Python Agent 1.0", &self.task_type, left);
            let poll = Request::post(self.shared.address, self.shared.close, "/tasks", &poll.to_string());
            let body = insist(&mut self.client, &poll, CLAIM, tally).await?;
            let claimed: Vec<Uuid> = Polled::parse(&body)?.tasks.iter().map(|task| task.task_id).collect();
            for task in &claimed {
                insist(&mut self.client, self.tasks.report(*task), REPORT, tally).await?;
            }
            left = left.saturating_sub(claimed.len());
            if left == 0 {
                return Ok(());
            }
            tokio::time::sleep(AGAIN).await;
        }
        Err(GaveUp::Failed("claim: not all that was posted is handed out".to_owned()))
    }
}

impl Worker for Fill {
    const STEPS: &'static [&'static str] = &["post", "claim", "report"];

    async fn unit(&mut self, n: u64, tally: &mut Tally) -> Result<Took, GaveUp> {
        let tasks = self.batches.size(n);
        for _ in 0..tasks {
            self.post(tally).await?;
        }
        if matches!(self.then, Then::Finish) {
            self.finish_tasks(tasks as usize, tally).await?;
        }
        Ok(Took::AllOfIt)
    }
}

/// Asks again as long as the server has no time for it.
async fn insist(
    client: &mut Client,
    request: &Request,
    step: usize,
    tally: &mut Tally,
) -> Result<Vec<u8>, GaveUp> {
    for _ in 0..ATTEMPTS {
        match ask(client, request, step, tally).await {
            Err(GaveUp::Refused) => tokio::time::sleep(AGAIN).await,
            answered => return answered.map(<[u8]>::to_vec),
        }
    }
    Err(GaveUp::Refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_come_to_all_tasks() {
        for tasks in [0, 1, 49, 50, 51, 1_000, 1_234] {
            let batches = Batches { tasks };
            let sizes = (0..tasks.div_ceil(BATCH)).map(|n| batches.size(n));
            assert_eq!(sizes.sum::<u64>(), tasks);
        }
    }
}
