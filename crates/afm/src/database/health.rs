//! Knows from the last commits and checks whether the database takes writes, and logs each reason why not
//! once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slamon_domain::{Replies, Reported, Submitted};
use slamon_store::{SchemaError, Store, StoreError};
use tokio::time::Instant;

use crate::logging::failure_log::{FailureLog, ShouldLog};

/// A finding holds for this long, however many ask.
const FRESH: Duration = Duration::from_secs(1);

/// A check that succeeds ends an outage only this long after the last failed commit: a disk may have room for
/// a check and not for a commit.
const QUIET: Duration = Duration::from_secs(10);

/// This many reasons of one outage are logged. There are few; a text that differs each time must not fill the
/// log.
const REASONS: usize = 8;

/// Why the database cannot be used, for clients: without names of files, hosts or users.
type Reason = String;

/// The health of the database, as far as it is known.
pub(crate) struct Health {
    store: Arc<dyn Store>,
    state: Mutex<HealthState>,
    /// The check that is under way holds this.
    checking: tokio::sync::Mutex<()>,
    failed_reads: FailureLog,
}

#[derive(Default)]
struct HealthState {
    /// The last finding, and when it was made.
    found: Option<(Instant, Result<(), Reason>)>,
    outage: Option<Outage>,
}

struct Outage {
    since: Instant,
    /// When a commit last failed, if one has.
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

    /// Checks that the database can be written and that its tables are as this version needs them. Asks the
    /// database only if nothing was written just now.
    ///
    /// # Errors
    /// Fails with the reason, for clients.
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
                    state.end_outage();
                }
                Ok(())
            }
            Err(error) => {
                let reason = reason(&error);
                let mut state = self.state();
                state.found = Some((Instant::now(), Err(reason.clone())));
                state.log(&error, "could not write to the database");
                Err(reason)
            }
        }
    }

    /// Notes that a batch was committed. Only some replies show that it has written anything.
    pub(crate) fn committed(self: &Arc<Self>, replies: &Replies) {
        let mut state = self.state();
        if have_written(replies) {
            state.found = Some((Instant::now(), Ok(())));
            state.end_outage();
        } else if state.outage.is_some() && !state.is_fresh() {
            drop(state);
            let health = Arc::clone(self);
            tokio::spawn(async move { health.check().await });
        }
    }

    /// Notes that a batch was not committed, for a reason that lies in none of its commands.
    pub(crate) fn commit_failed(&self, error: &StoreError, commands: usize) {
        let mut state = self.state();
        state.found = Some((Instant::now(), Err(reason(error))));
        if state.log(error, "could not commit a batch; further failures are logged at debug level") {
            tracing::debug!(error = format!("{error:#}"), commands, "could not commit a batch");
        }
        if let Some(outage) = &mut state.outage {
            outage.commit_failed = Some(Instant::now());
        }
    }

    /// Notes that a read failed.
    pub(crate) fn read_failed(&self, error: &StoreError) {
        if matches!(error, StoreError::Failed(_)) {
            let error = format!("{error:#}");
            if let ShouldLog::Yes { not_logged } = self.failed_reads.note(&error) {
                tracing::error!(error, not_logged, "could not read from the database");
            }
        } else if self
            .state()
            .log(error, "could not read from the database; further failures are logged at debug level")
        {
            tracing::debug!(error = format!("{error:#}"), "could not read from the database");
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

    /// Logs `error` once in an outage; returns `true` if it was logged before.
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
        // The error is in the message, since quotation marks are escaped in a field: it may hold commands to
        // be copied.
        tracing::error!("{what}: {error}");
        outage.logged.push(error);
        false
    }

    fn end_outage(&mut self) {
        if let Some(outage) = self.outage.take() {
            tracing::info!(
                after_seconds = outage.since.elapsed().as_secs(),
                "the database takes commits again"
            );
        }
    }
}

/// Says whether any of these replies proves a write. A batch that finds nothing to do writes nothing, and is
/// committed also where nothing could be written. Replies to cancels, heartbeats and operators
/// prove nothing.
fn have_written(replies: &Replies) -> bool {
    let Replies { submits, polls, reports, cancels: _, releases, seen: _, sweeps, operations: _ } = replies;
    submits.contains(&Ok(Ok(Submitted::Stored)))
        || reports.contains(&Ok(Ok(Reported::Stored)))
        || polls.iter().flatten().any(|polled| !polled.tasks.is_empty() || !polled.cancelled.is_empty())
        || releases.iter().flatten().any(|tasks| *tasks > 0)
        || sweeps.iter().flatten().any(|s| s.settled + s.lost + s.forgotten + s.deleted > 0)
}

/// Returns the reason for clients. Names of files, hosts and users are only in the log.
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
