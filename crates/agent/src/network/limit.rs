//! How long a handler may take.

use std::future::IntoFuture;
use std::time::{Duration, Instant};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::context::Context;

const DEFAULT: f64 = 30.0;
const LONGEST: f64 = 600.0;

/// The member `timeout` of a task's data: seconds, as a number. `#[serde(default)]` makes it 30.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "f64")]
pub(crate) struct Timeout(f64);

/// The time that a handler has: from when it began until its timeout, or until its task's deadline if that is sooner.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    began: Instant,
    until: Instant,
}

/// The time of a handler is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeIsUp;

impl Timeout {
    /// The limit of a handler that begins now.
    pub(crate) fn limit(self, context: &Context) -> Limit {
        let began = Instant::now();
        Limit { began, until: began + context.time_left(Duration::from_secs_f64(self.0)) }
    }
}

impl Default for Timeout {
    fn default() -> Self {
        Self(DEFAULT)
    }
}

impl TryFrom<f64> for Timeout {
    type Error = String;

    fn try_from(seconds: f64) -> Result<Self, String> {
        if seconds > 0.0 && seconds <= LONGEST {
            return Ok(Self(seconds));
        }
        Err(format!("must be more than 0 and at most {LONGEST} seconds, and is {seconds}"))
    }
}

impl JsonSchema for Timeout {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timeout".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "exclusiveMinimum": 0, "maximum": LONGEST, "default": DEFAULT })
    }
}

impl Limit {
    /// Waits for a future until the time is up.
    pub(crate) async fn hold<F: IntoFuture>(&self, future: F) -> Result<F::Output, TimeIsUp> {
        // The timer is asked only where the future waits. One that never does, as those of a body that comes faster than
        // it is read, is to end as well.
        if self.left().is_zero() {
            return Err(TimeIsUp);
        }
        tokio::time::timeout_at(self.until.into(), future).await.map_err(|_| TimeIsUp)
    }

    /// How much of the time is left.
    pub(crate) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// How much of the time is over.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// A limit that ends no later than this one, and has a part of what is left: `1 / parts`.
    pub(crate) fn part(&self, parts: usize) -> Self {
        let began = Instant::now();
        let parts = u32::try_from(parts.max(1)).unwrap_or(u32::MAX);
        Self { began, until: began + self.left() / parts }
    }
}

/// A time in milliseconds with three decimals, as results have it.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1_000_000.0).round() / 1_000.0
}

/// A time in a sentence: `0.3 s`.
pub(crate) fn seconds(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 0.095 { format!("{seconds:.3} s") } else { format!("{seconds:.1} s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_more_than_nothing_and_ten_minutes_at_most() {
        for (text, seconds) in [("1", 1.0), ("0.25", 0.25), ("600", 600.0)] {
            assert_eq!(serde_json::from_str::<Timeout>(text).unwrap().0, seconds);
        }
        for text in ["0", "-1", "600.1", "1e308", "\"30\"", "null"] {
            assert!(serde_json::from_str::<Timeout>(text).is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn what_never_waits_ends_with_the_time_too() {
        let limit = Timeout::try_from(0.001).unwrap().limit(&Context::alone());
        while limit.hold(std::future::ready(())).await.is_ok() {}
        assert_eq!(limit.left(), Duration::ZERO);
    }

    #[test]
    fn times_are_told_as_people_read_them() {
        assert_eq!(milliseconds(Duration::from_nanos(1_234_567)), 1.235);
        assert_eq!(seconds(Duration::from_micros(1_500)), "0.002 s");
        assert_eq!(seconds(Duration::from_millis(300)), "0.3 s");
        assert_eq!(seconds(Duration::from_secs(30)), "30.0 s");
    }
}
