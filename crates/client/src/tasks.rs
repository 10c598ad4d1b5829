//! What can be done with tasks.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::client::Client;
use crate::error::ClientError;
use crate::task::{NewTask, Outcome, Task, TaskAnswer};

/// An AFM takes so many tasks in a request.
const AT_ONCE: usize = 1_000;
/// For so long a request asks to wait; proxies often allow a minute.
const LONGEST_WAIT: Duration = Duration::from_secs(50);
/// So often an AFM is asked that cannot wait.
const POLL: Duration = Duration::from_secs(1);

/// Which tasks a list has: those for which all of it holds.
#[derive(Debug, Clone, Default, Serialize)]
pub struct TaskFilter {
    /// A state, or how a task ended: delayed, pending, claimed, completed, failed, lost, timed_out, expired, cancelled.
    pub state: Option<String>,
    /// Its type.
    pub task_type: Option<String>,
    /// Its version.
    pub task_version: Option<i64>,
    /// What it belongs to.
    pub test_id: Option<Uuid>,
    /// Its id.
    pub task_id: Option<Uuid>,
    /// The agent that had it last.
    pub agent_id: Option<Uuid>,
    /// The country that it is for.
    pub country: Option<String>,
    /// Posted at this time or later: RFC 3339.
    pub from: Option<String>,
    /// Posted before this time: RFC 3339.
    pub to: Option<String>,
    /// A text in its error.
    pub q: Option<String>,
}

impl TaskFilter {
    fn query(&self) -> Vec<(&'static str, String)> {
        let text = |name, value: &Option<String>| value.clone().map(|value| (name, value));
        let id = |name, value: Option<Uuid>| value.map(|value| (name, value.to_string()));
        [
            text("state", &self.state),
            text("task_type", &self.task_type),
            self.task_version.map(|version| ("task_version", version.to_string())),
            id("test_id", self.test_id),
            id("task_id", self.task_id),
            id("agent_id", self.agent_id),
            text("country", &self.country),
            text("from", &self.from),
            text("to", &self.to),
            text("q", &self.q),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// A page of a list of tasks.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TaskPage {
    /// The tasks.
    pub tasks: Vec<ListedTask>,
    /// Where the next page begins; `None`: there is none.
    pub next_cursor: Option<String>,
}

/// A task in a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListedTask {
    /// Its id.
    pub task_id: Uuid,
    /// What it belongs to.
    pub test_id: Uuid,
    /// Its type.
    pub task_type: String,
    /// In which version.
    pub task_version: i64,
    /// Its state, in the words of protocol 1.
    pub task_state: String,
    /// How it ended, where it has: completed, failed, lost, timed_out, expired or cancelled.
    pub task_end: Option<String>,
    /// When it was posted.
    pub task_created: String,
    /// When its last attempt began.
    pub task_claimed: Option<String>,
    /// When it was completed.
    pub task_completed: Option<String>,
    /// When it failed.
    pub task_failed: Option<String>,
    /// Its result, if that is short.
    pub task_result: Option<Box<RawValue>>,
    /// Its error, or the beginning of it.
    pub task_error: Option<String>,
    /// How many attempts there were.
    pub task_attempt: u32,
    /// Its priority.
    pub task_priority: i32,
    /// The agent of the last attempt.
    pub agent_id: Option<Uuid>,
    /// What that agent is called.
    pub agent_name: Option<String>,
}

/// What a change of several tasks did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// How many tasks were changed.
    pub changed: u64,
    /// How many could not be: they had ended, or had not.
    pub refused: u64,
}

/// What can be done with several tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// They end.
    Cancel,
    /// Copies of them are posted.
    Retry,
}

impl Change {
    fn name(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Retry => "retry",
        }
    }
}

#[derive(Deserialize)]
struct Answers {
    results: Vec<TaskAnswer>,
}

impl Client {
    /// Posts a task, waits until it has ended, and gives how: at most `most`.
    ///
    /// # Errors
    /// [`ClientError::NotEnded`] when the time is over; the task goes on. Else as [`Client::post_task`].
    pub async fn run(&self, task: &NewTask, most: Duration) -> Result<Outcome, ClientError> {
        self.post_task(task).await?;
        let ended = self.wait_for(task.task_id, most).await?;
        ended.outcome().ok_or(ClientError::NotEnded(most))
    }

