//! How long a handler may take.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use crate::context::Context;
use crate::failure::Failure;

const DEFAULT: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(600);

/// How many seconds a task may take in all: the member `timeout` of its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timeout(Duration);

/// The time that a task has, from when its handler began.
#[derive(Debug, Clone)]
pub(super) struct TimeLimit {
    pub(super) began: Instant,
    pub(super) ends: Instant,
    context: Context,
}

impl Timeout {
    /// Begins to count the time; it is over at the task's deadline at the latest.
    pub(super) fn begin(self, context: &Context) -> TimeLimit {
        let began = Instant::now();
        TimeLimit { began, ends: began + context.time_left(self.0), context: context.clone() }
    }

    /// This time, or a shorter one.
    pub(super) fn at_most(self, most: Duration) -> Self {
        Self(self.0.min(most))
    }
}

impl TimeLimit {
    /// Awaits a step of the task. If the time is over before, the failure is what `late` says of the time that it was,
    /// such as "no answer after 2.0 s".
    pub(super) async fn within<T>(
        &self,
        step: impl Future<Output = T>,
        late: impl FnOnce(&str) -> String,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            outcome = step => Ok(outcome),
            () = self.context.cancelled() => Err(Failure::new("the task was cancelled")),
            () = tokio::time::sleep_until(self.ends.into()) => Err(Failure::new(late(&self.elapsed()))),
        }
    }

    /// How long it has been, as people read it: "2.0 s".
    pub(super) fn elapsed(&self) -> String {
        format!("{:.1} s", self.began.elapsed().as_secs_f64())
    }

    /// How long there is left.
    pub(super) fn left(&self) -> Duration {
        self.ends.saturating_duration_since(Instant::now())
    }
}

/// Milliseconds, with at most three decimals.
pub(super) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

impl Default for Timeout {
    fn default() -> Self {
        Self(DEFAULT)
    }
}

impl<'de> Deserialize<'de> for Timeout {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        match Duration::try_from_secs_f64(seconds) {
            Ok(timeout) if !timeout.is_zero() && timeout <= LONGEST => Ok(Self(timeout)),
            _ => Err(serde::de::Error::custom(format!(
                "{seconds} is no time that a task may take: more than 0 seconds, and at most {}",
                LONGEST.as_secs()
            ))),
        }
    }
}

impl JsonSchema for Timeout {
    fn schema_name() -> Cow<'static, str> {
        "Timeout".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": LONGEST.as_secs(),
            "default": DEFAULT.as_secs(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_within_its_bounds() {
        let read = |text: &str| serde_json::from_str::<Timeout>(text).map_err(|error| error.to_string());
        assert_eq!(read("0.25"), Ok(Timeout(Duration::from_millis(250))));
        assert_eq!(read("600"), Ok(Timeout(LONGEST)));
        for text in ["0", "-1", "601", "1e300", "1e-300"] {
            let problem = read(text).unwrap_err();
            assert!(problem.contains("is no time that a task may take"), "{problem}");
        }
    }

    #[test]
    fn milliseconds_have_three_decimals() {
        assert_eq!(milliseconds(Duration::from_nanos(1_234_567)).to_string(), "1.235");
    }
}
