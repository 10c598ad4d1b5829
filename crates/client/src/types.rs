//! Types of tasks.

use serde::{Deserialize, Serialize};

use crate::client::{Client, page};
use crate::error::ClientError;
use crate::overview::{LastHour, OpenTasks};

/// A page of a list of types. It may have fewer than were asked for, even none, although others follow.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TypePage {
    /// The types: first those that agents offer, then others that have tasks, then others that are paused.
    pub types: Vec<TaskType>,
    /// Where the next page begins; `None`: there is none.
    pub next_cursor: Option<String>,
}

/// A type of tasks in a version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TaskType {
    /// Its name.
    pub task_type: String,
    /// The version; `None`: all of them, where all are paused.
    pub task_version: Option<i64>,
    /// Whether an agent offers it.
    pub offered: bool,
    /// The agents that do.
    pub agents: OfferingAgents,
    /// Its tasks that have not ended; `None` before they were counted.
    pub tasks: Option<OpenTasks>,
    /// How its tasks ended in the last hour; `None` for a type that has no figures of its own.
    pub last_hour: Option<LastHour>,
    /// Since when its tasks are handed to nobody.
    pub paused_since: Option<String>,
}

/// The agents that offer a type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferingAgents {
    /// Those that were seen of late.
    pub active: u64,
    /// Those that were not.
    pub silent: u64,
    /// Whether all were counted.
    pub is_complete: bool,
    /// When the census began that counted them; `None`: they were counted at the request.
    pub counted_at: Option<String>,
}

/// Whether a type is paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypePause {
    /// The type.
    pub task_type: String,
    /// The version; `None`: all of them.
    pub task_version: Option<i64>,
    /// Since when its tasks are handed to nobody; `None`: it is not paused.
    pub paused_since: Option<String>,
}

impl Client {
    /// Lists types of tasks: a page of at most `limit`, up to 1,000, from `cursor` on.
    ///
    /// # Errors
    /// When the AFM cannot be asked.
    pub async fn types(&self, limit: u32, cursor: Option<&str>) -> Result<TypePage, ClientError> {
        self.get(&["api", "v1", "types"], &page(Vec::new(), limit, cursor)).await
    }

    /// Reads a type in a version. One that is not known is one that nobody offers.
    ///
    /// # Errors
    /// When the AFM cannot be asked.
    pub async fn task_type(&self, task_type: &str, version: i64) -> Result<TaskType, ClientError> {
        self.get(&["api", "v1", "types", task_type, &version.to_string()], &[]).await
    }

    /// Pauses a type, in a version or with `None` in all of them: its tasks are handed to nobody.
    ///
    /// # Errors
    /// [`ClientError::Refused`] where there are too many pauses.
    pub async fn pause_type(&self, task_type: &str, version: Option<i64>) -> Result<TypePause, ClientError> {
        self.change_type(task_type, version, "pause").await
    }

    /// Ends the pause of a type, in a version or with `None` in all of them.
    ///
    /// # Errors
    /// [`ClientError::Refused`] for one version while all of them are paused.
    pub async fn resume_type(&self, task_type: &str, version: Option<i64>) -> Result<TypePause, ClientError> {
        self.change_type(task_type, version, "resume").await
    }

    async fn change_type(
        &self,
        task_type: &str,
        version: Option<i64>,
        verb: &str,
    ) -> Result<TypePause, ClientError> {
        let version = version.map(|version| version.to_string());
        let mut path = vec!["api", "v1", "types", task_type];
        path.extend(version.as_deref());
        path.push(verb);
        self.post_nothing(&path).await
    }
}
