//! Saves heartbeats: the times at which agents were seen, as far as the store has not saved them.
//!
//! A poll that is answered without the store is a heartbeat. The store gives others back with a batch: a result
//! is a heartbeat of its agent, and another session may have locked the row of an agent. The cache buffers them.
//! They are saved many in one command: once a second, before a sweep searches for silent agents, and before a
//! read shows when agents were seen. All of these flush them here, and share a flush if they ask for one at the
//! same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use crate::clock::Clock;
use crate::dispatch::cache::DispatchCache;
use crate::dispatch::committer::{CommitError, Committer};

/// A command has at most this many heartbeats, so that others in its transaction do not wait for long.
const LARGEST_COMMAND: usize = 1_000;

/// Heartbeats are flushed once in this long, even if nobody asks.
const FLUSH_AGAIN: Duration = Duration::from_secs(1);

/// Between two flushes at least this many times as long passes as the last one took.
const SHARE_OF_FLUSHING: u32 = 10;

/// Silent agents are forgotten once in this long, to free memory.
const ROOM_AGAIN: Duration = Duration::from_secs(600);

/// Agents that are silent for longer than this need not stay in the cache.
const LONG_SILENCE: Duration = Duration::from_secs(3_600);

/// Flushes the heartbeats that the cache has buffered. All clones are one.
#[derive(Debug, Clone)]
pub struct Heartbeats(Arc<SharedHeartbeats>);

#[derive(Debug)]
struct SharedHeartbeats {
    cache: DispatchCache,
    committer: Committer,
    /// How many flushes have begun.
    begun: AtomicU64,
    /// The number of the last flush that succeeded. The flush that is under way holds the lock.
    ended: Mutex<u64>,
}

impl Heartbeats {
    /// Saves what `cache` has buffered, through `committer`.
    #[must_use]
    pub fn new(cache: DispatchCache, committer: Committer) -> Self {
        Self(Arc::new(SharedHeartbeats { cache, committer, begun: AtomicU64::new(0), ended: Mutex::new(0) }))
    }

    /// Saves all heartbeats that were buffered until now.
    ///
    /// # Errors
    /// Fails when they could not be committed; what is left is saved the next time.
    pub async fn flush(&self) -> Result<(), CommitError> {
        let SharedHeartbeats { cache, committer, begun, ended } = &*self.0;
        let begun_before = begun.load(Ordering::SeqCst);
        let mut ended = ended.lock().await;
        if *ended > begun_before {
            return Ok(());
        }
        let number = 1 + begun.fetch_add(1, Ordering::SeqCst);
        // Heartbeats that come meanwhile are left for the next flush, or this one might never end.
        let mut left = cache.unsaved();
        while left > 0 {
            let most = LARGEST_COMMAND.min(left);
            left -= most;
            let mut taken = HeartbeatsInFlight { cache, seen: cache.take_unsaved(most) };
            if taken.seen.is_empty() {
                continue;
            }
            let uncache = committer.see(taken.seen.clone()).await?;
            taken.seen.clear();
            cache.forget(&uncache);
        }
        *ended = number;
        Ok(())
    }

    /// Those that are not saved.
    pub(crate) fn unsaved(&self) -> Vec<(Uuid, Timestamp)> {
        self.0.cache.unsaved_heartbeats()
    }

    /// Forgets agents that have been silent for longer than `silence`, as the store does.
    pub(crate) fn forget_silent(&self, silence: Duration, now: Timestamp) {
        self.0.cache.forget_silent(silence, now);
    }

    /// Flushes heartbeats for a read that shows when agents were seen.
    pub(crate) async fn flush_for_read(&self) {
        // If this fails, the read that follows is a second behind, or fails and says why.
        let _ = self.flush().await;
    }

    /// Forgets silent agents now and then, for ever, so that those that never come back take no memory.
    pub(crate) async fn keep_small(self, clock: Clock) {
        loop {
            tokio::time::sleep(ROOM_AGAIN).await;
            self.forget_silent(LONG_SILENCE, clock.now());
        }
    }

    /// Flushes heartbeats for ever, once a second or less often.
    pub(crate) async fn keep_flushed(self) {
        loop {
            let began = Instant::now();
            // The commit loop logs a failure; the heartbeats are saved the next time.
            let _ = self.flush().await;
            tokio::time::sleep(FLUSH_AGAIN.max(began.elapsed() * SHARE_OF_FLUSHING)).await;
        }
    }
}

/// Heartbeats that are being saved. They go back to the buffer if that fails, also when the request that
/// waits for it is dropped.
struct HeartbeatsInFlight<'k> {
    cache: &'k DispatchCache,
    seen: Vec<(Uuid, Timestamp)>,
}

impl Drop for HeartbeatsInFlight<'_> {
    fn drop(&mut self) {
        self.cache.put_back(&self.seen);
    }
}
