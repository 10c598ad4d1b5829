//! The state that threads that queue log lines share with the one that writes them.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// A queued line counts this many bytes in addition to its own, which also bounds the number of lines.
pub(super) const LINE_OVERHEAD: usize = 256;

/// The state of the queue of log lines.
#[derive(Debug, Default)]
pub(super) struct QueueState {
    /// The bytes that are queued or being written, with [`LINE_OVERHEAD`] for each line.
    pub(super) queued: AtomicUsize,
    /// The number of lines that found no room and have not been reported.
    pub(super) dropped: AtomicU64,
    /// Whether the file is to be opened again.
    pub(super) reopen: AtomicBool,
    /// Whether the program ends, so that the writer gathers no more lines.
    pub(super) ending: Mutex<bool>,
    /// Notified when lines were written, and when the program ends.
    pub(super) changed: Condvar,
}

impl QueueState {
    /// Notes that the writer is done with lines of this size, written or not.
    pub(super) fn done(&self, size: usize) {
        self.queued.fetch_sub(size, Ordering::AcqRel);
        // The lock is taken for a moment, or a thread that flushes might look before this and wait after it.
        drop(self.ending.lock());
        self.changed.notify_all();
    }

    /// Waits for more lines, unless the program ends.
    pub(super) fn gather(&self, time: Duration) {
        let ending = self.ending.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_timeout_while(ending, time, |ending| !*ending));
    }
}
