//! Batches that are being applied.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// When the batches began that are being applied, or whose answers have not been sent. They are few.
#[derive(Debug, Default)]
pub(super) struct UnderWay(Mutex<Vec<Instant>>);

/// A batch, until its answers are sent.
pub(super) struct BatchUnderWay<'u> {
    under_way: &'u UnderWay,
    began: Instant,
}

impl UnderWay {
    /// Not later than the claims of the batch, by the monotonic clock.
    pub(super) fn begin(&self) -> BatchUnderWay<'_> {
        let began = Instant::now();
        self.batches().push(began);
        BatchUnderWay { under_way: self, began }
    }

    /// `at`, or when the first of them began.
    pub(super) fn since(&self, at: Instant) -> Instant {
        self.batches().iter().copied().fold(at, Instant::min)
    }

    fn batches(&self) -> MutexGuard<'_, Vec<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for BatchUnderWay<'_> {
    fn drop(&mut self) {
        let mut batches = self.under_way.batches();
        if let Some(place) = batches.iter().position(|began| *began == self.began) {
            batches.swap_remove(place);
        }
    }
}
