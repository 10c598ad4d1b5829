//! Statistics: the one place that counts what happens to tasks.
//!
//! The commit loop gives each change of a task's state to the ledger, which adds it up in memory. Once a second
//! the sums are saved: the figures of each minute, and the changes of how many tasks wait and run. A crash loses
//! what was not saved; a count of the tasks sets the kept counts right again. Metrics and `/api/v1/overview` read
//! these figures. How the attempts of each agent ended is added up beside that, and saved less often.

mod census;
mod figures;
mod gauges;
mod ledger;
mod outcomes;
mod overview;
mod places;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use slamon_domain::Applied;
use slamon_store::{Saved, Store, StoreError};
use tokio::time::Instant;
use uuid::Uuid;

use crate::clock::Clock;
use crate::logging::failure_log::{FailureLog, ShouldLog};
use crate::metrics;
use figures::Cached;
pub use figures::{LATELY, MinutePoint, OverviewFigures, StoreGauges, TypeTimes};
use ledger::Ledger;
pub use ledger::TASK_TYPES;
use outcomes::OutcomeLedger;
pub use places::PlaceFigures;

/// Statistics are saved once in this long.
const SAVE_AGAIN: Duration = Duration::from_secs(1);

/// Between two saves at least this many times as long passes as the last one took.
const SHARE_OF_SAVING: u32 = 10;

/// Minutes are kept for so long.
const KEPT: SignedDuration = SignedDuration::from_hours(26);

/// Old minutes are deleted once in this long, in steps of so many.
const PURGE_AGAIN: Duration = Duration::from_secs(300);
const PURGE_STEP: u32 = 500;

/// Where several AFMs change the counts, tasks are counted once in this long: a crash of another one leaves them
/// wrong.
const COUNT_AGAIN: Duration = Duration::from_secs(600);

/// Between two counts at least this many times as long passes as the last one took.
const SHARE_OF_COUNTING: u32 = 100;

/// A count that is needed because something was not saved, or perhaps twice, comes this long after the last one.
const COUNT_SOON: Duration = Duration::from_secs(10);

/// Counts what happens to tasks, in memory. All clones are one.
#[derive(Debug, Clone, Default)]
pub struct Tally(Arc<Noted>);

#[derive(Debug, Default)]
struct Noted {
    ledger: Mutex<Ledger>,
    outcomes: Mutex<OutcomeLedger>,
}

impl Tally {
    /// Notes what a batch has changed.
    pub(crate) fn note(&self, applied: &Applied) {
        if applied.transitions.is_empty() {
            return;
        }
        self.outcomes().note(&applied.transitions);
        let mut ledger = self.ledger();
        ledger.note(&applied.transitions, applied.commit);
        if metrics::are_sent() {
            let is_named: Vec<bool> =
                applied.transitions.iter().map(|transition| ledger.is_named(transition)).collect();
            drop(ledger);
            metrics::tasks::changed(&applied.transitions, ledger::counter, &is_named);
        }
    }

    /// Notes why a batch was not committed. If it was perhaps, nobody knows what it has changed.
    pub(crate) fn note_doubt_of(&self, error: &StoreError) {
        if matches!(error, StoreError::InDoubt { .. }) {
            self.ledger().must_count = true;
        }
    }

    /// Reads what was counted since the start of this process.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Ledger) -> T) -> T {
        read(&self.ledger())
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outcomes(&self) -> MutexGuard<'_, OutcomeLedger> {
        self.0.outcomes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Saves what a [`Tally`] has counted, and reads what all AFMs have saved. All clones are one.
#[derive(Clone)]
pub struct Statistics(Arc<SharedStatistics>);

struct SharedStatistics {
    store: Arc<dyn Store>,
    instance: Uuid,
    tally: Tally,
    /// Whoever saves holds the lock.
    saving: tokio::sync::Mutex<()>,
    failures: FailureLog,
    overview: Cached<OverviewFigures>,
    gauges: Cached<StoreGauges>,
    places: places::Places,
}

impl Statistics {
    /// Saves in `store` what `tally` counts.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, tally: Tally) -> Self {
        Self(Arc::new(SharedStatistics {
            store,
            instance: Uuid::new_v4(),
            tally,
            saving: tokio::sync::Mutex::default(),
            failures: FailureLog::default(),
            overview: Cached::default(),
            gauges: Cached::default(),
            places: places::Places::default(),
        }))
    }

    /// Returns what counts in memory.
    pub(crate) fn tally(&self) -> &Tally {
        &self.0.tally
    }

