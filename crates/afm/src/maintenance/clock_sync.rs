//! Keeps the clock of this AFM with the database's, so that AFMs on one database agree; or with the machine's, where the
//! database has none.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use slamon_store::Store;
use tokio::time::Instant;

use crate::clock::{FOLLOW_AGAIN, SteadyClock};

/// How often to ask the database what time it is.
const CLOCK_AGAIN: Duration = Duration::from_secs(60);

/// How long the answer may take to be of use.
const LONGEST_TRIP: Duration = Duration::from_millis(500);

/// How often to look whether the machine's clock was set.
const MACHINE_AGAIN: Duration = Duration::from_secs(1);

/// From how much on a change of a clock is logged.
const NOTEWORTHY: SignedDuration = SignedDuration::from_secs(1);

/// How often to ask one that did not answer in time.
const DATABASE_AGAIN: Duration = Duration::from_secs(1);

/// Follows the database's clock, or the machine's where the database has none.
pub(crate) async fn follow_time(store: Arc<dyn Store>, clock: SteadyClock) {
    loop {
        let machine_start = clock.machine_start();
        match set_clock(&*store, &clock).await {
            ClockAnswer::NoClock => return follow_machine(&clock).await,
            ClockAnswer::Set => {
                // A machine whose clock is set may have been halted by whatever runs it, which no clock of its own counts.
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

/// Ends when the machine's clock is set, and gives by how much.
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

/// A step of the machine's clock is followed slowly, since it is no time that has passed for anybody. Who wants it
/// followed at once starts the AFM again.
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
                "the machine's clock was set: it is followed by a twentieth of the time that passes, or at once by a start"
            );
        } else if ahead.is_zero() && !was_ahead.is_zero() {
            tracing::info!("the machine's clock is followed");
        }
        was_ahead = ahead;
    }
}

/// What came of asking the database what time it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClockAnswer {
    /// The clock is set.
    Set,
    /// The database has no time of its own.
    NoClock,
    /// It did not answer, or not in time.
    Away,
}

/// Sets the clock to the database's.
pub(crate) async fn set_clock(store: &dyn Store, clock: &SteadyClock) -> ClockAnswer {
    let (before, began) = (clock.uptime(), Instant::now());
    match store.time().await {
        Ok(Some(time)) => {
            let took = began.elapsed();
            let is_first = !clock.is_set();
            // Half of a long wait would be a wrong clock for a minute; but the machine's may be wrong by more.
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
            // Whoever needs it will say so louder.
            tracing::debug!(error = format!("{error:#}"), "the database's time is not known");
            ClockAnswer::Away
        }
    }
}
