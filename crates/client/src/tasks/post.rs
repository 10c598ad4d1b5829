//! Posting tasks.

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::many::{AT_ONCE, Answers, OfOne};
use crate::client::{Client, WasRepeated};
use crate::error::ClientError;

/// So many bytes of tasks are sent in a request; an AFM takes 1 MiB, if nothing else is configured.
const BYTES_AT_ONCE: usize = 512 * 1024;

/// The answer to one of several tasks that were posted in one request.
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

impl OfOne for TaskAnswer {
    fn status(&self) -> u16 {
        self.status
    }
}

impl Client {
    /// Posts a task: a [`NewTask`](super::NewTask), or whatever else has its fields. The same task again is no error, but
    /// with an AFM of version 1.1.0.
    ///
    /// # Errors
    /// [`ClientError::Refused`] names the field that is wrong.
    pub async fn post_task<T: Serialize + ?Sized>(&self, task: &T) -> Result<(), ClientError> {
        let body = serde_json::to_vec(task)?;
        match self.post_for_nothing(&["task"], body.clone()).await {
            // The AFM of version 1.1.0 refuses a task that it has already: also one whose answer was lost.
            Err((refusal @ ClientError::Refused { status: 400, field: None, .. }, WasRepeated(true))) => {
                match self.has_stored(&body).await? {
                    true => Ok(()),
                    false => Err(refusal),
                }
            }
            posted => posted.map_err(|(problem, _)| problem),
        }
    }

    /// Whether the AFM has the task that a body posts, and not another one of this id.
    async fn has_stored(&self, body: &[u8]) -> Result<bool, ClientError> {
        #[derive(Deserialize)]
        struct Posted {
            task_id: Uuid,
            test_id: Uuid,
            task_type: String,
            task_version: i64,
            #[serde(default)]
            task_data: Option<Map<String, Value>>,
        }
        let Ok(posted) = serde_json::from_slice::<Posted>(body) else { return Ok(false) };
        let stored = match self.task(posted.task_id).await {
            Ok(stored) => stored,
            Err(ClientError::NotFound(_)) => return Ok(false),
            Err(problem) => return Err(problem),
        };
        let data = match &stored.task_data {
            Some(data) => serde_json::from_str::<Option<Map<String, Value>>>(data.get())
                .map_err(|error| ClientError::Unreadable(error.to_string()))?,
            None => None,
        };
        Ok((stored.test_id, stored.task_version) == (posted.test_id, posted.task_version)
            && stored.task_type == posted.task_type
            && data.unwrap_or_default() == posted.task_data.unwrap_or_default())
    }

    /// Posts any number of tasks, up to 1,000 in a request, and gives the answer to each, in their order. A task is a
    /// [`NewTask`](super::NewTask), or whatever else has its fields. Those that the AFM could not store at once are posted
    /// again, for as long as [`Client::retry_for`] says.
    ///
    /// # Errors
    /// When a request is not answered; tasks of those before it are posted. Posting all again changes nothing.
    pub async fn post_tasks<T: Serialize>(&self, tasks: &[T]) -> Result<Vec<TaskAnswer>, ClientError> {
        let written = tasks.iter().map(to_raw_value).collect::<Result<Vec<_>, _>>()?;
        let mut answers = Vec::with_capacity(tasks.len());
        let mut rest = written.as_slice();
        let mut at_once = AT_ONCE;
        while !rest.is_empty() {
            let mut bytes = 0;
            let sizes = rest.iter().take(at_once).map(|task| task.get().len() + 1);
            let fitting = sizes.take_while(|size| {
                bytes += size;
                bytes <= BYTES_AT_ONCE
            });
            let count = fitting.count().max(1);
            let (now, later) = rest.split_at(count);
            match self.until_answered(now, |now| self.post_at_once(now)).await {
                Ok(answered) => {
                    answers.extend(answered);
                    rest = later;
                }
                // The AFM takes less at once than most do.
                Err(ClientError::Refused { status: 413, .. }) if count > 1 => at_once = count / 2,
                Err(ClientError::Refused { status: 413, .. }) => {
                    answers.push(self.post_alone(&rest[0]).await?);
                    rest = &rest[1..];
                }
                // The original AFM takes one at a time.
                Err(ClientError::NotFound(_)) => {
                    for task in rest {
                        answers.push(self.post_alone(task).await?);
                    }
                    break;
                }
                Err(problem) => return Err(problem),
            }
        }
        Ok(answers)
    }

    async fn post_at_once(&self, tasks: Vec<Box<RawValue>>) -> Result<Vec<TaskAnswer>, ClientError> {
        #[derive(Serialize)]
        struct Tasks {
            tasks: Vec<Box<RawValue>>,
        }
        let answered: Answers<TaskAnswer> = self.post(&["api", "v1", "tasks"], &Tasks { tasks }).await?;
        Ok(answered.results)
    }

    async fn post_alone(&self, task: &RawValue) -> Result<TaskAnswer, ClientError> {
        #[derive(Deserialize)]
        struct Named {
            task_id: Uuid,
        }
        let (status, detail, field) = match self.post_task(task).await {
            Ok(()) => (200, None, None),
            Err(ClientError::Refused { status, detail, field }) => (status, Some(detail), field),
            Err(problem) => return Err(problem),
        };
        let task_id = serde_json::from_str(task.get()).ok().map(|Named { task_id }| task_id);
        Ok(TaskAnswer { task_id, status, detail, field })
    }
}
