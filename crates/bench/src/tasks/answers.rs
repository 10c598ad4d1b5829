//! What the server says, as far as it is looked at.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::unit::GaveUp;

/// How the answer to an idle poll begins, as our own server and most others write it.
const NO_TASKS: &[u8] = br#"{"tasks":[]"#;

/// The answer to a poll.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Polled<'a> {
    #[serde(borrow)]
    pub(crate) tasks: Vec<Claimed<'a>>,
}

/// A task that was handed out.
#[derive(Debug, Deserialize)]
pub(crate) struct Claimed<'a> {
    pub(crate) task_id: Uuid,
    #[serde(borrow)]
    pub(crate) task_type: Cow<'a, str>,
    pub(crate) task_version: i64,
    #[serde(borrow)]
    pub(crate) task_data: &'a RawValue,
}

/// A task that was asked for.
#[derive(Debug, Deserialize)]
pub(crate) struct Seen<'a> {
    pub(crate) task_id: Uuid,
    #[serde(borrow)]
    pub(crate) task_type: Cow<'a, str>,
    pub(crate) task_version: i64,
    #[serde(borrow)]
    pub(crate) task_data: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) task_result: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) task_completed: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) task_error: Option<Cow<'a, str>>,
}

impl<'a> Polled<'a> {
    /// Reads the answer to a poll.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, GaveUp> {
        if body.starts_with(NO_TASKS) {
            return Ok(Self::default());
        }
        serde_json::from_slice(body).map_err(|_| GaveUp::Failed("the answer to a poll is none".to_owned()))
    }
}

impl<'a> Seen<'a> {
    /// Reads the answer to a question for a task.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, GaveUp> {
        serde_json::from_slice(body).map_err(|_| GaveUp::Failed("the answer for a task is none".to_owned()))
    }
}