    /// Saves what was noted until now.
    ///
    /// # Errors
    /// Fails when it could not be saved; it is kept, and saved the next time.
    pub async fn save(&self) -> Result<(), StoreError> {
        let _saving = self.0.saving.lock().await;
        let update = Arc::new(self.ledger().take(self.0.instance));
        if update.minutes.is_empty() && update.changes.is_empty() {
            return Ok(());
        }
        // What was taken goes back also where this future is dropped; then nobody knows whether it was saved.
        let mut taken = Taken { statistics: self, update: Some(Arc::clone(&update)), is_unsure: true };
        let saved = self.0.store.save_statistics(update).await;
        match saved {
            Ok(Saved::Busy) => taken.is_unsure = false,
            Ok(saved) => {
                taken.update = None;
                taken.is_unsure = saved == Saved::Unsure;
            }
            Err(_) => {}
        }
        saved.map(|_| ())
    }

    /// Saves before a read that shows what has happened.
    pub(crate) async fn save_for_read(&self) {
        // If this fails, the read that follows is a little behind, or fails and says why.
        let _ = self.save().await;
    }

    /// Counts the tasks and sets the kept counts right; `false` if somebody else is at it.
    ///
    /// # Errors
    /// Fails when they could not be counted.
    pub async fn recount(&self) -> Result<bool, StoreError> {
        self.ledger().must_count = false;
        let counted = self.0.store.recount_tasks().await;
        if !matches!(counted, Ok(Saved::Done | Saved::Unsure)) {
            self.ledger().must_count = true;
        }
        counted.map(|counted| counted != Saved::Busy)
    }

    /// Saves once a second for ever.
    pub(crate) async fn keep_saved(self) {
        loop {
            let began = Instant::now();
            if let Err(error) = self.save().await {
                self.failed("could not save statistics", &error);
            }
            tokio::time::sleep(SAVE_AGAIN.max(began.elapsed() * SHARE_OF_SAVING)).await;
        }
    }

    /// Counts tasks at the start, and again where that is needed, for ever.
    pub(crate) async fn keep_counted(self) {
        let is_shared = self.0.store.is_shared();
        loop {
            let began = Instant::now();
            let counted = self.recount().await;
            if let Err(error) = &counted {
                self.failed("could not count tasks", error);
            }
            let took = began.elapsed();
            let is_done = matches!(counted, Ok(true));
            if is_done {
                tracing::debug!(elapsed_ms = took.as_millis(), "counted the tasks that wait and run");
            }
            let pause = if is_done { COUNT_SOON } else { SAVE_AGAIN };
            let pause = pause.max(took * SHARE_OF_COUNTING.min(10));
            tokio::time::sleep(pause).await;
            let again = COUNT_AGAIN.max(took * SHARE_OF_COUNTING);
            while is_done && !self.ledger().must_count && !(is_shared && began.elapsed() >= again) {
                tokio::time::sleep(SAVE_AGAIN).await;
            }
        }
    }

    /// Deletes old minutes now and then, for ever.
    pub(crate) async fn keep_purged(self, clock: Clock) {
        loop {
            let before = clock.now().checked_sub(KEPT).unwrap_or(Timestamp::MIN);
            loop {
                match self.0.store.purge_statistics(before, PURGE_STEP).await {
                    Ok(deleted) if deleted >= u64::from(PURGE_STEP) => tokio::task::yield_now().await,
                    Ok(_) => break,
                    Err(error) => {
                        self.failed("could not delete old statistics", &error);
                        break;
                    }
                }
            }
            tokio::time::sleep(PURGE_AGAIN).await;
        }
    }

    /// Logs a failure that is none of the database's being away, which others log.
    fn failed(&self, what: &str, error: &StoreError) {
        let text = format!("{error:#}");
        if !matches!(error, StoreError::Failed(_)) {
            tracing::debug!(error = text, "{what}");
        } else if let ShouldLog::Yes { not_logged } = self.0.failures.note(&text) {
            tracing::error!(error = text, not_logged, "{what}");
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.tally.ledger()
    }
}

impl fmt::Debug for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Statistics")
    }
}

/// What is being saved. It goes back if that fails.
struct Taken<'s> {
    statistics: &'s Statistics,
    update: Option<Arc<slamon_store::StatisticsUpdate>>,
    is_unsure: bool,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut ledger = self.statistics.ledger();
        if let Some(update) = self.update.take() {
            ledger.put_back(&update);
        }
        ledger.must_count |= self.is_unsure;
    }
}
