//! What people look at: counts, and lists of tasks, agents and attempts.

use jiff::Timestamp;
use slamon_protocol::{EXCERPT, JsonText, excerpt};
use uuid::Uuid;

/// The counts of `GET /status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// How many agents were seen since the time that was asked for.
    pub agents: u64,
    /// How many tasks are not claimed yet.
    pub tasks_waiting: u64,
}

/// The lists of `GET /dashboard/status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    /// Tasks not claimed yet, newest first.
    pub waiting: List<TaskView>,
    /// Agents, those seen last first.
    pub agents: List<AgentView>,
}

/// The first items of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List<T> {
    /// At most as many items as were asked for.
    pub items: Vec<T>,
    /// How many items there are in all.
    pub total: u64,
}

/// An agent, as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentView {
    /// Its id.
    pub id: Uuid,
    /// Its name, as of its last poll, cut where it is long.
    pub name: String,
    /// When it polled or sent a result last.
    pub last_seen: Timestamp,
    /// The tasks it has claimed, finished or not, newest first.
    pub tasks: Vec<TaskView>,
    /// Whether it has claimed more tasks than these.
    pub more_tasks: bool,
}

/// A task, as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskView {
    /// Its id.
    pub task_id: Uuid,
    /// The process instance it belongs to.
    pub test_id: Uuid,
    /// Its type, cut where it is long.
    pub task_type: String,
    /// The version of the type.
    pub task_version: i64,
    /// When it ended, well or not.
    pub finished: Option<Timestamp>,
    /// The result, a JSON object; `None` also where it is larger than was asked for, or where the results
    /// before it in its list reach [`LIST_RESULT_BYTES`].
    pub result: Option<JsonText>,
    /// How large the result is, in bytes.
    pub result_bytes: Option<u64>,
    /// The error, a JSON string, or the beginning of one.
    pub error: Option<JsonText>,
    /// How large the error is, in bytes, where only its beginning is given.
    pub error_bytes: Option<u64>,
}

/// An attempt that ended without finishing its task, as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptView {
    /// Its number, from 1.
    pub number: u32,
    /// The agent that executed it.
    pub agent_id: Uuid,
    /// The agent's name at that time, cut where it is long.
    pub agent_name: String,
    /// When it was handed out.
    pub claimed: Timestamp,
    /// When it was to end as timed out.
    pub deadline: Option<Timestamp>,
    /// When it ended.
    pub ended: Timestamp,
    /// How it ended: `error`, `lost`, `abandoned`, `timed_out`, `expired` or `cancelled`.
    pub end: String,
    /// The error of its agent with which it ended: a JSON string, or the beginning of one.
    pub error: Option<JsonText>,
    /// How large that error is, in bytes, where only its beginning is given.
    pub error_bytes: Option<u64>,
    /// The result that came after its end.
    pub late: Option<LateView>,
}

/// When an attempt ran that ended without finishing its task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptSpan {
    /// The task.
    pub task_id: Uuid,
    /// The number of the attempt, from 1.
    pub number: u32,
    /// When it was handed out.
    pub claimed: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// How it ended, as in [`AttemptView::end`].
    pub end: String,
}

/// A result or an error that came after its attempt had ended, as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LateView {
    /// When it came.
    pub at: Timestamp,
    /// The result, a JSON object; `None` also where it is larger than was asked for.
    pub result: Option<JsonText>,
    /// How large the result is, in bytes.
    pub result_bytes: Option<u64>,
    /// The error, a JSON string, or the beginning of one.
    pub error: Option<JsonText>,
    /// How large the error is, in bytes, where only its beginning is given.
    pub error_bytes: Option<u64>,
}

/// How many bytes of results are given for the tasks of one agent.
pub const LIST_RESULT_BYTES: u32 = 65_536;

/// How many characters of a type or a name are read: one more than is shown tells whether there is more.
#[expect(clippy::cast_possible_truncation, reason = "it is 200")]
pub(crate) const TEXT_READ: u32 = EXCERPT as u32 + 1;

/// How many characters of an error are read, which has quotes around it.
pub(crate) const ERROR_READ: u32 = TEXT_READ + 2;

/// Cuts a type or a name to what lists show.
pub(crate) fn shown(text: &str) -> String {
    excerpt(text).into_owned()
}

/// Cuts an error, of which the beginning was read, to what lists show; the size is given where there is more
/// of it.
pub(crate) fn shown_error(beginning: Option<&str>, bytes: Option<u64>) -> (Option<JsonText>, Option<u64>) {
    let is_cut = beginning.is_some_and(|text| text.chars().count() >= ERROR_READ as usize);
    (beginning.map(JsonText::string_excerpt), bytes.filter(|_| is_cut))
}
