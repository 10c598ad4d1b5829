//! What can be done with tasks.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

use crate::client::Client;
use crate::error::ClientError;
use crate::task::{NewTask, Outcome, Task, TaskAnswer};

/// An AFM takes so many tasks in a request.
const AT_ONCE: usize = 1_000;
/// So many bytes of tasks are sent in a request; an AFM takes 1 MiB, if nothing else is configured.
const BYTES_AT_ONCE: usize = 512 * 1024;
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
    /// The filter as names and values of a query.
    #[must_use]
    pub fn query(&self) -> Vec<(&'static str, String)> {
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

/// What came of the change of one of several tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeAnswer {
    /// Which one.
    pub task_id: Option<Uuid>,
    /// The status that the change would have been answered alone.
    pub status: u16,
    /// The copy that was posted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_task_id: Option<Uuid>,
    /// Why the task was not changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// How many tasks a filter has that can be changed.
#[derive(Debug, Clone)]
pub struct Counted {
    /// How many.
    pub count: u64,
    /// Whether there may be more than were counted.
    pub more: bool,
    change: Change,
    filter: Value,
    token: String,
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

    /// Posts a task: a [`NewTask`], or whatever else has its fields. The same task again is no error.
    ///
    /// # Errors
    /// [`ClientError::Refused`] names the field that is wrong.
    pub async fn post_task<T: Serialize>(&self, task: &T) -> Result<(), ClientError> {
        self.post_for_nothing(&["task"], task).await.map(drop)
    }

    /// Posts tasks, up to 1,000 in a request, and gives the answer to each, in their order. A task is a [`NewTask`], or
    /// whatever else has its fields.
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
            match self.post_at_once(&rest[..count]).await {
                Ok(answered) => {
                    answers.extend(answered);
                    rest = &rest[count..];
                }
                // The AFM takes less at once than most do.
                Err(ClientError::Refused { status: 413, .. }) if count > 1 => at_once = count / 2,
                Err(ClientError::Refused { status: 413, detail, field }) => {
                    answers.push(TaskAnswer { task_id: None, status: 413, detail: Some(detail), field });
                    rest = &rest[1..];
                }
                Err(problem) => return Err(problem),
            }
        }
        Ok(answers)
    }

    async fn post_at_once(&self, tasks: &[Box<RawValue>]) -> Result<Vec<TaskAnswer>, ClientError> {
        #[derive(Serialize)]
        struct Tasks<'a> {
            tasks: &'a [Box<RawValue>],
        }
        let answered: Answers = self.post(&["api", "v1", "tasks"], &Tasks { tasks }).await?;
        if answered.results.len() == tasks.len() {
            return Ok(answered.results);
        }
        let (asked, got) = (tasks.len(), answered.results.len());
        Err(ClientError::Unreadable(format!("{asked} tasks were posted, and {got} of them answered")))
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
        // A year is for ever.
        let most = most.min(Duration::from_secs(365 * 86_400));
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

    /// Changes up to 1,000 tasks, and says what came of each, in their order. Sent again after an answer was lost it
    /// changes nothing more.
    ///
    /// # Errors
    /// When the request is not answered.
    pub async fn change_tasks(&self, change: Change, ids: &[Uuid]) -> Result<Vec<ChangeAnswer>, ClientError> {
        #[derive(Serialize)]
        struct Ask<'a> {
            task_ids: &'a [Uuid],
            #[serde(skip_serializing_if = "Option::is_none")]
            new_task_ids: Option<Vec<Uuid>>,
        }
        #[derive(Deserialize)]
        struct Answers {
            results: Vec<ChangeAnswer>,
        }
        let new_task_ids = (change == Change::Retry).then(|| ids.iter().map(|_| Uuid::new_v4()).collect());
        let ask = Ask { task_ids: ids, new_task_ids };
        let answers: Answers = self.post(&["api", "v1", "tasks", change.name()], &ask).await?;
        Ok(answers.results)
    }

    /// Counts the tasks that a filter has and that can be changed. Nothing is changed.
    ///
    /// # Errors
    /// As [`Client::tasks`].
    pub async fn count_all(&self, change: Change, filter: &TaskFilter) -> Result<Counted, ClientError> {
        #[derive(Deserialize)]
        struct Answer {
            count: u64,
            more: bool,
            token: String,
        }
        let path = ["api", "v1", "tasks", change.name()];
        let filter = named(filter)?;
        let asked = Ask { filter: &filter, token: None };
        let Answer { count, more, token } = self.post(&path, &asked).await?;
        Ok(Counted { count, more, change, filter, token })
    }

    /// Changes the tasks that were counted.
    ///
    /// # Errors
    /// As [`Client::tasks`]. What was changed before an error stays so.
    pub async fn change_counted(&self, counted: Counted) -> Result<Changed, ClientError> {
        #[derive(Deserialize)]
        struct Done {
            changed: u64,
            refused: u64,
            token: Option<String>,
        }
        let Counted { change, filter, token, .. } = counted;
        let path = ["api", "v1", "tasks", change.name()];
        let (mut all, mut token) = (Changed { changed: 0, refused: 0 }, Some(token));
        while let Some(repeated) = token {
            let done: Done = self.post(&path, &Ask { filter: &filter, token: Some(&repeated) }).await?;
            all.changed += done.changed;
            all.refused += done.refused;
            token = done.token;
        }
        Ok(all)
    }

    /// Changes all tasks that a filter has: asks how many there are, and has them changed.
    ///
    /// # Errors
    /// As [`Client::tasks`]. What was changed before an error stays so.
    pub async fn change_all(&self, change: Change, filter: &TaskFilter) -> Result<Changed, ClientError> {
        self.change_counted(self.count_all(change, filter).await?).await
    }
}

/// A request to change the tasks of a filter.
#[derive(Serialize)]
struct Ask<'a> {
    filter: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
}

fn named(filter: &TaskFilter) -> Result<Value, ClientError> {
    let mut filter = serde_json::to_value(filter)?;
    if let Some(filter) = filter.as_object_mut() {
        filter.retain(|_, value| !value.is_null());
    }
    Ok(filter)
}
