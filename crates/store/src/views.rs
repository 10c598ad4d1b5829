//! What people look at.

use jiff::Timestamp;
use slamon_protocol::JsonText;
use uuid::Uuid;

/// `GET /status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Agents seen since the time that was asked for.
    pub agents: u64,
    /// Tasks not claimed yet.
    pub tasks_waiting: u64,
}

/// `GET /dashboard/status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    /// Tasks not claimed yet, newest first.
    pub waiting: List<TaskView>,
    /// Agents, those seen last first.
    pub agents: List<AgentView>,
}

/// The head of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List<T> {
    /// At most as many as were asked for.
    pub items: Vec<T>,
    /// How many there are in all.
    pub total: u64,
}

/// An agent, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentView {
    /// Its id.
    pub id: Uuid,
    /// Its name, as of its last poll.
    pub name: String,
    /// When it polled or sent a result last.
    pub last_seen: Timestamp,
    /// The tasks it has claimed, finished or not, newest first.
    pub tasks: Vec<TaskView>,
    /// Whether it has more than these.
    pub more_tasks: bool,
}

/// A task, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskView {
    /// Its id.
    pub task_id: Uuid,
    /// The process instance it belongs to.
    pub test_id: Uuid,
    /// Its type.
    pub task_type: String,
    /// The version of the type.
    pub task_version: i64,
    /// When it was finished, well or not.
    pub finished: Option<Timestamp>,
    /// What came out: a JSON object; `None` also where it is larger than was asked for.
    pub result: Option<JsonText>,
    /// How large the result is, in bytes.
    pub result_bytes: Option<u64>,
    /// What went wrong: a JSON string.
    pub error: Option<JsonText>,
}
