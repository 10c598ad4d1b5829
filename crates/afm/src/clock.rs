//! The clock, which alone knows the time.
//!
//! The time that tasks are measured by does not jump when somebody sets the machine's clock. It counts on
//! with the machine's uptime, suspensions included, from the time of the database, or from the machine's time
//! where the database has no clock of its own.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustix::time::{ClockId, clock_gettime};

/// Tells the time to the microsecond, which is what every store keeps. Tests use clocks of their own.
#[derive(Clone)]
pub struct Clock {
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// How far the machine's clock is ahead of this one, in microseconds, while this one follows it slowly.
    ahead: Arc<AtomicI64>,
}

impl Clock {
    /// Returns the machine's clock, which may be set at any time.
    #[must_use]
    pub fn system() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is where the time comes from")]
        Self::new(Timestamp::now)
    }

    /// Creates a clock that calls `now`.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self { now: Arc::new(now), ahead: Arc::default() }
    }

    /// Returns the time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let time = (self.now)();
        // This never fails: the result lies between the time and the epoch.
        Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
    }

    /// Returns what the clocks of agents show when this one shows `time`. Agents are told times to act on.
    #[must_use]
    pub fn for_agents(&self, time: Timestamp) -> Timestamp {
        let ahead = SignedDuration::from_micros(self.ahead.load(Ordering::Relaxed));
        time.checked_add(ahead).unwrap_or(time)
    }
}

/// While the machine's clock shows another time, it is followed once in this long.
pub(crate) const FOLLOW_AGAIN: Duration = Duration::from_millis(100);

/// Each step of following has this many microseconds at most, so that time runs a twentieth faster or slower.
const FOLLOW_STEP: i64 = 5_000;

/// If reading two clocks takes more microseconds than this, their difference means nothing.
const LONGEST_READING: i64 = 1_000;

/// A clock that goes on steadily from the time it was set to, whatever happens to the machine's clock.
///
/// Several AFMs on one database all use the database's time, so that no two disagree on who is late.
#[derive(Clone)]
pub struct SteadyClock {
    /// The machine's clock.
    machine: Clock,
    /// The time since the machine's start, in microseconds; it is never set, and counts while the machine is
    /// suspended.
    uptime: Arc<dyn Fn() -> i64 + Send + Sync>,
    state: Arc<ClockState>,
}

#[derive(Debug, Default)]
struct ClockState {
    /// The time at the machine's start, in microseconds.
    start: AtomicI64,
    /// The same value as [`Clock::ahead`](Clock), shared with the clocks made of this one.
    ahead: Arc<AtomicI64>,
    is_set: AtomicBool,
}

/// A reading of a [`SteadyClock`]'s uptime, in microseconds.
#[derive(Debug, Clone, Copy)]
pub struct Uptime(i64);

impl SteadyClock {
    /// Creates a clock that begins with the machine's time.
    #[must_use]
    pub fn start() -> Self {
        Self::of(Clock::system(), uptime)
    }

    fn of(machine: Clock, uptime: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        let clock = Self { machine, uptime: Arc::new(uptime), state: Arc::default() };
        clock.state.start.store(clock.machine.now().as_microsecond() - (clock.uptime)(), Ordering::Relaxed);
        clock
    }

    /// Returns a clock that shows this one's time.
    #[must_use]
    pub fn clock(&self) -> Clock {
        let (steady, ahead) = (self.clone(), Arc::clone(&self.state.ahead));
        Clock { now: Arc::new(move || steady.now()), ahead }
    }

    fn now(&self) -> Timestamp {
        let time = self.state.start.load(Ordering::Relaxed).saturating_add((self.uptime)());
        Timestamp::from_microsecond(time).unwrap_or_else(|_| self.machine.now())
    }

    /// Reads the uptime; [`SteadyClock::set`] needs the one from before the database was asked.
    #[must_use]
    pub fn uptime(&self) -> Uptime {
        Uptime((self.uptime)())
    }

    /// Says whether [`SteadyClock::set`] has been called.
    pub(crate) fn is_set(&self) -> bool {
        self.state.is_set.load(Ordering::Relaxed)
    }

    /// Sets the clock to the `time` of the database, which was asked between `before` and now. Returns by how
    /// much the clock has changed.
    pub fn set(&self, time: Timestamp, before: Uptime) -> SignedDuration {
        let asked = before.0 + ((self.uptime)() - before.0) / 2;
        let start = time.as_microsecond() - asked;
        let was = self.state.start.swap(start, Ordering::Relaxed);
        self.state.is_set.store(true, Ordering::Relaxed);
        SignedDuration::from_micros(start - was)
    }

