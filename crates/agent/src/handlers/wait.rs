//! `wait`: does nothing for some time, as the Python agent does.

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Environment, python};
use crate::context::Context;
use crate::failure::Failure;

/// The largest time that Python can wait for, in nanoseconds.
const LONGEST_NS: f64 = 9_223_372_036_854_775_807.0;

/// Waits for some time.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Data {
    /// How many seconds to wait, give or take half a second: a number, or one as a text.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "NumberOrText", required)]
    time: Option<Box<RawValue>>,
}

/// What Python takes for a number.
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
#[expect(dead_code, reason = "it only describes")]
enum NumberOrText {
    Number(f64),
    Text(String),
}

/// The result of a task.
#[derive(Debug, Serialize)]
pub(super) struct Output {
    /// How many seconds it was.
    time: f64,
}

/// Reads a value that is there, `null` included.
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::deserialize(deserializer).map(Some)
}

pub(super) async fn execute(data: Data, _: Context, _: Arc<Environment>) -> Result<Output, Failure> {
    let time = seconds(data.time.as_deref()).map_err(Failure::new)?;
    let (_, random) = Uuid::new_v4().as_u64_pair();
    let time = time - 0.5 + f64::from(random as u32) / (f64::from(u32::MAX) + 1.0);
    tokio::time::sleep(sleep(time).map_err(Failure::new)?).await;
    Ok(Output { time })
}

/// What `float()` makes of what is given.
fn seconds(given: Option<&RawValue>) -> Result<f64, String> {
    let text = given.ok_or("'time'")?.get();
    let is_number = text.starts_with(|letter: char| letter == '-' || letter.is_ascii_digit());
    if is_number {
        // As a text, since it may be too large for a number of JSON.
        let number: f64 = text.parse().map_err(|_| format!("{text} is no number"))?;
        let is_integer = !text.contains(['.', 'e', 'E']);
        if is_integer && number.is_infinite() {
            return Err("int too large to convert to float".to_owned());
        }
        return Ok(number);
    }
    match serde_json::from_str(text).map_err(|error| error.to_string())? {
        Value::Bool(is_one) => Ok(f64::from(u8::from(is_one))),
        Value::String(text) => python::float(&text)
            .ok_or_else(|| format!("could not convert string to float: {}", python::repr(&text))),
        other => {
            let name = python::type_name(&other);
            Err(format!("float() argument must be a string or a real number, not '{name}'"))
        }
    }
}

/// What `time.sleep()` makes of a number.
fn sleep(seconds: f64) -> Result<Duration, &'static str> {
    if seconds.is_nan() {
        return Err("Invalid value NaN (not a number)");
    }
    if (seconds * 1e9).abs() >= LONGEST_NS {
        return Err("timestamp too large to convert to C _PyTime_t");
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| "sleep length must be non-negative")
}

#[cfg(test)]
mod tests;
