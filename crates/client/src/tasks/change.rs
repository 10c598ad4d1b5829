//! Changes of several tasks: those of a list of ids, or of a filter.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::TaskFilter;
use super::many::{AT_ONCE, Answers, OfOne};
use crate::client::Client;
use crate::error::ClientError;

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

impl OfOne for ChangeAnswer {
    fn status(&self) -> u16 {
        self.status
    }
}

/// How many tasks a filter has that can be changed.
#[derive(Debug, Clone)]
pub struct Counted {
    /// How many.
    pub count: u64,
    /// Whether there may be more than were counted.
    pub more: bool,
    change: Change,
    filter: TaskFilter,
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
    fn path(self) -> [&'static str; 4] {
        let verb = match self {
            Self::Cancel => "cancel",
            Self::Retry => "retry",
        };
        ["api", "v1", "tasks", verb]
    }
}

impl Client {
    /// Changes any number of tasks, up to 1,000 in a request, and says what came of each, in their order. Those that the
    /// AFM could not change at once are sent again, for as long as [`Client::retry_for`] says.
    ///
    /// # Errors
    /// When a request is not answered; what those before it have changed stays so.
    pub async fn change_tasks(&self, change: Change, ids: &[Uuid]) -> Result<Vec<ChangeAnswer>, ClientError> {
        // Ids of the client's make them requests that can be repeated.
        let tasks: Vec<(Uuid, Uuid)> = ids.iter().map(|id| (*id, Uuid::new_v4())).collect();
        let mut answers = Vec::with_capacity(ids.len());
        let (mut rest, mut at_once) = (tasks.as_slice(), AT_ONCE);
        while !rest.is_empty() {
            let (now, later) = rest.split_at(at_once.min(rest.len()));
            match self.until_answered(now, |now| self.change_at_once(change, now)).await {
                Ok(answered) => {
                    answers.extend(answered);
                    rest = later;
                }
                // The AFM takes less at once than most do.
                Err(ClientError::Refused { status: 413, .. }) if now.len() > 1 => at_once = now.len() / 2,
                Err(problem) => return Err(problem),
            }
        }
        Ok(answers)
    }

    async fn change_at_once(
        &self,
        change: Change,
        tasks: Vec<(Uuid, Uuid)>,
    ) -> Result<Vec<ChangeAnswer>, ClientError> {
        #[derive(Serialize)]
        struct Ask {
            task_ids: Vec<Uuid>,
            #[serde(skip_serializing_if = "Option::is_none")]
            new_task_ids: Option<Vec<Uuid>>,
        }
        let (task_ids, copies) = tasks.into_iter().unzip();
        let ask = Ask { task_ids, new_task_ids: (change == Change::Retry).then_some(copies) };
        let answered: Answers<ChangeAnswer> = self.post(&change.path(), &ask).await?;
        Ok(answered.results)
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
        let Answer { count, more, token } = self.post(&change.path(), &Ask { filter, token: None }).await?;
        Ok(Counted { count, more, change, filter: filter.clone(), token })
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
        let path = change.path();
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
    filter: &'a TaskFilter,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
}
