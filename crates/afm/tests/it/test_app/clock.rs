//! A clock that tests set.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use slamon_afm::clock::Clock;

/// A clock that stands still until it is moved. It starts at 2026-11-22 19:23:01.621614.
#[derive(Clone)]
pub(crate) struct TestClock(Arc<AtomicI64>);

impl Default for TestClock {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(1_795_375_381_621_614)))
    }
}

impl TestClock {
    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_micros().try_into().expect("some years at most"), Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock().now()
    }

    pub(crate) fn clock(&self) -> Clock {
        let Self(microseconds) = self.clone();
        Clock::new(move || {
            Timestamp::from_microsecond(microseconds.load(Ordering::SeqCst)).expect("a time in range")
        })
    }
}
