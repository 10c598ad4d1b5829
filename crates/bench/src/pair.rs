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
const ATTEMPTS: u32 = 10;
const AGAIN: Duration = Duration::from_millis(100);

/// How many tasks that are known already to take in a row: a server that hands them out for ever is known well enough.
const KNOWN: u32 = 100;

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
        self.hand.take(body, tally)?.task()
    }

    /// Takes what came with the answer to a poll on another connection: a task that nobody had before.
    pub(crate) fn take(&mut self, body: &[u8], tally: &mut Tally) -> Result<Uuid, GaveUp> {
        self.hand.take(body, tally)?.task()
    }

    /// Reports the result of a task.
    pub(crate) async fn report(&mut self, task: Uuid, step: usize, tally: &mut Tally) -> Result<(), GaveUp> {
        ask(&mut self.client, self.hand.tasks.report(task), step, tally).await.map(drop)
    }

    /// Looks whether a task whose result was taken has come to its end as it was reported.
    pub(crate) async fn get(&mut self, task: Uuid, step: usize, tally: &mut Tally) -> Result<(), GaveUp> {
        let body = ask(&mut self.client, self.hand.tasks.get(task), step, tally).await?;
        let seen = Seen::parse(body)?;
        tally.checks.altered += u64::from(!self.hand.tasks.is_as_reported(task, &seen));
        self.finished(task);
        Ok(())
    }

    /// The same where it is not known whether the result was taken.
    async fn get_unsure(&mut self, task: Uuid, step: usize, tally: &mut Tally) -> Result<(), GaveUp> {
        let body = ask(&mut self.client, self.hand.tasks.get(task), step, tally).await?;
        if Seen::parse(body)?.task_completed.is_none() {
            return Err(GaveUp::Failed("get: the task is not finished".to_owned()));
        }
        self.get(task, step, tally).await
    }

    /// Nothing more is to be done with a task.
    pub(crate) fn finished(&mut self, task: Uuid) {
        self.hand.ledger.finished(task);
        self.hand.held.retain(|held| *held != task);
    }

    /// Claims what is left of its type, and brings all that it has to its end.
    pub(crate) async fn finish(&mut self, steps: Steps, tally: &mut Tally) {
        let (mut attempts, mut open) = (0, self.hand.ledger.open());
        while attempts < ATTEMPTS {
            self.finish_held(steps, tally).await;
            let mut known = 0;
            while known < KNOWN
                && let Ok(body) = ask(&mut self.client, &self.claim, steps.claim, tally).await
                && let Ok(taken @ (Taken::New(_) | Taken::Known)) = self.hand.take(body, tally)
            {
                known = if matches!(taken, Taken::Known) { known + 1 } else { 0 };
                self.finish_held(steps, tally).await;
            }
            let left = self.hand.ledger.open();
            if left == 0 {
                return;
            }
            // A server with much to do may take its time, as long as there is progress.
            attempts = if left < open { 0 } else { attempts + 1 };
            open = left;
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Reports and reads what it was handed.
    async fn finish_held(&mut self, steps: Steps, tally: &mut Tally) {
        while let Some(&task) = self.hand.held.last() {
            let finished = match self.report(task, steps.report, tally).await {
                Ok(()) => self.get(task, steps.get, tally).await,
                // It may have been taken before, and the answer lost: what is stored tells.
                Err(_) => self.get_unsure(task, steps.get, tally).await,
            };
            if finished.is_err() {
                return;
            }
        }
    }
}

/// What the answer to a poll has brought.
#[derive(Debug, Clone, Copy)]
enum Taken {
    Nothing,
    /// Only tasks that somebody had before, or that nobody has posted.
    Known,
    /// A task to work on; the last, if there are several.
    New(Uuid),
}

impl Taken {
    /// The task to work on.
    fn task(self) -> Result<Uuid, GaveUp> {
        match self {
            Self::New(task) => Ok(task),
            Self::Known => Err(GaveUp::Failed("claim: was handed what is not for it".to_owned())),
            Self::Nothing => Err(GaveUp::Failed("claim: was handed nothing".to_owned())),
        }
    }
}

impl Hand {
    /// Takes the tasks in the answer to a poll.
    fn take(&mut self, body: &[u8], tally: &mut Tally) -> Result<Taken, GaveUp> {
        let mut taken = Taken::Nothing;
        for claimed in &Polled::parse(body)?.tasks {
            let task = claimed.task_id;
            let whole = match self.ledger.handed_out(task) {
                HandedOut::First => self.tasks.is_as_posted(claimed),
                HandedOut::Unknown if self.strangers => self.tasks.is_for_us(claimed),
                bad => {
                    // Whoever had it first goes on with it.
                    if bad == HandedOut::Again {
                        tally.checks.twice += 1;
                    } else {
                        tally.checks.altered += 1;
                        self.ledger.finished(task);
                    }
                    if matches!(taken, Taken::Nothing) {
                        taken = Taken::Known;
                    }
                    continue;
                }
            };
            tally.checks.altered += u64::from(!whole);
            self.held.push(task);
            taken = Taken::New(task);
        }
        Ok(taken)
    }
}
