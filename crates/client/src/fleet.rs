//! Agents, types, tests, and how the fleet does.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::client::Client;
use crate::error::ClientError;
use crate::tasks::ListedTask;

/// A page of a list of agents.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AgentPage {
    /// The agents, those first that were seen last.
    pub agents: Vec<Agent>,
    /// Where the next page begins; `None`: there is none.
    pub next_cursor: Option<String>,
}

/// An agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Agent {
    /// Its id.
    pub agent_id: Uuid,
    /// What people call it.
    pub agent_name: String,
    /// Active, lost or paused.
    pub state: String,
    /// When it was seen last.
    pub last_seen: String,
    /// How many tasks it executes.
    pub tasks_running: u64,
    /// How many more it takes.
    pub max_tasks: u64,
    /// What it can do: a type and its version.
    #[serde(default)]
    pub agent_capabilities: Value,
    /// Where it is.
    #[serde(default)]
    pub agent_location: Value,
    /// Since when it is handed nothing.
    #[serde(default)]
    pub paused_since: Option<String>,
}

/// A page of a list of types.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TypePage {
    /// The types.
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
    /// The agents that do: active and silent.
    #[serde(default)]
    pub agents: Value,
    /// Its tasks: waiting, running and delayed; `None` where that is not known.
    #[serde(default)]
    pub tasks: Option<Unfinished>,
    /// Since when its tasks are handed to nobody.
    #[serde(default)]
    pub paused_since: Option<String>,
}

/// How many tasks have not ended.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Unfinished {
    /// They wait for an agent.
    pub waiting: u64,
    /// They are executed.
    pub running: u64,
    /// They wait for their time.
    pub delayed: u64,
}

/// All tasks of a test.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Test {
    /// Its id.
    pub test_id: Uuid,
    /// What its tasks say together.
    pub verdict: String,
    /// How many of its tasks are in each state.
    pub counts: Value,
    /// Its tasks, or a page of them.
    pub tasks: Vec<ListedTask>,
    /// Where the next page begins; `None`: there is none.
    pub next_cursor: Option<String>,
}

/// What is paused.
#[derive(Debug, Clone, Copy)]
pub enum Paused<'a> {
    /// An agent: it is handed nothing.
    Agent(Uuid),
    /// A type, in a version or in all of them: its tasks are handed to nobody.
    Type(&'a str, Option<i64>),
}

impl Client {
    /// Lists agents, those first that were seen last.
    ///
    /// # Errors
    /// [`ClientError::Refused`] names the filter that is wrong; `filter` has names and values as docs/api.md says.
    pub async fn agents(
        &self,
        filter: &[(&str, String)],
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<AgentPage, ClientError> {
        let mut query = filter.to_vec();
        query.push(("limit", limit.to_string()));
        query.extend(cursor.map(|cursor| ("cursor", cursor.to_owned())));
        self.get(&["api", "v1", "agents"], &query).await
    }

    /// Reads an agent with what it executes.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] where there is none.
    pub async fn agent(&self, id: Uuid) -> Result<Value, ClientError> {
        self.get(&["api", "v1", "agents", &id.to_string()], &[]).await
    }

    /// Forgets an agent. If it polls again it is registered anew.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] where there is none.
    pub async fn forget_agent(&self, id: Uuid) -> Result<Value, ClientError> {
        self.delete(&["api", "v1", "agents", &id.to_string()]).await
    }

    /// Lists types of tasks: which are offered, wait or run.
    ///
    /// # Errors
    /// When the AFM cannot be asked.
    pub async fn types(&self, limit: u32, cursor: Option<&str>) -> Result<TypePage, ClientError> {
        let mut query = vec![("limit", limit.to_string())];
        query.extend(cursor.map(|cursor| ("cursor", cursor.to_owned())));
        self.get(&["api", "v1", "types"], &query).await
    }

    /// Pauses an agent or a type.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] where there is no such agent.
    pub async fn pause(&self, what: Paused<'_>) -> Result<Value, ClientError> {
        self.pause_or_resume(what, "pause").await
    }

    /// Ends a pause.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] where there is no such agent.
    pub async fn resume(&self, what: Paused<'_>) -> Result<Value, ClientError> {
        self.pause_or_resume(what, "resume").await
    }

    async fn pause_or_resume(&self, what: Paused<'_>, verb: &str) -> Result<Value, ClientError> {
        let (id, version);
        let path: Vec<&str> = match what {
            Paused::Agent(agent_id) => {
                id = agent_id.to_string();
                vec!["api", "v1", "agents", &id, verb]
            }
            Paused::Type(name, None) => vec!["api", "v1", "types", name, verb],
            Paused::Type(name, Some(number)) => {
                version = number.to_string();
                vec!["api", "v1", "types", name, &version, verb]
            }
        };
        self.post(&path, &Value::Object(serde_json::Map::new())).await
    }

    /// Reads the tasks of a test.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] where it has none.
    pub async fn test(&self, id: Uuid, limit: u32, cursor: Option<&str>) -> Result<Test, ClientError> {
        let mut query = vec![("limit", limit.to_string())];
        query.extend(cursor.map(|cursor| ("cursor", cursor.to_owned())));
        self.get(&["api", "v1", "tests", &id.to_string()], &query).await
    }

    /// Reads the figures of the last hour.
    ///
    /// # Errors
    /// When the AFM cannot be asked.
    pub async fn overview(&self) -> Result<Value, ClientError> {
        self.get(&["api", "v1", "overview"], &[]).await
    }
}
