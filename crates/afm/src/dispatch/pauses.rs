//! Keeps the pauses of agents and task types in memory, as the database holds them.
//!
//! They are read once a second, since other AFMs may change them, and as soon as one of those says that it has. A
//! pause that this AFM has committed is read before it is answered, and batches that began before it are
//! waited for: then no poll is handed here what is paused.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use slamon_store::{Store, StoreError};
use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;

use super::cache::DispatchCache;
use super::waiters::Waiters;

/// Pauses are read again once in this long.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// Between two readings at least this many times as long passes as the last one took.
const SHARE_OF_READING: u32 = 20;

/// Reads pauses into cache and waiters. All clones are one.
#[derive(Clone)]
pub(crate) struct PauseReader(Arc<SharedReader>);

struct SharedReader {
    store: Arc<dyn Store>,
    cache: DispatchCache,
    waiters: Waiters,
    /// Held while pauses are read: of two readings, the later one counts.
    turn: Mutex<()>,
    changed: Notify,
}

impl PauseReader {
    pub(crate) fn new(store: Arc<dyn Store>, cache: DispatchCache, waiters: Waiters) -> Self {
        let (turn, changed) = (Mutex::default(), Notify::new());
        Self(Arc::new(SharedReader { store, cache, waiters, turn, changed }))
    }

    /// Reads the pauses. Those hold from then on; polls that are held for what was resumed are woken.
    ///
    /// # Errors
    /// Fails when they cannot be read; then those that were read last go on to hold.
    pub(crate) async fn read(&self) -> Result<(), StoreError> {
        let SharedReader { store, cache, waiters, turn, .. } = &*self.0;
        let _turn = turn.lock().await;
        let pauses = store.pauses().await?;
        // Pauses nearly never change, and then nobody need be told.
        if cache.knows_pauses() && cache.pauses().as_deref().cloned().unwrap_or_default() == pauses {
            return Ok(());
        }
        let pauses = Arc::new(pauses);
        // The cache comes first, since a poll that is woken looks there.
        cache.set_pauses(Arc::clone(&pauses));
        waiters.set_pauses(Some(pauses).filter(|pauses| !pauses.is_empty()));
        Ok(())
    }

    /// Reads the pauses if they were never read.
    pub(crate) async fn read_first(&self) {
        if !self.0.cache.knows_pauses()
            && let Err(error) = self.read().await
        {
            tracing::debug!(
                error = format!("{error:#}"),
                "could not read what is paused: nothing is handed out"
            );
        }
    }

    /// Notes that another AFM has changed pauses.
    pub(crate) fn note_change(&self) {
        self.0.changed.notify_one();
    }

    /// Reads pauses for ever.
    pub(crate) async fn keep_read(self) {
        loop {
            let began = Instant::now();
            if let Err(error) = self.read().await {
                // Without the database nobody is handed anything; its failure is logged at a higher level.
                tracing::debug!(error = format!("{error:#}"), "could not read what is paused");
            }
            let pause = READ_AGAIN.max(began.elapsed() * SHARE_OF_READING);
            // A change that is noted while pauses are read is not forgotten.
            let _ = tokio::time::timeout(pause, self.0.changed.notified()).await;
        }
    }
}

impl fmt::Debug for PauseReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PauseReader")
    }
}
