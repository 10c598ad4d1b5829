//! Which commits the counts of tasks have seen.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::sync::Mutex;

/// What is known of commits and counts. One process writes to a file, so this is kept in memory.
#[derive(Debug, Default)]
pub(super) struct Counting {
    /// How many batches were committed: the number of the last one.
    commits: Arc<AtomicU64>,
    /// The last commit that the last count has seen. Who counts or saves holds the lock.
    pub(super) counted: Mutex<u64>,
}

impl Counting {
    /// Returns the counter of commits, for the thread that makes them.
    pub(super) fn commits(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.commits)
    }
}
