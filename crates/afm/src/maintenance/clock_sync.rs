//! Follows the clock of the database, so that all AFMs on it agree; or that of the machine, where the
//! database has none.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use slamon_store::Store;
use tokio::time::Instant;

use crate::clock::{FOLLOW_AGAIN, SteadyClock};

/// The database is asked for the time once in this long.
const CLOCK_AGAIN: Duration = Duration::from_secs(60);

/// An answer that took longer than this is of no use.
const LONGEST_TRIP: Duration = Duration::from_millis(500);

/// Whether the machine's clock was set is looked at once in this long.
const MACHINE_AGAIN: Duration = Duration::from_secs(1);

/// A clock that changes by at least this much is logged.
const NOTEWORTHY: SignedDuration = SignedDuration::from_secs(1);

/// A database that did not answer in time is asked again after this long.
const DATABASE_AGAIN: Duration = Duration::from_secs(1);

/// Follows the database's clock for ever, or the machine's where the database has none.
pub(crate) async fn follow_time(store: Arc<dyn Store>, clock: SteadyClock) {
    loop {
        let machine_start = clock.machine_start();
        match set_clock(&*store, &clock).await {
            ClockAnswer::NoClock => return follow_machine(&clock).await,
            ClockAnswer::Set => {
                // If the machine's clock was set, the machine may have been halted by its host, which none of
                // its clocks counts.
                let set = machine_clock_set(&clock, machine_start);
                if let Ok(by) = tokio::time::timeout(CLOCK_AGAIN, set).await {
                    tracing::warn!(
                        by_seconds = by.as_secs_f64(),
                        "the machine's clock was set: time goes on as the database's"
                    );
                }
            }
            ClockAnswer::Away => tokio::time::sleep(DATABASE_AGAIN).await,
        }
    }
}

/// Waits until the machine's clock is set, and returns by how much.
async fn machine_clock_set(clock: &SteadyClock, mut was: Option<i64>) -> SignedDuration {
    loop {
        tokio::time::sleep(MACHINE_AGAIN).await;
        let is = clock.machine_start();
        let by = SignedDuration::from_micros(is.zip(was).map_or(0, |(is, was)| is - was));
        if by.abs() >= NOTEWORTHY {
            return by;
        }
        was = was.or(is);
    }
}

/// Follows the machine's clock. When that is set, it is followed slowly, since no time has passed for
/// anybody. Whoever wants it followed at once restarts the AFM.
async fn follow_machine(clock: &SteadyClock) {
    let mut was_ahead = SignedDuration::ZERO;
    loop {
        tokio::time::sleep(if was_ahead.is_zero() { MACHINE_AGAIN } else { FOLLOW_AGAIN }).await;
        let Some(ahead) = clock.follow_machine() else { continue };
        let by = ahead - was_ahead;
        if by.abs() >= NOTEWORTHY {
            tracing::warn!(
                by_seconds = by.as_secs_f64(),
                ahead_seconds = ahead.as_secs_f64(),
                "the machine's clock was set: it is followed slowly, by a twentieth of the time that passes, \
                 or at once after a restart"
            );
        } else if ahead.is_zero() && !was_ahead.is_zero() {
            tracing::info!("has caught up with the machine's clock");
        }
        was_ahead = ahead;
    }
}

/// What became of asking the database for the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClockAnswer {
    /// The clock is set.
    Set,
    /// The database has no clock of its own.
    NoClock,
    /// The database did not answer, or not in time.
    Away,
}

/// Sets the clock to the database's.
pub(crate) async fn set_clock(store: &dyn Store, clock: &SteadyClock) -> ClockAnswer {
    let (before, began) = (clock.uptime(), Instant::now());
    match store.time().await {
        Ok(Some(time)) => {
            let took = began.elapsed();
            let is_first = !clock.is_set();
            // After a long wait the clock would be wrong by up to half of it for a minute. At first that is
            // better than the machine's clock, which may be wrong by more.
            if took > LONGEST_TRIP && !is_first {
                return ClockAnswer::Away;
            }
            let by = clock.set(time, before);
            if !is_first && by.abs() >= NOTEWORTHY {
                tracing::warn!(by_seconds = by.as_secs_f64(), "the database's clock was set: it is followed");
            }
            if took > LONGEST_TRIP { ClockAnswer::Away } else { ClockAnswer::Set }
        }
        Ok(None) => ClockAnswer::NoClock,
        Err(error) => {
            // Whoever needs the database will log this at a higher level.
            tracing::debug!(error = format!("{error:#}"), "could not read the database's time");
            ClockAnswer::Away
        }
    }
}
