//! Agents.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::client::{Client, page};
use crate::error::ClientError;
use crate::overview::LastHour;

/// Which agents a list has: those for which all of it holds.
#[derive(Debug, Clone, Default)]
pub struct AgentListFilter {
    /// Active, lost or paused.
    pub state: Option<String>,
    /// A type that they offer.
    pub task_type: Option<String>,
    /// The version in which they offer it.
    pub task_version: Option<i64>,
    /// The country that they say they are in.
    pub country: Option<String>,
    /// The region that they say they are in.
    pub region: Option<String>,
    /// An id, or a part of a name.
    pub q: Option<String>,
}

/// A page of a list of agents. It may have fewer than were asked for, even none, although others follow.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AgentPage {
    /// The agents, in the order of the database.
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
    /// When it is to poll next; `None` while a poll of it is held open.
    pub next_poll_due: Option<String>,
    /// Whether a poll of it is held open.
    pub poll_held: bool,
    /// What it offers: types, and the version of each; `None` in a list where that is long.
    pub agent_capabilities: Option<BTreeMap<String, OfferedVersion>>,
    /// How many bytes that has where it is left out.
    pub agent_capabilities_bytes: Option<u64>,
    /// Where it says it is.
    pub agent_location: Option<AgentLocation>,
    /// How many tasks it asked for with its last poll.
    pub max_tasks: u64,
    /// How many tasks it executes, counted up to 100.
    pub tasks_running: u64,
    /// How its attempts ended in the last hour.
    pub last_hour: LastHour,
    /// Since when it is handed nothing.
    pub paused_since: Option<String>,
}

/// The version of a type that an agent offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferedVersion {
    /// The version.
    pub version: i64,
}

/// Where an agent says it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentLocation {
    /// The country, in two letters.
    pub country: String,
    /// The region of that country.
    pub region: String,
    /// Degrees to the north.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latitude: Option<f64>,
    /// Degrees to the east.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longitude: Option<f64>,
}

/// An agent, with the tasks that it executes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AgentWithTasks {
    /// The agent.
    #[serde(flatten)]
    pub agent: Agent,
    /// What it executes, the oldest first, at most 100.
    pub tasks: Vec<RunningTask>,
    /// Whether it executes more.
    pub more_tasks: bool,
}

/// A task that an agent executes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunningTask {
    /// Its id.
    pub task_id: Uuid,
    /// What it belongs to.
    pub test_id: Uuid,
    /// Its type.
    pub task_type: String,
    /// In which version.
    pub task_version: i64,
    /// When it was posted.
    pub task_created: String,
    /// When the attempt began.
    pub task_claimed: String,
    /// Which attempt it is.
    pub task_attempt: u32,
    /// When a result is too late.
    pub task_deadline: Option<String>,
}

/// Whether an agent is paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentPause {
    /// The agent.
    pub agent_id: Uuid,
    /// Since when it is handed nothing; `None`: it is not paused.
    pub paused_since: Option<String>,
}

impl AgentListFilter {
    /// The filter as names and values of a query.
    #[must_use]
    pub fn query(&self) -> Vec<(&'static str, String)> {
        [
            ("state", self.state.clone()),
            ("task_type", self.task_type.clone()),
            ("task_version", self.task_version.map(|version| version.to_string())),
            ("country", self.country.clone()),
            ("region", self.region.clone()),
            ("q", self.q.clone()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }
}

impl Client {
    /// Lists agents: a page of at most `limit`, up to 1,000, from `cursor` on.
    ///
    /// # Errors
    /// [`ClientError::Refused`] names the filter that is wrong.
    pub async fn agents(
        &self,
        filter: &AgentListFilter,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<AgentPage, ClientError> {
        self.get(&["api", "v1", "agents"], &page(filter.query(), limit, cursor)).await
    }

    /// Reads an agent with what it executes.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] where there is none.
    pub async fn agent(&self, id: Uuid) -> Result<AgentWithTasks, ClientError> {
        self.get(&["api", "v1", "agents", &id.to_string()], &[]).await
    }

    /// Pauses an agent: it is handed nothing. What it executes goes on.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] where there is none.
    pub async fn pause_agent(&self, id: Uuid) -> Result<AgentPause, ClientError> {
        self.post_nothing(&["api", "v1", "agents", &id.to_string(), "pause"]).await
    }

    /// Ends the pause of an agent.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] where there is none.
    pub async fn resume_agent(&self, id: Uuid) -> Result<AgentPause, ClientError> {
        self.post_nothing(&["api", "v1", "agents", &id.to_string(), "resume"]).await
    }

    /// Forgets an agent, with its pause. If it polls again it is registered anew.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] where there is none, [`ClientError::Refused`] while it executes tasks.
    pub async fn forget_agent(&self, id: Uuid) -> Result<AgentPause, ClientError> {
        self.delete_at(&["api", "v1", "agents", &id.to_string()]).await
    }
}