    /// Returns what the machine's clock would have shown at the machine's start, in microseconds. It changes
    /// when that clock is set, and only then. `None` means that it could not be read just now.
    pub(crate) fn machine_start(&self) -> Option<i64> {
        let before = (self.uptime)();
        let time = self.machine.now().as_microsecond();
        let reading = (self.uptime)() - before;
        (reading <= LONGEST_READING).then(|| time - before - reading / 2)
    }

    /// Follows the machine's clock by one step; to be called every [`FOLLOW_AGAIN`] while the two differ.
    /// Returns how far the machine's clock still is ahead, if that could be read.
    pub(crate) fn follow_machine(&self) -> Option<SignedDuration> {
        let start = self.state.start.load(Ordering::Relaxed);
        let ahead = self.machine_start()? - start;
        let step = ahead.clamp(-FOLLOW_STEP, FOLLOW_STEP);
        self.state.start.store(start + step, Ordering::Relaxed);
        self.state.ahead.store(ahead - step, Ordering::Relaxed);
        Some(SignedDuration::from_micros(ahead - step))
    }
}

/// Returns the time since the machine's start in microseconds, suspensions included.
fn uptime() -> i64 {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let time = clock_gettime(ClockId::Boottime);
    // On macOS, this clock counts suspensions.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec * 1_000_000 + time.tv_nsec / 1_000
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

impl fmt::Debug for SteadyClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SteadyClock").field("state", &self.state).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The clocks of a machine, in seconds.
    #[derive(Clone, Default)]
    struct Machine {
        wall: Arc<AtomicI64>,
        uptime: Arc<AtomicI64>,
    }

    impl Machine {
        fn start() -> (Self, SteadyClock) {
            let machine = Self::default();
            machine.wall.store(1_000_000, Ordering::Relaxed);
            let Self { wall, uptime } = machine.clone();
            let wall = Clock::new(move || {
                Timestamp::from_microsecond(1_000_000 * wall.load(Ordering::Relaxed)).unwrap()
            });
            let clock = SteadyClock::of(wall, move || 1_000_000 * uptime.load(Ordering::Relaxed));
            (machine, clock)
        }

        /// Time passes, whether the machine runs or is suspended.
        fn pass(&self, seconds: i64) {
            self.uptime.fetch_add(seconds, Ordering::Relaxed);
            self.set(seconds);
        }

        /// Somebody sets the machine's clock.
        fn set(&self, by_seconds: i64) {
            self.wall.fetch_add(by_seconds, Ordering::Relaxed);
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn a_machine_whose_clock_is_set_changes_no_time_of_the_database() {
        let (machine, steady) = Machine::start();
        let clock = steady.clock();
        assert_eq!(clock.now(), at(1_000_000), "the machine's, until the database was asked");
        let asked = steady.uptime();
        machine.pass(2);
        // Asking took two seconds, and the answer counts for the middle of them.
        assert_eq!(steady.set(at(2_000_001), asked), SignedDuration::from_secs(1_000_000));
        assert_eq!(clock.now(), at(2_000_002));
        for by in [1_800, -1_800, 86_400 * 365 * 10, -86_400 * 365 * 20] {
            machine.set(by);
            let before = clock.now();
            machine.pass(10);
            assert_eq!(clock.now(), before + SignedDuration::from_secs(10), "set by {by} s");
            assert_eq!(clock.for_agents(before), before, "the database's time is everybody's");
        }
    }

    #[test]
    fn a_clock_that_was_set_is_followed_by_a_twentieth() {
        for by in [1_800, -1_800] {
            let (machine, steady) = Machine::start();
            let clock = steady.clock();
            assert_eq!(steady.follow_machine(), Some(SignedDuration::ZERO));
            machine.set(by);
            assert_eq!(clock.now(), at(1_000_000));
            // The clock follows by this much at each tenth of a second.
            let step = SignedDuration::from_millis(5 * by.signum());
            let left = SignedDuration::from_secs(by) - step;
            assert_eq!(steady.follow_machine(), Some(left));
            assert_eq!(clock.now(), at(1_000_000) + step);
            assert_eq!(
                clock.for_agents(clock.now()),
                at(1_000_000 + by),
                "agents are told the machine's time"
            );
            let follows =
                1 + (0..).take_while(|_| steady.follow_machine() != Some(SignedDuration::ZERO)).count();
            assert_eq!(follows + 1, 1_800 * 10 * 20);
            assert_eq!(clock.now(), at(1_000_000 + by));
            assert_eq!(clock.for_agents(clock.now()), clock.now());
        }
    }

    #[test]
    fn a_suspended_machine_loses_no_time() {
        let (machine, steady) = Machine::start();
        machine.pass(3_600);
        assert_eq!(steady.clock().now(), at(1_003_600));
        assert_eq!(steady.follow_machine(), Some(SignedDuration::ZERO));
    }

    #[test]
    fn the_real_uptime_runs() {
        let before = uptime();
        assert!(before > 0);
        while uptime() == before {}
        assert!(uptime() > before);
    }
}
