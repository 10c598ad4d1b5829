//! All that is told what a batch has changed.

use std::sync::Arc;

use crate::dispatch::cache::DispatchCache;
use crate::dispatch::event_log::EventLog;
use crate::dispatch::waiters::Waiters;
use crate::metrics::ProcessCounts;
use crate::statistics::Tally;
use crate::traces::Tracer;

/// All that is told what a batch has changed.
#[derive(Clone, Default)]
pub(crate) struct Observers {
    /// Holds requests open that wait for tasks, or for their ends.
    pub(crate) waiters: Waiters,
    /// Answers polls that bring nothing.
    pub(crate) cache: DispatchCache,
    /// Keeps the latest changes for those who watch.
    pub(crate) event_log: EventLog,
    /// Counts the changes.
    pub(crate) tally: Tally,
    /// Makes spans of the changes.
    pub(crate) tracer: Tracer,
    /// Counts batches, and polls that need none.
    pub(crate) process_counts: Arc<ProcessCounts>,
}
