//! Turns raw values from files or the environment into what keys take.

use std::time::Duration;

use slamon_protocol::excerpt;
use tracing::Level;

use super::log_level;
use super::python::Value;

/// A duration may have this many seconds, 317 years, so that a time plus a duration is still a time.
const MAX_SECONDS: f64 = 1e10;

/// A value before its key has read it.
#[derive(Clone, Copy)]
pub(super) enum RawValue<'a> {
    /// A value from a file, where its type is known.
    Literal(&'a Value),
    /// A value from a file that was made of an environment variable, so no message shows it.
    Secret(&'a Value),
    /// A value from the environment or the command line, where everything is text.
    Text(&'a str),
}

/// A value that its key does not take.
#[derive(Debug)]
pub(super) struct Mismatch {
    pub(super) found: String,
    pub(super) expected: &'static str,
}

impl<'a> RawValue<'a> {
    pub(super) fn is_none(self) -> bool {
        matches!(self, Self::Literal(Value::None) | Self::Secret(Value::None))
    }

    /// Returns the value for a message. What may be a URI is not shown.
    fn found(self) -> String {
        match self {
            Self::Literal(Value::Bool(true)) => "True".to_owned(),
            Self::Literal(Value::Bool(false)) => "False".to_owned(),
            Self::Literal(Value::Int(number)) => number.to_string(),
            Self::Literal(Value::Float(number)) => format!("{number:?}"),
            Self::Text(text) if is_uri(text) => "a URI (not shown)".to_owned(),
            Self::Literal(Value::Str(text)) if is_uri(text) => "a URI (not shown)".to_owned(),
            Self::Literal(Value::Str(text)) => format!("the string {}", shown(text)),
            Self::Literal(Value::Timedelta(micros)) => format!("a timedelta of {} s", seconds(*micros)),
            Self::Secret(_) => format!("{} from the environment (not shown)", self.kind()),
            Self::Literal(_) => self.kind().to_owned(),
            Self::Text(text) => shown(text),
        }
    }

    /// Returns the kind of the value, for messages about secrets.
    fn kind(self) -> &'static str {
        match self {
            Self::Text(text) if text.trim().is_empty() => "an empty string",
            Self::Text(_) => "a string",
            Self::Literal(Value::Str(text)) | Self::Secret(Value::Str(text)) if text.trim().is_empty() => {
                "an empty string"
            }
            Self::Literal(value) | Self::Secret(value) => value.kind(),
        }
    }

    /// Returns the value, if its type is known.
    fn value(self) -> Option<&'a Value> {
        match self {
            Self::Literal(value) | Self::Secret(value) => Some(value),
            Self::Text(_) => None,
        }
    }

    pub(super) fn mismatch<T>(self, expected: &'static str) -> Result<T, Mismatch> {
        Err(Mismatch { found: self.found(), expected })
    }

    fn integer(self) -> Option<i128> {
        match self {
            Self::Text(text) => text.trim().parse().ok(),
            _ => match self.value() {
                Some(Value::Int(number)) => Some(*number),
                _ => None,
            },
        }
    }

    fn float(self) -> Option<f64> {
        match self {
            Self::Text(text) => text.trim().parse().ok(),
            _ => match self.value() {
                Some(Value::Int(number)) => Some(*number as f64),
                Some(Value::Float(number)) => Some(*number),
                Some(Value::Timedelta(micros)) => Some(seconds(*micros)),
                _ => None,
            },
        }
    }

    fn text(self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            _ => match self.value() {
                Some(Value::Str(text)) => Some(text),
                _ => None,
            },
        }
    }

    /// Reads a string that is not empty and that no message shows.
    pub(super) fn secret(self, expected: &'static str) -> Result<String, Mismatch> {
        match self.text() {
            Some(text) if !text.trim().is_empty() => Ok(text.to_owned()),
            _ => Err(Mismatch { found: self.kind().to_owned(), expected }),
        }
    }

    /// Reads a string, empty or not.
    pub(super) fn string(self, expected: &'static str) -> Result<String, Mismatch> {
        self.text().map_or_else(|| self.mismatch(expected), |text| Ok(text.to_owned()))
    }

    /// Reads a string; None and the empty string stand for nothing.
    pub(super) fn optional_string(self, expected: &'static str) -> Result<Option<String>, Mismatch> {
        if self.is_none() {
            return Ok(None);
        }
        self.string(expected).map(|text| Some(text).filter(|text| !text.is_empty()))
    }

    /// Reads a whole number from `min` to `max`.
    pub(super) fn whole<N: TryFrom<i128>>(
        self,
        min: i128,
        max: i128,
        expected: &'static str,
    ) -> Result<N, Mismatch> {
        let in_range = self.integer().filter(|number| (min..=max).contains(number));
        match in_range.and_then(|number| N::try_from(number).ok()) {
            Some(number) => Ok(number),
            None => self.mismatch(expected),
        }
    }

    /// Reads a number of seconds, zero included.
    pub(super) fn seconds(self) -> Result<Duration, Mismatch> {
        self.duration().map_or_else(|| self.mismatch("a number of seconds from 0 to 10000000000"), Ok)
    }

    /// Reads a number of seconds, zero excluded.
    pub(super) fn some_seconds(self) -> Result<Duration, Mismatch> {
        let more_than_none = self.duration().filter(|duration| !duration.is_zero());
        more_than_none
            .map_or_else(|| self.mismatch("a number of seconds greater than 0 and up to 10000000000"), Ok)
    }

    fn duration(self) -> Option<Duration> {
        let seconds = self.float().filter(|seconds| (0.0..=MAX_SECONDS).contains(seconds))?;
        Duration::try_from_secs_f64(seconds).ok()
    }

    /// Reads true or false.
    pub(super) fn flag(self) -> Result<bool, Mismatch> {
        match self {
            Self::Literal(value) | Self::Secret(value) => match value {
                Value::Bool(flag) => Ok(*flag),
                Value::Int(0) => Ok(false),
                Value::Int(1) => Ok(true),
                Value::Str(text) if !text.is_empty() => self.mismatch(
                    "True or False without quotes (to Python, any string that is not empty is true)",
                ),
                _ => self.mismatch("True or False"),
            },
            Self::Text(text) => match &*text.trim().to_ascii_lowercase() {
                "true" | "1" | "yes" | "on" => Ok(true),
                "false" | "0" | "no" | "off" => Ok(false),
                _ => self.mismatch("true, false, 1, 0, yes, no, on or off"),
            },
        }
    }

    /// Reads a level of Python's logging, by name or number.
    pub(super) fn level(self) -> Result<Level, Mismatch> {
        let name = match self {
            Self::Text(text) => text.trim(),
            _ => self.text().unwrap_or_default(),
        };
        let level = self.integer().map(log_level::from_number).or_else(|| log_level::from_name(name));
        level.map_or_else(
            || self.mismatch("DEBUG, INFO, WARNING, ERROR, CRITICAL or a number of Python's logging"),
            Ok,
        )
    }
}

/// Returns a timedelta in seconds.
fn seconds(micros: i128) -> f64 {
    micros as f64 / 1e6
}

/// Says whether a text may be a URI in the wrong place, with a password in it.
fn is_uri(text: &str) -> bool {
    text.contains("://") || text.contains('@')
}

/// Returns a text on one line, cut if it is long.
fn shown(text: &str) -> String {
    format!("{:?}", excerpt(text))
}
