//! How the fleet does, and where it is.

use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::error::ClientError;

/// What waits and runs now, and what happened in the last hour.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Overview {
    /// When it was read.
    pub at: String,
    /// The tasks that have not ended; `None` before they were counted.
    pub tasks: Option<OpenTasks>,
    /// The agents.
    pub agents: AgentCounts,
    /// The last 60 minutes, the one that runs included.
    pub minutes: Vec<Minute>,
    /// What happened in them, by type.
    pub types: Vec<TypeOverview>,
}

/// How many tasks have not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenTasks {
    /// They wait for their time.
    pub delayed: u64,
    /// They wait for an agent.
    pub waiting: u64,
    /// They are executed.
    pub running: u64,
}

/// How many agents there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentCounts {
    /// Those that were seen of late.
    pub active: u64,
    /// Those that were not.
    pub lost: u64,
    /// Those that are handed nothing.
    pub paused: u64,
    /// Whether all were counted.
    pub is_complete: bool,
    /// When the census began that counted them; `None`: they were counted at the request.
    pub counted_at: Option<String>,
}

/// How often each thing happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happened {
    /// Tasks were posted.
    pub posted: u64,
    /// Tasks were handed to agents.
    pub claimed: u64,
    /// Tasks ended, however they did.
    pub finished: u64,
    /// Tasks ended with a result.
    pub completed: u64,
    /// Tasks failed, were lost or timed out, and are not tried again.
    pub failed: u64,
    /// Tasks expired.
    pub expired: u64,
    /// Tasks were cancelled.
    pub cancelled: u64,
    /// Attempts failed after which the task is tried again.
    pub retried: u64,
}

/// What happened in a minute.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Minute {
    /// When it began.
    pub minute: String,
    /// What happened in it.
    #[serde(flatten)]
    pub happened: Happened,
}

/// What happened to the tasks of a type in the last hour.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TypeOverview {
    /// The type; `None`: all those that have no figures of their own.
    pub task_type: Option<String>,
    /// In which version.
    pub task_version: Option<i64>,
    /// What happened to its tasks.
    #[serde(flatten)]
    pub happened: Happened,
    /// How long they waited for their first attempt.
    pub queue_seconds: Option<Percentiles>,
    /// How long attempts took.
    pub run_seconds: Option<Percentiles>,
}

/// How long something took, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Half of them took no longer.
    pub p50: f64,
    /// 95 of 100 took no longer.
    pub p95: f64,
    /// 99 of 100 took no longer.
    pub p99: f64,
}

/// How tasks or attempts ended in the last hour.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LastHour {
    /// With a result.
    pub completed: u64,
    /// Without one.
    pub failed: u64,
    /// The share of those without one; `None` where there were none at all.
    pub error_share: Option<f64>,
}

/// How many agents there are in each place. All is `None` while they are counted for the first time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Locations {
    /// When they were counted.
    pub at: Option<String>,
    /// The places; of more than 1,000 those with the most agents.
    pub locations: Option<Vec<Location>>,
    /// The agents that do not say where they are.
    pub elsewhere: Option<AgentsByState>,
    /// The agents in places that are not listed.
    pub others: Option<AgentsByState>,
    /// Whether all agents were counted.
    pub is_complete: bool,
}

/// How many agents there are in a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// The country, in two letters.
    pub country: String,
    /// The region of that country.
    pub region: String,
    /// The agents there.
    #[serde(flatten)]
    pub agents: AgentsByState,
}

/// How many agents are in each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentsByState {
    /// Those that were seen of late.
    pub active: u64,
    /// Those that were not.
    pub lost: u64,
    /// Those that are handed nothing.
    pub paused: u64,
}

/// How many agents are active and how many tasks wait, as protocol 1 says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusCounts {
    /// Agents that were seen of late.
    pub agents: u64,
    /// Tasks that wait for an agent.
    pub tasks_waiting: u64,
}

impl Client {
    /// Reads the figures of the last hour.
    ///
    /// # Errors
    /// When the AFM cannot be asked.
    pub async fn overview(&self) -> Result<Overview, ClientError> {
        self.get(&["api", "v1", "overview"], &[]).await
    }

    /// Reads how many agents there are in each place.
    ///
    /// # Errors
    /// When the AFM cannot be asked.
    pub async fn locations(&self) -> Result<Locations, ClientError> {
        self.get(&["api", "v1", "locations"], &[]).await
    }

    /// Reads how many agents are active and how many tasks wait, which the original AFM tells, too.
    ///
    /// # Errors
    /// When the AFM cannot be asked.
    pub async fn status(&self) -> Result<StatusCounts, ClientError> {
        self.get(&["status"], &[]).await
    }
}
