//! Passes on the store's events: what other AFMs have done.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use slamon_store::{Store, StoreEvent};
use tokio::sync::mpsc;

use super::cache::DispatchCache;
use super::event_log::EventLog;
use super::pauses::PauseReader;
use super::waiters::Waiters;
use crate::metrics::ProcessCounts;

/// This many events may wait to be passed on.
const MAX_EVENTS: usize = 1_024;

/// Passes events on to cache, waiters, event log and the reader of pauses, for as long as the store listens.
pub(crate) async fn pass_on(
    store: Arc<dyn Store>,
    cache: DispatchCache,
    waiters: Waiters,
    event_log: EventLog,
    pauses: PauseReader,
    process_counts: Arc<ProcessCounts>,
) {
    let (sender, mut events) = mpsc::channel(MAX_EVENTS);
    let pass_on = async {
        while let Some(event) = events.recv().await {
            // The cache comes first, since a poll that is woken looks there.
            cache.on_event(&event);
            waiters.on_event(&event);
            event_log.on_event(&event);
            match event {
                StoreEvent::PausesChanged => pauses.note_change(),
                StoreEvent::ListeningStopped => {
                    process_counts.listening_stopped.fetch_add(1, Ordering::Relaxed);
                }
                _ => {}
            }
        }
    };
    tokio::join!(store.listen(sender), pass_on);
}
