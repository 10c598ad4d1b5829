//! Knows since when batches are under way.

use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

/// When each batch began that is being applied, or whose replies are not sent yet. There are few.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    batches: Mutex<Vec<Instant>>,
    ended: Notify,
}

/// A batch that is under way, until this is dropped.
pub(super) struct BatchUnderWay<'u> {
    under_way: &'u UnderWay,
    began: Instant,
}

impl UnderWay {
    /// Begins a batch. Its claims are not earlier than this, by the monotonic clock.
    pub(super) fn begin(&self) -> BatchUnderWay<'_> {
        let began = Instant::now();
        self.batches().push(began);
        BatchUnderWay { under_way: self, began }
    }

    /// Returns `at`, or when the first of the batches began, if that is earlier.
    pub(super) fn since(&self, at: Instant) -> Instant {
        self.batches().iter().copied().fold(at, Instant::min)
    }

    /// Waits until all batches have ended that are under way now.
    pub(super) async fn all_ended(&self) {
        let now = Instant::now();
        loop {
            let mut ended = pin!(self.ended.notified());
            ended.as_mut().enable();
            if self.since(now) == now {
                return;
            }
            ended.await;
        }
    }

    fn batches(&self) -> MutexGuard<'_, Vec<Instant>> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for BatchUnderWay<'_> {
    fn drop(&mut self) {
        let mut batches = self.under_way.batches();
        if let Some(place) = batches.iter().position(|began| *began == self.began) {
            batches.swap_remove(place);
        }
        drop(batches);
        self.under_way.ended.notify_waiters();
    }
}
