//! How many requests may be held open.

use std::sync::atomic::{AtomicUsize, Ordering};

/// How many requests may still wait for something to happen.
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
