//! What time it is.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};

/// Tells the time to the microsecond, which is what every store keeps. Tests set their own.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is where the time comes from")]
        Self::new(Timestamp::now)
    }

    /// A clock that asks `now`.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let time = (self.0)();
        // In range, as it is between the time and the epoch.
        Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
    }
}

/// The machine's clock, set to that of the database.
///
/// With several AFMs on one database, time is the database's: no two disagree on who is late.
#[derive(Debug, Clone, Default)]
pub struct DatabaseClock {
    /// How far the database is ahead of this machine, in microseconds.
    ahead: Arc<AtomicI64>,
}

impl DatabaseClock {
    /// A clock that follows [`DatabaseClock::set`].
    #[must_use]
    pub fn clock(&self) -> Clock {
        let (machine, ahead) = (Clock::system(), Arc::clone(&self.ahead));
        Clock::new(move || {
            let ahead = SignedDuration::from_micros(ahead.load(Ordering::Relaxed));
            machine.now().checked_add(ahead).unwrap_or_else(|_| machine.now())
        })
    }

    /// The database said `time` when it was asked between `before` and `after`, by the machine's clock.
    pub fn set(&self, time: Timestamp, before: Timestamp, after: Timestamp) {
        let half = after.duration_since(before) / 2;
        let ahead = time.duration_since(before) - half;
        self.ahead.store(i64::try_from(ahead.as_micros()).unwrap_or_default(), Ordering::Relaxed);
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
