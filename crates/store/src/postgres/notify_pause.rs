//! The pause in sending notifications after a commit has failed because of one.
//!
//! NOTIFY is part of a commit. Its queue is the whole server's: where a session of any database listens and
//! stays in a transaction, the queue fills up, and then no commit succeeds that notifies. Batches must not
//! depend on that: they are committed without notifications meanwhile, and other AFMs look for themselves.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::errors::PgError;

/// How full the queue may be, from 0 to 1, for notifications to be relied on. PostgreSQL warns in its log
/// from there on.
pub(super) const NEARLY_FULL: f64 = 0.5;

/// How long a pause lasts whose cause was not a full queue.
const AGAIN: Duration = Duration::from_secs(60);

/// Whether notifications are paused, for all connections of this AFM.
#[derive(Debug, Default)]
pub(super) struct NotifyPause(Mutex<Option<PauseCause>>);

#[derive(Debug)]
struct PauseCause {
    since: Instant,
    /// Whether the queue was full.
    is_full: bool,
    /// Whether other AFMs still have to be told to look for themselves.
    has_unsent: bool,
}

impl NotifyPause {
    /// Whether batches are committed without notifications.
    pub(super) fn is_paused(&self) -> bool {
        self.cause().is_some()
    }

    /// Begins a pause, or goes on with it: a batch was committed without its notifications, after `problem`
    /// had kept it from being committed with them.
    pub(super) fn begin(&self, problem: &PgError) {
        let mut cause = self.cause();
        if cause.is_none() {
            tracing::warn!(
                error = problem.describe(),
                "commits go on without NOTIFY, and other AFMs look for themselves; a full queue is kept so \
                 by a session of any database that listens and stays in a transaction: see pg_stat_activity"
            );
        }
        *cause =
            Some(PauseCause { since: Instant::now(), is_full: problem.is_queue_full(), has_unsent: true });
    }

    /// Notes that others have not been told of something.
    pub(super) fn note_unsent(&self) {
        if let Some(cause) = &mut *self.cause() {
            cause.has_unsent = true;
        }
    }

    /// Whether others are now to be told to look for themselves, by a NOTIFY of its own. They notice a full
    /// queue themselves, but no other cause.
    pub(super) fn take_unsent(&self) -> bool {
        let mut cause = self.cause();
        cause.as_mut().is_some_and(|cause| !cause.is_full && std::mem::take(&mut cause.has_unsent))
    }

    /// Whether the pause may end, now that the queue is in use to this share.
    pub(super) fn may_end(&self, usage: f64) -> bool {
        let cause = self.cause();
        let is_over = |cause: &PauseCause| cause.is_full || cause.since.elapsed() >= AGAIN;
        usage < NEARLY_FULL && cause.as_ref().is_some_and(is_over)
    }

    /// Ends the pause.
    pub(super) fn end(&self) {
        if self.cause().take().is_some() {
            tracing::info!("other AFMs are notified again");
        }
    }

    fn cause(&self) -> MutexGuard<'_, Option<PauseCause>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
