//! What a task is posted with.

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
