//! A BPMS client and an agent on one connection.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::client::{Client, Request};
use crate::ids::Ids;
use crate::ledger::{HandedOut, Ledger};
use crate::options::Shared;
use crate::tally::Tally;
use crate::tasks::{Polled, Seen, Tasks, poll_body};
use crate::unit::{GaveUp, ask};

/// How often to ask again for what is left at the end, and how long to wait in between: longer than a server takes to
/// notice that a claim's answer did not reach anybody.
const ATTEMPTS: u32 = 30;
const AGAIN: Duration = Duration::from_millis(100);

/// Posts tasks of one type and claims such, and checks what it is handed.
pub(crate) struct Pair {
    client: Client,
    ids: Ids,
    claim: Request,
    hand: Hand,
}

/// What the agent has, and what it knows of it.
struct Hand {
    tasks: Tasks,
    ledger: Arc<Ledger>,
    /// Whether there may be tasks that none of us has posted.
    strangers: bool,
    /// Handed out to us, and not yet seen finished.
    held: Vec<Uuid>,
}

/// The places of the requests among the steps of a unit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Steps {
    pub(crate) claim: usize,
    pub(crate) report: usize,
    pub(crate) get: usize,
}

impl Pair {
    pub(crate) fn new(shared: &Shared, task_type: &str, ledger: Arc<Ledger>) -> Self {
        let claim = poll_body(&Uuid::new_v4().to_string(), "Python Agent 1.0", task_type, 1);
        Self {
            client: shared.client(),
            ids: Ids::new(),
            claim: Request::post(shared.address, shared.close, "/tasks", &claim.to_string()),
            hand: Hand { tasks: Tasks::new(shared, task_type), ledger, strangers: false, held: Vec::new() },
        }
    }

    /// Tasks that none of us has posted are no fault.
    pub(crate) fn among_strangers(mut self, strangers: bool) -> Self {
        self.hand.strangers = strangers;
        self
    }

    /// Posts a new task.
    pub(crate) async fn post(&mut self, step: usize, tally: &mut Tally) -> Result<(), GaveUp> {
        let task = self.ids.next();
        self.hand.ledger.sent(task);
        ask(&mut self.client, self.hand.tasks.post(task), step, tally).await?;
        self.hand.ledger.posted(task);
        Ok(())
    }

    /// Claims a task, one that nobody had before.
    pub(crate) async fn claim(&mut self, step: usize, tally: &mut Tally) -> Result<Uuid, GaveUp> {
        let body = ask(&mut self.client, &self.claim, step, tally).await?;
        self.hand.take(body, tally)
    }

    /// Takes what came with the answer to a poll on another connection.
    pub(crate) fn take(&mut self, body: &[u8], tally: &mut Tally) -> Result<Uuid, GaveUp> {
        self.hand.take(body, tally)
    }

    /// Reports the result of a task.
    pub(crate) async fn report(&mut self, task: Uuid, step: usize, tally: &mut Tally) -> Result<(), GaveUp> {
        ask(&mut self.client, self.hand.tasks.report(task), step, tally).await.map(drop)
    }

    /// Looks whether a task has come to its end as it was reported.
    pub(crate) async fn get(&mut self, task: Uuid, step: usize, tally: &mut Tally) -> Result<(), GaveUp> {
        let body = ask(&mut self.client, self.hand.tasks.get(task), step, tally).await?;
        let seen = Seen::parse(body)?;
        if !self.hand.tasks.is_as_reported(task, &seen) {
            tally.checks.altered += 1;
        }
        self.finished(task);
        Ok(())
    }

    /// Nothing more is to be done with a task.
    pub(crate) fn finished(&mut self, task: Uuid) {
        self.hand.ledger.finished(task);
        self.hand.held.retain(|held| *held != task);
    }

    /// Claims what is left of its type, and brings all that it has to its end.
    pub(crate) async fn finish(&mut self, steps: Steps, tally: &mut Tally) {
        for _ in 0..ATTEMPTS {
            self.finish_held(steps, tally).await;
            while self.claim(steps.claim, tally).await.is_ok() {
                self.finish_held(steps, tally).await;
            }
            if self.hand.ledger.open() == 0 {
                return;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Reports and reads what it was handed.
    async fn finish_held(&mut self, steps: Steps, tally: &mut Tally) {
        while let Some(&task) = self.hand.held.last() {
            // It may have been taken before, and the answer lost: what is stored tells.
            let _ = self.report(task, steps.report, tally).await;
            if self.get(task, steps.get, tally).await.is_err() {
                return;
            }
        }
    }
}

impl Hand {
    /// Takes the tasks in the answer to a poll, and gives the last one that nobody had before.
    fn take(&mut self, body: &[u8], tally: &mut Tally) -> Result<Uuid, GaveUp> {
        let mut new = None;
        for claimed in &Polled::parse(body)?.tasks {
            let task = claimed.task_id;
            let whole = match self.ledger.handed_out(task) {
                HandedOut::First => self.tasks.is_as_posted(claimed),
                HandedOut::Unknown if self.strangers => self.tasks.is_for_us(claimed),
                // Whoever had it first goes on with it.
                HandedOut::Again => {
                    tally.checks.twice += 1;
                    continue;
                }
                HandedOut::Unknown => {
                    tally.checks.altered += 1;
                    self.ledger.finished(task);
                    continue;
                }
            };
            tally.checks.altered += u64::from(!whole);
            self.held.push(task);
            new = Some(task);
        }
        new.ok_or_else(|| GaveUp::Failed("claim: was handed nothing new".to_owned()))
    }
}
