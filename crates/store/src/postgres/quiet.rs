//! Whether this AFM tells others what it does.
//!
//! NOTIFY is part of a commit. Its queue is the whole cluster's: where a session of any database listens and stays in a
//! transaction, it fills up, and then no commit succeeds that says something. A commit must not depend on that: others look
//! for themselves.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::errors::Problem;

/// How full the queue may be for notifications to be relied on. PostgreSQL warns in its log from there on.
pub(super) const NEARLY_FULL: f64 = 0.5;

/// After how long it is tried again where something else than a full queue was in the way.
const AGAIN: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Quiet(Mutex<Option<Cause>>);

#[derive(Debug)]
struct Cause {
    since: Instant,
    is_full: bool,
    /// Whether others still have to be told to look.
    owes: bool,
}

impl Quiet {
    pub(super) fn is_quiet(&self) -> bool {
        self.cause().is_some()
    }

    /// A batch was committed without its notifications, after it could not be with them.
    pub(super) fn begin(&self, problem: &Problem) {
        let mut cause = self.cause();
        if cause.is_none() {
            tracing::warn!(
                error = problem.describe(),
                "commits go on without NOTIFY, and other AFMs look for themselves; a full queue is kept so by a session of any \
                 database that listens and stays in a transaction: see pg_stat_activity"
            );
        }
        *cause = Some(Cause { since: Instant::now(), is_full: problem.is_queue_full(), owes: true });
    }

    /// A batch was committed that said nothing.
    pub(super) fn said_nothing(&self) {
        if let Some(cause) = &mut *self.cause() {
            cause.owes = true;
        }
    }

    /// Whether others are to be told to look, by a NOTIFY that is no commit's: they notice a full queue themselves, but nothing else.
    pub(super) fn take_owed(&self) -> bool {
        let mut cause = self.cause();
        cause.as_mut().is_some_and(|cause| !cause.is_full && std::mem::take(&mut cause.owes))
    }

    /// Whether notifications may be sent again, now that so much of the queue is in use.
    pub(super) fn may_end(&self, usage: f64) -> bool {
        let cause = self.cause();
        let is_over = |cause: &Cause| cause.is_full || cause.since.elapsed() >= AGAIN;
        usage < NEARLY_FULL && cause.as_ref().is_some_and(is_over)
    }

    pub(super) fn end(&self) {
        if self.cause().take().is_some() {
            tracing::info!("other AFMs are notified again");
        }
    }

    fn cause(&self) -> MutexGuard<'_, Option<Cause>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
