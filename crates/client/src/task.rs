//! Tasks: what is posted, and what becomes of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

use crate::error::ClientError;

/// A task to post.
#[derive(Debug, Clone, Serialize)]
pub struct NewTask {
    /// The id, chosen by the client: posting the same task again changes nothing.
    pub task_id: Uuid,
    /// What the task belongs to; tasks of one test are shown together.
    pub test_id: Uuid,
    /// What agents have to be able to do.
    pub task_type: String,
    /// In which version.
    pub task_version: i64,
    /// What they are told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_data: Option<Box<RawValue>>,
    /// Seconds before the task can be handed out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_delay: Option<f64>,
    /// Seconds after which the task expires, from when it was posted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_ttl: Option<f64>,
    /// Seconds that an attempt may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_timeout: Option<f64>,
    /// How many attempts there may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_max_attempts: Option<u32>,
    /// Whether an agent's error leads to another attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_retry_errors: Option<bool>,
    /// Seconds between the first attempt and the second; it doubles with each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_retry_delay: Option<f64>,
    /// Those with more are handed out first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_priority: Option<i32>,
    /// Which agents may have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_filter: Option<AgentFilter>,
}

/// Which agents may have a task: those for which all of it holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentFilter {
    /// This agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<Uuid>,
    /// Agents of this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_name: Option<String>,
    /// Agents in this country.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Agents in this region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

impl NewTask {
    /// A task of a type and version, with fresh ids.
    pub fn new(task_type: impl Into<String>, task_version: i64) -> Self {
        Self {
            task_id: Uuid::new_v4(),
            test_id: Uuid::new_v4(),
            task_type: task_type.into(),
            task_version,
            task_data: None,
            task_delay: None,
            task_ttl: None,
            task_timeout: None,
            task_max_attempts: None,
            task_retry_errors: None,
            task_retry_delay: None,
            task_priority: None,
            agent_filter: None,
        }
    }

    /// Gives the task its data.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn data(mut self, data: &impl Serialize) -> Result<Self, ClientError> {
        self.task_data = Some(to_raw_value(data)?);
        Ok(self)
    }

    /// Puts the task into a test.
    #[must_use]
    pub fn test_id(mut self, test_id: Uuid) -> Self {
        self.test_id = test_id;
        self
    }

    /// Says how long an attempt may take.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.task_timeout = Some(timeout.as_secs_f64());
        self
    }

    /// Says after how long nobody wants the result any more.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.task_ttl = Some(ttl.as_secs_f64());
        self
    }
}

/// The answer to one of several things that were asked for in one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskAnswer {
    /// Which one it is; `None` where the AFM could not read that.
    pub task_id: Option<Uuid>,
    /// The status that it would have been answered alone.
    pub status: u16,
    /// What is wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Which field is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

/// A task, as `GET /task/{task_id}` shows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Task {
    /// Its id.
    pub task_id: Uuid,
    /// What it belongs to.
    pub test_id: Uuid,
    /// Its type.
    pub task_type: String,
    /// In which version.
    pub task_version: i64,
    /// What agents are told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_data: Option<Box<RawValue>>,
    /// Delayed, pending, claimed, completed, failed, expired or cancelled; the original AFM does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_state: Option<String>,
    /// When it was completed, in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_completed: Option<String>,
    /// The result: a JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_result: Option<Box<RawValue>>,
    /// When it failed, in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_failed: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_error: Option<String>,
    /// Which attempt is the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_attempt: Option<u32>,
    /// The agent of the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<Uuid>,
    /// What that agent is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_name: Option<String>,
    /// Why it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_waiting: Option<Waiting>,
}

/// Why a task waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// In a word, for programs.
    pub code: String,
    /// In a sentence.
    pub reason: String,
}

/// How a task ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// With a result: a JSON object.
    Completed(Box<RawValue>),
    /// Without one; the sentence says why.
    Failed(String),
}

impl Task {
    /// How the task ended; `None` while it goes on.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        match (&self.task_result, &self.task_error) {
            (Some(result), _) if self.task_completed.is_some() => Some(Outcome::Completed(result.clone())),
            (_, Some(error)) => Some(Outcome::Failed(error.clone())),
            _ => self.task_failed.as_ref().map(|_| Outcome::Failed(String::new())),
        }
    }
}
