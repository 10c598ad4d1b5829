//! Tasks as protocol 1 shows them, and how they end.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::NewTask;
use crate::client::Client;
use crate::error::ClientError;

/// For so long a request asks to wait; proxies often allow a minute.
const LONGEST_WAIT: Duration = Duration::from_secs(50);
/// So often an AFM is asked that cannot wait.
const POLL: Duration = Duration::from_secs(1);
/// A year is for ever.
const FOR_EVER: Duration = Duration::from_secs(365 * 86_400);

/// A task, as `GET /task/{task_id}` shows it. The original AFM says only what has no `Option`, and how the task ended.
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
    /// What agents are told: a JSON object.
    pub task_data: Option<Box<RawValue>>,
    /// Delayed, pending, claimed, completed, failed, expired or cancelled.
    pub task_state: Option<String>,
    /// When it was posted, in UTC.
    pub task_created: Option<String>,
    /// When its last attempt began, in UTC.
    pub task_claimed: Option<String>,
    /// When it was completed, in UTC.
    pub task_completed: Option<String>,
    /// The result: a JSON object.
    pub task_result: Option<Box<RawValue>>,
    /// When it failed, expired or was cancelled, in UTC.
    pub task_failed: Option<String>,
    /// Why it failed.
    pub task_error: Option<String>,
    /// Which attempt is the last one.
    pub task_attempt: Option<u32>,
    /// The agent of the last attempt.
    pub agent_id: Option<Uuid>,
    /// What that agent is called.
    pub agent_name: Option<String>,
    /// Why it waits.
    pub task_waiting: Option<Waiting>,
    /// The attempts that have ended without ending the task.
    #[serde(default)]
    pub attempts: Vec<EndedAttempt>,
}

/// Why a task waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// In a word, for programs.
    pub code: String,
    /// In a sentence.
    pub reason: String,
}

/// An attempt that has ended without ending its task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EndedAttempt {
    /// Its number, from 1 on.
    pub attempt: u32,
    /// How it ended: error, lost, abandoned or timed_out.
    pub code: String,
    /// Why, in a sentence, or the beginning of it.
    pub reason: String,
    /// How many bytes the reason has, if only the beginning is here.
    pub reason_bytes: Option<u64>,
    /// When it began, in UTC.
    pub claimed: String,
    /// When it ended, in UTC.
    pub ended: String,
    /// The agent that had it.
    pub agent_id: Uuid,
    /// What that agent is called.
    pub agent_name: String,
    /// When a result came after the end, in UTC.
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

impl Client {
    /// Posts a task, waits until it has ended, at most `most`, and gives how.
    ///
    /// # Errors
    /// [`ClientError::NotEnded`] when the time is over; the task goes on. Else as [`Client::post_task`].
    pub async fn run(&self, task: &NewTask, most: Duration) -> Result<Outcome, ClientError> {
        self.post_task(task).await?;
        let ended = self.wait_for(task.task_id, most).await?;
        ended.outcome().ok_or(ClientError::NotEnded(most))
    }

    /// Reads a task.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] where there is none.
    pub async fn task(&self, id: Uuid) -> Result<Task, ClientError> {
        self.get(&["task", &id.to_string()], &[]).await
    }

    /// Waits until a task has ended, at most `most`, and reads it.
    ///
    /// # Errors
    /// [`ClientError::NotEnded`] when the time is over; [`ClientError::NotFound`] where there is no such task.
    pub async fn wait_for(&self, id: Uuid, most: Duration) -> Result<Task, ClientError> {
        let most = most.min(FOR_EVER);
        let end = Instant::now() + most;
        loop {
            let asked = Instant::now();
            let wait = end.saturating_duration_since(asked).min(LONGEST_WAIT);
            let query = [("wait", format!("{:.3}", wait.as_secs_f64()))];
            let task: Task = self.get_waiting(&["task", &id.to_string()], &query, wait).await?;
            if task.outcome().is_some() {
                return Ok(task);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ClientError::NotEnded(most));
            }
            // The original AFM cannot wait, and one that has too much to do does not.
            if asked.elapsed() < wait.min(POLL) {
                tokio::time::sleep(POLL.min(left)).await;
            }
        }
    }

    /// Cancels a task by protocol 1, as [`Client::cancel`] does; one that is cancelled already stays so.
    ///
    /// # Errors
    /// [`ClientError::Refused`] where it has ended otherwise.
    pub async fn delete(&self, id: Uuid) -> Result<Task, ClientError> {
        self.delete_at(&["task", &id.to_string()]).await
    }
}
