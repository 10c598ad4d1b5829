//! When the units of an open loop are due.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::stop::Stop;

/// Units that are due within this time are let go together, so that letting go costs little at any rate.
const TOGETHER: Duration = Duration::from_micros(200);

/// How long it may take until a wish to stop is seen.
const STOP: Duration = Duration::from_millis(50);

/// Fixed times, one a unit.
#[derive(Debug)]
pub(crate) struct Schedule {
    start: Instant,
    rate: f64,
    /// How many units there are.
    pub(crate) units: u64,
    due: Semaphore,
    taken: AtomicU64,
}

/// A unit that is due.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Due {
    pub(crate) n: u64,
    pub(crate) at: Instant,
}

impl Schedule {
    /// `units` units, `rate` a second, the first at `start`.
    pub(crate) fn new(start: Instant, rate: f64, units: u64) -> Self {
        Self { start, rate, units, due: Semaphore::new(0), taken: AtomicU64::new(0) }
    }

    /// When unit `n` is due.
    fn at(&self, n: u64) -> Instant {
        self.start + Duration::from_secs_f64(n as f64 / self.rate)
    }

    /// Lets the units go when they are due. Blocks: runtimes' timers are too coarse for it.
    pub(crate) fn run(&self, stop: &Stop) {
        let mut gone = 0;
        while gone < self.units && !stop.is_asked() && !self.due.is_closed() {
            let now = Instant::now();
            let first = gone;
            // Within rounding, so that no unit is let go before its time.
            let elapsed = now.saturating_duration_since(self.start).as_secs_f64();
            let bound = ((elapsed * self.rate) as u64 + 2).min(self.units);
            while gone < bound && self.at(gone) <= now {
                gone += 1;
            }
            self.due.add_permits((gone - first) as usize);
            if gone < self.units {
                let next = self.at(gone).saturating_duration_since(now);
                thread::sleep(next.clamp(TOGETHER, STOP));
            }
        }
    }

    /// Waits for the next unit that is due; `None`: there are no more.
    pub(crate) async fn next(&self) -> Option<Due> {
        self.due.acquire().await.ok()?.forget();
        let n = self.taken.fetch_add(1, Ordering::Relaxed);
        if n + 1 >= self.units {
            self.close();
        }
        Some(Due { n, at: self.at(n) })
    }

    /// Lets nothing go any more.
    pub(crate) fn close(&self) {
        self.due.close();
    }

    /// How many units were due and not taken.
    pub(crate) fn left(&self) -> u64 {
        self.units.saturating_sub(self.taken.load(Ordering::Relaxed))
    }
}
