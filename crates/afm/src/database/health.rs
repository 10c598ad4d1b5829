//! Whether the database takes writes, as the last commits and checks tell; and one line in the log for each reason why not.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slamon_store::{Replies, Reported, SchemaError, Store, StoreError, Submitted};
use tokio::time::Instant;

use crate::logging::failure_log::{FailureLog, ShouldLog};

/// For how long what was found holds, however many ask.
const FRESH: Duration = Duration::from_secs(1);

/// How long after the last commit that failed a check that succeeds counts for more: a disk may have room for the one and not
/// for the other.
const QUIET: Duration = Duration::from_secs(10);

/// How many reasons of one outage are logged. There are few; a text that is different each time must not fill the log.
const REASONS: usize = 8;

/// Why the database cannot be used, without names of files, hosts or users: for clients.
type Reason = String;

/// What is known of the database.
pub(crate) struct Health {
    store: Arc<dyn Store>,
    state: Mutex<HealthState>,
    /// Held by the check that is under way.
    checking: tokio::sync::Mutex<()>,
    failed_reads: FailureLog,
}

#[derive(Default)]
struct HealthState {
    /// What was found last, and when.
    found: Option<(Instant, Result<(), Reason>)>,
    outage: Option<Outage>,
}

struct Outage {
    since: Instant,
    /// When a commit failed last, if one did.
    commit_failed: Option<Instant>,
    logged: Vec<String>,
}

impl Health {
    pub(crate) fn new(store: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            store,
            state: Mutex::default(),
            checking: tokio::sync::Mutex::default(),
            failed_reads: FailureLog::default(),
        })
    }

    /// Whether the database can be written and its tables are as this version needs them; asks the database where nothing
    /// was written just now.
    ///
    /// # Errors
    /// Why not, for clients.
    pub(crate) async fn check(&self) -> Result<(), Reason> {
        if let Some(found) = self.fresh() {
            return found;
        }
        let _checking = self.checking.lock().await;
        if let Some(found) = self.fresh() {
            return found;
        }
        match self.store.check().await {
            Ok(()) => {
                let mut state = self.state();
                state.found = Some((Instant::now(), Ok(())));
                let commit_failed = state.outage.as_ref().and_then(|outage| outage.commit_failed);
                if commit_failed.is_none_or(|at| at.elapsed() >= QUIET) {
                    state.is_over();
                }
                Ok(())
            }
            Err(error) => {
                let reason = reason(&error);
                let mut state = self.state();
                state.found = Some((Instant::now(), Err(reason.clone())));
                state.log(&error, "the database cannot be written");
                Err(reason)
            }
        }
    }

    /// A batch was committed. Whether that wrote anything can be told of some replies only.
    pub(crate) fn committed(self: &Arc<Self>, replies: &Replies) {
        let mut state = self.state();
        if have_written(replies) {
            state.found = Some((Instant::now(), Ok(())));
            state.is_over();
        } else if state.outage.is_some() && !state.is_fresh() {
            drop(state);
            let health = Arc::clone(self);
            tokio::spawn(async move { health.check().await });
        }
    }

    /// A batch was not committed, and it was none of its commands that the database refused.
    pub(crate) fn commit_failed(&self, error: &StoreError, commands: usize) {
        let mut state = self.state();
        state.found = Some((Instant::now(), Err(reason(error))));
        if state.log(error, "nothing was committed, and what follows is logged at debug level") {
            tracing::debug!(error = format!("{error:#}"), commands, "nothing was committed");
        }
        if let Some(outage) = &mut state.outage {
            outage.commit_failed = Some(Instant::now());
        }
    }

    /// Something could not be read.
    pub(crate) fn read_failed(&self, error: &StoreError) {
        if matches!(error, StoreError::Failed(_)) {
            let error = format!("{error:#}");
            if let ShouldLog::Aloud { not_logged } = self.failed_reads.note(&error) {
                tracing::error!(error, not_logged, "a read failed");
            }
        } else if self.state().log(error, "a read failed, and what follows is logged at debug level") {
            tracing::debug!(error = format!("{error:#}"), "a read failed");
        }
    }

    fn fresh(&self) -> Option<Result<(), Reason>> {
        let state = self.state();
        state.found.as_ref().filter(|_| state.is_fresh()).map(|(_, found)| found.clone())
    }

    fn state(&self) -> MutexGuard<'_, HealthState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HealthState {
    fn is_fresh(&self) -> bool {
        self.found.as_ref().is_some_and(|(at, _)| at.elapsed() < FRESH)
    }

    /// Logs `error`, unless that was done in this outage; then it gives `true`.
    fn log(&mut self, error: &StoreError, what: &str) -> bool {
        let outage = self.outage.get_or_insert_with(|| Outage {
            since: Instant::now(),
            commit_failed: None,
            logged: Vec::new(),
        });
        let is_said = error.is_said();
        let error = format!("{error:#}");
        if is_said || outage.logged.contains(&error) || outage.logged.len() >= REASONS {
            return true;
        }
        // In the message and not in a field, where quotation marks are escaped: it may hold commands to be copied.
        tracing::error!("{what}: {error}");
        outage.logged.push(error);
        false
    }

    fn is_over(&mut self) {
        if let Some(outage) = self.outage.take() {
            tracing::info!(
                after_seconds = outage.since.elapsed().as_secs(),
                "the database takes commits again"
            );
        }
    }
}

/// Whether any of these came of a write, without a doubt: a batch that finds nothing to do writes nothing, and is committed
/// also where nothing could be written. Of cancels and of agents that were seen it cannot be told.
fn have_written(replies: &Replies) -> bool {
    let Replies { submits, polls, reports, cancels: _, releases, seen: _, sweeps } = replies;
    submits.contains(&Ok(Ok(Submitted::Stored)))
        || reports.contains(&Ok(Ok(Reported::Stored)))
        || polls.iter().flatten().any(|polled| !polled.tasks.is_empty() || !polled.cancelled.is_empty())
        || releases.iter().flatten().any(|tasks| *tasks > 0)
        || sweeps.iter().flatten().any(|s| s.settled + s.lost + s.forgotten + s.deleted > 0)
}

/// Without names of files, hosts and users, which are for the log.
fn reason(error: &StoreError) -> Reason {
    match error {
        StoreError::Schema(SchemaError::Denied(_)) => {
            "the database does not allow what is needed; the log says what".to_owned()
        }
        StoreError::Schema(SchemaError::Unusable(_)) => {
            "no task can be kept in the database; the log says why".to_owned()
        }
        StoreError::Schema(error) => error.to_string(),
        StoreError::ReadOnly(_) => "the database takes no writes; the log says why".to_owned(),
        StoreError::Unavailable(_)
        | StoreError::Locked(_)
        | StoreError::InDoubt { .. }
        | StoreError::Failed(_) => "the database is not available".to_owned(),
    }
}