    /// Posts a task. The same task again is no error.
    ///
    /// # Errors
    /// [`ClientError::Refused`] names the field that is wrong.
    pub async fn post_task(&self, task: &NewTask) -> Result<(), ClientError> {
        self.post_for_nothing(&["task"], task).await.map(drop)
    }

    /// Posts tasks, up to 1,000 in a request, and gives the answer to each, in their order.
    ///
    /// # Errors
    /// When a request is not answered; tasks of those before it are posted. Posting all again changes nothing.
    pub async fn post_tasks(&self, tasks: &[NewTask]) -> Result<Vec<TaskAnswer>, ClientError> {
        #[derive(Serialize)]
        struct Tasks<'a> {
            tasks: &'a [NewTask],
        }
        let mut answers = Vec::with_capacity(tasks.len());
        for tasks in tasks.chunks(AT_ONCE) {
            let answered: Answers = self.post(&["api", "v1", "tasks"], &Tasks { tasks }).await?;
            answers.extend(answered.results);
        }
        Ok(answers)
    }

    /// Reads a task.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] where there is none.
    pub async fn task(&self, id: Uuid) -> Result<Task, ClientError> {
        self.get(&["task", &id.to_string()], &[]).await
    }

    /// Reads a task with all its attempts, as the management API shows it.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] where there is none.
    pub async fn whole_task(&self, id: Uuid) -> Result<Value, ClientError> {
        self.get(&["api", "v1", "tasks", &id.to_string()], &[]).await
    }

    /// Waits until a task has ended, at most `most`, and reads it.
    ///
    /// # Errors
    /// [`ClientError::NotEnded`] when the time is over; [`ClientError::NotFound`] where there is no such task.
    pub async fn wait_for(&self, id: Uuid, most: Duration) -> Result<Task, ClientError> {
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

    /// Cancels a task; one that is cancelled already stays so.
    ///
    /// # Errors
    /// [`ClientError::Refused`] where it has ended otherwise.
    pub async fn cancel(&self, id: Uuid) -> Result<Task, ClientError> {
        self.delete(&["task", &id.to_string()]).await
    }

    /// Posts a copy of a task that has ended, and gives its id.
    ///
    /// # Errors
    /// [`ClientError::Refused`] where it has not ended.
    pub async fn retry(&self, id: Uuid) -> Result<Uuid, ClientError> {
        #[derive(Serialize, Deserialize)]
        struct As {
            task_id: Uuid,
        }
        // An id of the client's makes it a request that can be repeated.
        let copy = As { task_id: Uuid::new_v4() };
        let answer: As = self.post(&["api", "v1", "tasks", &id.to_string(), "retry"], &copy).await?;
        Ok(answer.task_id)
    }

    /// Lists tasks, newest first: a page of at most `limit`, up to 1,000, from `cursor` on.
    ///
    /// # Errors
    /// [`ClientError::Refused`] names the filter that is wrong.
    pub async fn tasks(
        &self,
        filter: &TaskFilter,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<TaskPage, ClientError> {
        let mut query = filter.query();
        query.push(("limit", limit.to_string()));
        query.extend(cursor.map(|cursor| ("cursor", cursor.to_owned())));
        self.get(&["api", "v1", "tasks"], &query).await
    }

    /// Changes all tasks that a filter has: asks how many there are, and has them changed.
    ///
    /// # Errors
    /// As [`Client::tasks`]. What was changed before an error stays so.
    pub async fn change_all(&self, change: Change, filter: &TaskFilter) -> Result<Changed, ClientError> {
        #[derive(Serialize)]
        struct Ask<'a> {
            filter: Value,
            #[serde(skip_serializing_if = "Option::is_none")]
            token: Option<&'a str>,
        }
        #[derive(Deserialize)]
        struct Counted {
            token: String,
        }
        #[derive(Deserialize)]
        struct Done {
            changed: u64,
            refused: u64,
            token: Option<String>,
        }
        let path = ["api", "v1", "tasks", change.name()];
        let mut named = serde_json::to_value(filter)?;
        if let Some(named) = named.as_object_mut() {
            named.retain(|_, value| !value.is_null());
        }
        let asked: Counted = self.post(&path, &Ask { filter: named.clone(), token: None }).await?;
        let (mut all, mut token) = (Changed { changed: 0, refused: 0 }, Some(asked.token));
        while let Some(repeated) = token {
            let done: Done = self.post(&path, &Ask { filter: named.clone(), token: Some(&repeated) }).await?;
            all.changed += done.changed;
            all.refused += done.refused;
            token = done.token;
        }
        Ok(all)
    }
}
