//! Tasks as the management API shows them: with their terms and all their attempts.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{AgentFilter, Waiting};
use crate::client::Client;
use crate::error::ClientError;

/// A task with its terms and all its attempts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WholeTask {
    /// Its id.
    pub task_id: Uuid,
    /// What it belongs to.
    pub test_id: Uuid,
    /// Its type.
    pub task_type: String,
    /// In which version.
    pub task_version: i64,
    /// What agents are told: a JSON object.
    pub task_data: Option<Box<RawValue>>,
    /// Its state, in the words of protocol 1.
    pub task_state: String,
    /// How it ended, where it has: completed, failed, lost, timed_out, expired or cancelled.
    pub task_end: Option<String>,
    /// Why it waits.
    pub task_waiting: Option<Waiting>,
    /// When it was posted.
    pub task_created: String,
    /// From when on it can be handed out, if that is to come.
    pub task_available: Option<String>,
    /// When it expires.
    pub task_expires: Option<String>,
    /// When its last attempt began.
    pub task_claimed: Option<String>,
    /// When it was completed.
    pub task_completed: Option<String>,
    /// The result: a JSON object.
    pub task_result: Option<Box<RawValue>>,
    /// When it failed, expired or was cancelled.
    pub task_failed: Option<String>,
    /// Why it failed.
    pub task_error: Option<String>,
    /// The agent of the last attempt.
    pub agent_id: Option<Uuid>,
    /// What that agent is called.
    pub agent_name: Option<String>,
    /// Seconds before it could be handed out.
    pub task_delay: f64,
    /// Seconds after which it expires, from when it was posted.
    pub task_ttl: Option<f64>,
    /// Seconds that an attempt may take.
    pub task_timeout: Option<f64>,
    /// How many attempts there may be.
    pub task_max_attempts: u32,
    /// Whether an agent's error leads to another attempt.
    pub task_retry_errors: bool,
    /// Seconds between the first attempt and the second; it doubles with each.
    pub task_retry_delay: f64,
    /// Those with more are handed out first.
    pub task_priority: i32,
    /// Which agents may have it.
    pub agent_filter: AgentFilter,
    /// All its attempts, the running one too.
    pub attempts: Vec<TaskAttempt>,
}

/// An attempt of a task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TaskAttempt {
    /// Its number, from 1 on.
    pub attempt: u32,
    /// Running, completed, error, lost, abandoned, timed_out, expired or cancelled.
    pub outcome: String,
    /// The agent that has it, or had it.
    pub agent_id: Uuid,
    /// What that agent is called.
    pub agent_name: String,
    /// When it began.
    pub claimed: String,
    /// Until when it may take.
    pub deadline: Option<String>,
    /// When it ended.
    pub ended: Option<String>,
    /// Why it ended so, in a sentence, or the beginning of it.
    pub reason: Option<String>,
    /// How many bytes the reason has, if only the beginning is here.
    pub reason_bytes: Option<u64>,
    /// When a result came after the end.
    pub late: Option<String>,
    /// That result, if it is short.
    pub late_result: Option<Box<RawValue>>,
    /// How many bytes it has, if it is not short.
    pub late_result_bytes: Option<u64>,
    /// The error that came after the end, or the beginning of it.
    pub late_error: Option<String>,
    /// How many bytes it has, if only the beginning is here.
    pub late_error_bytes: Option<u64>,
}

impl Client {
    /// Reads a task with its terms and all its attempts.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] where there is none.
    pub async fn whole_task(&self, id: Uuid) -> Result<WholeTask, ClientError> {
        self.get(&["api", "v1", "tasks", &id.to_string()], &[]).await
    }

    /// Cancels a task; one that is cancelled already stays so.
    ///
    /// # Errors
    /// [`ClientError::Refused`] where it has ended otherwise.
    pub async fn cancel(&self, id: Uuid) -> Result<WholeTask, ClientError> {
        self.post_nothing(&["api", "v1", "tasks", &id.to_string(), "cancel"]).await
    }

    /// Posts a copy of a task that has ended without a result, and gives its id.
    ///
    /// # Errors
    /// [`ClientError::Refused`] where it has not ended, or has a result.
    pub async fn retry(&self, id: Uuid) -> Result<Uuid, ClientError> {
        #[derive(Serialize, Deserialize)]
        struct Copy {
            task_id: Uuid,
        }
        // An id of the client's makes it a request that can be repeated.
        let copy = Copy { task_id: Uuid::new_v4() };
        let answer: Copy = self.post(&["api", "v1", "tasks", &id.to_string(), "retry"], &copy).await?;
        Ok(answer.task_id)
    }
}
