//! What the tracer, the worker and the exporter have in common.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use slamon_domain::Transition;
use slamon_store::StoreError;
use tokio::sync::mpsc;

use super::poster::PosterSpan;
use super::recent::Recent;
use crate::logging::failure_log::{FailureLog, ShouldLog};

/// So many changes may wait for the worker, and so many more for their time.
pub(super) const QUEUED: usize = 65_536;

/// What waits for the worker.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) changes: mpsc::Sender<Change>,
    /// The spans of those who are about to post these tasks.
    pub(super) posters: Mutex<Recent<PosterSpan>>,
    pub(super) counts: Arc<SpanCounts>,
    pub(super) failures: FailureLog,
}

/// A change, with the span of who posted the task, if it was posted by this change.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) transition: Transition,
    pub(super) poster: Option<PosterSpan>,
}

/// What became of spans since the start.
#[derive(Debug, Default)]
pub(super) struct SpanCounts {
    /// Those that the collector has taken.
    pub(super) sent: AtomicU64,
    /// Those that it has not.
    pub(super) refused: AtomicU64,
    /// Those for which there was no room, and changes likewise.
    pub(super) no_room: AtomicU64,
    /// Changes of tasks whose traces could not be read.
    pub(super) not_known: AtomicU64,
}

impl SpanCounts {
    pub(super) fn no_room_for(&self, number: usize) {
        self.no_room.fetch_add(number as u64, Ordering::Relaxed);
    }
}

impl Inbox {
    /// Logs a failure of the store that is none of the database's being away, which others log.
    pub(super) fn failed(&self, what: &str, error: &StoreError) {
        let text = format!("{error:#}");
        if !matches!(error, StoreError::Failed(_)) {
            tracing::debug!(error = text, "{what}");
        } else if let ShouldLog::Yes { not_logged } = self.failures.note(&text) {
            tracing::error!(error = text, not_logged, "{what}");
        }
    }
}
