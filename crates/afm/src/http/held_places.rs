//! Bounds the number of requests that are held open.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The places that are left for requests that are held open.
pub(crate) struct HeldPlaces {
    left: AtomicUsize,
}

impl HeldPlaces {
    pub(crate) fn new(left: usize) -> Self {
        Self { left: AtomicUsize::new(left) }
    }

    pub(crate) fn take(&self) -> bool {
        self.left.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    pub(crate) fn give_back(&self) {
        self.left.fetch_add(1, Ordering::AcqRel);
    }
}
