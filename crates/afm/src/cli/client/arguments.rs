//! How arguments are read. What is wrong with one is said in plain words, which clap puts behind its name.

use std::time::Duration;

use uuid::Uuid;

/// Reads an id.
pub(super) fn id(text: &str) -> Result<Uuid, String> {
    Uuid::try_parse(text).map_err(|_| "must be a UUID of 8-4-4-4-12 hexadecimal digits".to_owned())
}

/// Reads the id of an agent, which people rather know by its name.
pub(super) fn agent_id(text: &str) -> Result<Uuid, String> {
    id(text).map_err(|problem| format!("{problem}; `slamon-afm agents --name TEXT` finds that of an agent"))
}

/// Reads a number of seconds from 0 on.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "must be a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(number).map_err(|_| "must be a number of seconds from 0 on".to_owned())
}

/// Reads a number of seconds above 0.
pub(super) fn positive_seconds(text: &str) -> Result<Duration, String> {
    seconds(text).and_then(|time| match time.is_zero() {
        true => Err("must be a number of seconds above 0".to_owned()),
        false => Ok(time),
    })
}
