//! What an agent and an AFM say to each other: protocol 1, with what newer AFMs add to it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::handler::{Handlers, Outcome};
use crate::location::Location;

/// The body of a poll.
#[derive(Debug, Serialize)]
pub(crate) struct Poll<'a> {
    pub(crate) protocol: u32,
    pub(crate) agent_id: Uuid,
    pub(crate) agent_name: &'a str,
    pub(crate) agent_time: Timestamp,
    pub(crate) agent_capabilities: BTreeMap<&'a str, Capability>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) agent_location: Option<&'a Location>,
    pub(crate) max_tasks: usize,
    /// What the first AFM did not know is left out where it is spoken to.
    #[serde(flatten)]
    pub(crate) extensions: Option<PollExtensions<'a>>,
}

/// What an agent says to newer AFMs.
#[derive(Debug, Serialize)]
pub(crate) struct PollExtensions<'a> {
    /// Seconds for which the answer may wait for a task.
    pub(crate) max_wait: u64,
    /// What the agent executes, and has not delivered, by the ids it got it under; `None` if that is more than an AFM takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) agent_running: Option<&'a [Uuid]>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Capability {
    version: i64,
}

/// What an agent can do, as it says it.
pub(crate) fn capabilities(handlers: &Handlers) -> BTreeMap<&str, Capability> {
    let capability = |handler: &crate::handler::Handler| Capability { version: handler.version };
    handlers.iter().map(|(task_type, handler)| (task_type.as_str(), capability(handler))).collect()
}

/// The answer to a poll.
#[derive(Debug, Deserialize)]
pub(crate) struct PollAnswer {
    #[serde(default, deserialize_with = "readable")]
    pub(crate) tasks: Vec<HandedOut>,
    /// When to poll next; a text, since a time that cannot be read is no reason to lose tasks.
    #[serde(default)]
    return_time: Option<String>,
    #[serde(default)]
    pub(crate) cancelled: Vec<Uuid>,
}

impl PollAnswer {
    pub(crate) fn return_time(&self) -> Option<Timestamp> {
        self.return_time.as_deref()?.parse().ok()
    }
}

/// Reads tasks. One that cannot be read is no reason to lose the others.
fn readable<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Vec<HandedOut>, D::Error> {
    let tasks: Vec<Box<RawValue>> = Vec::deserialize(deserializer)?;
    let read = |task: &RawValue| match serde_json::from_str(task.get()) {
        Ok(task) => Some(task),
        Err(problem) => {
            let problem = problem.to_string();
            tracing::error!(
                problem,
                "dropped a task that could not be read: the AFM is not told what becomes of it"
            );
            None
        }
    };
    Ok(tasks.iter().filter_map(|task| read(task)).collect())
}

/// A task that was handed out.
#[derive(Debug, Deserialize)]
pub(crate) struct HandedOut {
    pub(crate) task_id: Uuid,
    pub(crate) task_type: String,
    pub(crate) task_version: i64,
    #[serde(default)]
    pub(crate) task_data: Option<Box<RawValue>>,
    #[serde(default = "first")]
    pub(crate) task_attempt: u32,
    #[serde(default)]
    task_deadline: Option<String>,
}

fn first() -> u32 {
    1
}

impl HandedOut {
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.task_deadline.as_deref()?.parse().ok()
    }
}

/// The body of a result.
#[derive(Debug, Serialize)]
pub(crate) struct Result<'a> {
    protocol: u32,
    task_id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_error: Option<String>,
}

impl<'a> Result<'a> {
    pub(crate) fn new(task_id: Uuid, outcome: &'a Outcome) -> Self {
        Self {
            protocol: 1,
            task_id,
            task_data: outcome.as_deref().ok(),
            task_error: outcome.as_ref().err().map(ToString::to_string),
        }
    }
}
