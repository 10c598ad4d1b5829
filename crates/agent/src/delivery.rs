//! Delivers results to the AFM, in the order in which they came.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::value::RawValue;
use slamon_client::Backoff;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::afm::{Afm, Delivered, Problem, SMALL, TaskResult};
use crate::failure::Failure;
use crate::handler::Outcome;
use crate::metrics::Metrics;
use crate::spool::{Spool, Spooled};

/// So many results are posted in one request at most.
const AT_ONCE: usize = 100;
/// Several results in one request have so many bytes at most: an AFM takes a MiB if nothing else is said.
const BYTES_AT_ONCE: usize = 512 << 10;
/// The longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// So many characters of a refusal become a task's error at most, which is then [`SMALL`].
const LONGEST_REASON: usize = 1_000;

/// The results that are not delivered yet.
#[derive(Debug)]
pub(crate) struct Delivery {
    spool: Mutex<Spool>,
    changed: Notify,
    /// Told whenever a result needs no place any more.
    pub(crate) freed: Notify,
    emptied: Notify,
    metrics: Arc<Metrics>,
}

impl Delivery {
    pub(crate) fn new(spool: Spool, metrics: Arc<Metrics>) -> Self {
        let [changed, freed, emptied] = std::array::from_fn(|_| Notify::new());
        Self { spool: Mutex::new(spool), changed, freed, emptied, metrics }
    }

    /// Stores a result, to be delivered.
    pub(crate) async fn add(self: &Arc<Self>, task_id: Uuid, outcome: Outcome) {
        let delivery = Arc::clone(self);
        let stored = tokio::task::spawn_blocking(move || {
            match serde_json::value::to_raw_value(&TaskResult::new(task_id, &outcome)) {
                Ok(body) => {
                    let placed = delivery.spool().place(task_id, body);
                    // Nobody else waits for the disk.
                    let stored = placed.store();
                    delivery.spool().add(stored);
                }
                Err(problem) => tracing::error!(%task_id, %problem, "could not write a result as JSON"),
            }
        });
        if let Err(problem) = stored.await {
            tracing::error!(%task_id, %problem, "could not store a result");
        }
        self.changed.notify_one();
    }

    /// The tasks whose results are not delivered.
    pub(crate) fn ids(&self) -> Vec<Uuid> {
        self.spool().ids().collect()
    }

    /// Whether the result of a task waits.
    pub(crate) fn has(&self, task_id: Uuid) -> bool {
        self.spool().ids().any(|id| id == task_id)
    }

    /// The tasks whose results a restart of the agent delivers.
    pub(crate) fn stored_ids(&self) -> Vec<Uuid> {
        let spool = self.spool();
        if spool.is_on_disk() { spool.ids().collect() } else { Vec::new() }
    }

    /// Whether so much waits that no more should come.
    pub(crate) fn is_full(&self) -> bool {
        self.spool().is_full()
    }

    pub(crate) fn len(&self) -> usize {
        self.spool().len()
    }

    /// Delivers what there is and what comes, for ever.
    pub(crate) async fn run(self: &Arc<Self>, afm: &Afm) {
        let mut backoff = Backoff::new(LONGEST_WAIT);
        loop {
            let first = self.spool().first(AT_ONCE, BYTES_AT_ONCE);
            if first.is_empty() {
                self.changed.notified().await;
                continue;
            }
            match self.deliver(afm, &first).await {
                Ok(()) => backoff.reset(),
                Err(problem) => {
                    let wait = problem.wait(&mut backoff);
                    let (waiting, problem_text) = (self.len(), problem.to_string());
                    tracing::warn!(
                        problem = problem_text,
                        waiting,
                        wait_s = wait.as_secs_f64(),
                        "could not deliver results"
                    );
                    afm.wait(&problem, wait).await;
                }
            }
        }
    }

    /// Waits until there is nothing to deliver.
    pub(crate) async fn emptied(&self) {
        loop {
            // It hears of what happens from here on.
            let emptied = self.emptied.notified();
            if self.len() == 0 {
                return;
            }
            emptied.await;
        }
    }

    async fn deliver(self: &Arc<Self>, afm: &Afm, first: &[Spooled]) -> Result<(), Problem> {
        if first.len() > 1 {
            let bodies: Vec<&RawValue> = first.iter().map(|result| &*result.body).collect();
            if let Some(delivered) = afm.deliver_many(&bodies).await? {
                for (result, delivered) in first.iter().zip(delivered) {
                    self.done(result, delivered?).await;
                }
                return Ok(());
            }
        }
        for result in first {
            let delivered = afm.deliver(&result.body).await?;
            self.done(result, delivered).await;
        }
        Ok(())
    }

    async fn done(self: &Arc<Self>, result: &Spooled, delivered: Delivered) {
        let task_id = result.task_id;
        self.metrics.delivered(delivered == Delivered::Stored);
        match delivered {
            Delivered::Stored => {}
            // An error that is refused although it is small is replaced by no other: that would be refused, too.
            Delivered::Unfit(reason) if !(result.is_error() && result.body.get().len() <= SMALL) => {
                let reason: String = reason.chars().take(LONGEST_REASON).collect();
                tracing::warn!(%task_id, reason, "the AFM does not take a result: the task fails with that");
                let failure = Failure::new(format!("the AFM does not take the result: {reason}"));
                self.add(task_id, Err(failure)).await;
            }
            Delivered::Unfit(reason) | Delivered::Refused(reason) => {
                tracing::warn!(%task_id, reason, "dropped a result that the AFM does not want");
            }
        }
        // Removing a file is short, and nothing waits for it.
        self.spool().remove(result);
        self.freed.notify_one();
        if self.len() == 0 {
            self.emptied.notify_waiters();
        }
    }

    fn spool(&self) -> MutexGuard<'_, Spool> {
        self.spool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
