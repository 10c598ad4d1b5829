//! Commits batches: each is tried until it is committed or cannot be.

use std::time::Duration;

use jiff::Timestamp;
use slamon_domain::{Applied, Command};

use super::apply::{self, ApplyOptions, BatchFacts, LastTripFailure, Locks};
use super::database::PostgresDatabase;
use super::errors::PgError;
use super::shared_state::SharedState;
use crate::error::StoreError;

/// Commits batches to a database.
pub(super) struct BatchRunner<'s> {
    pub(super) database: &'s PostgresDatabase,
    pub(super) shared: &'s SharedState,
    /// How long an attempt may take of a task that does not say; `None`: for ever.
    pub(super) default_timeout: Option<Duration>,
}

impl BatchRunner<'_> {
    /// Applies a batch in one transaction, which is tried again where that may help. `now` must be a time as
    /// it is stored: in whole microseconds.
    pub(super) async fn commit(&self, batch: &[Command], now: Timestamp) -> Result<Applied, StoreError> {
        let pause = &self.shared.notify_pause;
        let default_timeout = self.default_timeout;
        let others = &self.shared.other_afms;
        let notifies = !pause.is_paused() && others.may_listen();
        // While others listen, they are likely to be faster now and then.
        let claims_last = !others.may_listen();
        let mut options = ApplyOptions { locks: Locks::Brief, notifies, claims_last, default_timeout };
        let (mut tried, mut of_notify) = (0, None);
        loop {
            tried += 1;
            let problem = match self.try_apply(batch, now, options).await {
                Ok(result) => {
                    match (&result, &of_notify) {
                        (Ok(_), Some(problem)) => pause.begin(problem),
                        // What is in doubt may have been committed.
                        _ if !options.notifies && pause.is_paused() => pause.note_unsent(),
                        _ if !options.notifies => others.note_unsent(),
                        _ => {}
                    }
                    return result;
                }
                Err(CommitFailure::OfNotify(problem)) => {
                    // The batch was rolled back; the next try tells whether the notifications were the cause.
                    (tried, options.notifies) = (0, false);
                    of_notify = Some(problem);
                    continue;
                }
                Err(CommitFailure::Missed) => {
                    (tried, options.claims_last) = (0, false);
                    continue;
                }
                Err(CommitFailure::Other(problem)) => problem,
            };
            if problem.waits_for_insert() {
                if options.locks == Locks::Sorting {
                    return Err(StoreError::Locked(anyhow::Error::msg(problem.describe())));
                }
                (tried, options.locks) = (0, Locks::Sorting);
            } else if problem.waits_for_lock() && options.locks == Locks::Brief {
                (tried, options.locks) = (0, Locks::Long);
            } else if !self.database.another_try(&problem, tried) {
                return Err(self.database.explain(problem).await);
            }
        }
    }

    async fn try_apply(
        &self,
        batch: &[Command],
        now: Timestamp,
        options: ApplyOptions,
    ) -> Result<Result<Applied, StoreError>, CommitFailure> {
        let (database, shared) = (self.database, self.shared);
        let _call = database.begin_call().await;
        let mut session = database.open(database.statement_timeout).await?;
        if options.locks != Locks::Brief {
            session.wait_long(database.statement_timeout).await?;
        }
        if batch.iter().any(|command| matches!(command, Command::Release { .. })) {
            session.bounded(shared.in_doubt.check_ended(&session)).await?;
        }
        let claiming = shared.claiming.begin();
        let begin = database.fitness.begin();
        let applied = apply::apply(&session, begin, batch, now, shared, &claiming, options);
        let (uncommitted, facts) = match session.bounded(applied).await {
            Ok(applied) => applied,
            Err(problem) => {
                if problem.is_refused() {
                    // The server reports an error before it lets go of the locks: the next try must not meet
                    // them.
                    if session.bounded(session.script("rollback")).await.is_ok() {
                        session.finish();
                    }
                }
                return Err(problem.into());
            }
        };
        let BatchFacts { claims, told, notifies, first_due, swept, transaction } = facts;
        let committed = async { Ok(uncommitted.commit(&session).await) };
        let failure = match session.bounded(committed).await {
            Ok(Ok((mut applied, number))) => {
                session.finish();
                applied.commit = transaction.or(number).and_then(|number| number.parse().ok());
                for done in swept {
                    shared.sweep_progress.done(done);
                }
                if let Some(due) = first_due {
                    shared.sweep_progress.note(due);
                }
                return Ok(Ok(applied));
            }
            Ok(Err(failure)) => failure,
            Err(problem) => LastTripFailure::Commit(problem),
        };
        match failure {
            LastTripFailure::Statement(problem) => Err(problem.into()),
            LastTripFailure::Missed => {
                session.finish();
                Err(CommitFailure::Missed)
            }
            LastTripFailure::Commit(problem) if problem.is_rolled_back() => {
                let of_notify = notifies && problem.may_be_of_notify();
                Err(if of_notify { CommitFailure::OfNotify(problem) } else { problem.into() })
            }
            LastTripFailure::Commit(problem) => {
                if let Some(transaction) = transaction {
                    shared.in_doubt.add(transaction);
                }
                Ok(Err(StoreError::InDoubt {
                    cause: anyhow::Error::msg(problem.describe()),
                    claimed_at: now,
                    claims,
                    cancelled: told,
                }))
            }
        }
    }
}

/// Why a batch was not committed.
enum CommitFailure {
    /// The notifications that are sent with it may be the cause.
    OfNotify(PgError),
    /// Somebody else was faster to take a task.
    Missed,
    Other(PgError),
}

impl From<PgError> for CommitFailure {
    fn from(problem: PgError) -> Self {
        Self::Other(problem)
    }
}
