//! Which tasks are meant.

use serde::Serialize;
use uuid::Uuid;

/// Which tasks a list has: those for which all of it holds.
#[derive(Debug, Clone, Default, Serialize)]
pub struct TaskFilter {
    /// A state, or how a task ended: delayed, pending, claimed, completed, failed, lost, timed_out, expired, cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Its type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_type: Option<String>,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_version: Option<i64>,
    /// What it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_id: Option<Uuid>,
    /// Its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_id: Option<Uuid>,
    /// The agent that had it last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<Uuid>,
    /// The country that it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Posted at this time or later: RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Posted before this time: RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// A text in its error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub q: Option<String>,
}

/// Which tasks of a list come first, by the order in which they arrived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// Those that were posted last.
    #[default]
    Newest,
    /// Those that were posted first.
    Oldest,
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

impl Order {
    /// The order as a name and value of a query; none for the order that lists have without it.
    #[must_use]
    pub fn query(self) -> Option<(&'static str, String)> {
        (self == Self::Oldest).then(|| ("order", "oldest".to_owned()))
    }
}
