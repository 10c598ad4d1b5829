//! Lists of tasks.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Order, TaskFilter};
use crate::client::{Client, page};
use crate::error::ClientError;

/// A page of a list of tasks. It may have fewer tasks than were asked for, even none, although others follow.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TaskPage {
    /// The tasks.
    pub tasks: Vec<ListedTask>,
    /// Where the next page begins; `None`: there is none.
    pub next_cursor: Option<String>,
}

/// A task in a list: without its data.
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
    /// How many bytes its result has, if that is not short.
    pub task_result_bytes: Option<u64>,
    /// Its error, or the beginning of it.
    pub task_error: Option<String>,
    /// How many bytes its error has, if only the beginning is here.
    pub task_error_bytes: Option<u64>,
    /// How many attempts there were.
    pub task_attempt: u32,
    /// Its priority.
    pub task_priority: i32,
    /// The agent of the last attempt.
    pub agent_id: Option<Uuid>,
    /// What that agent is called.
    pub agent_name: Option<String>,
}

impl Client {
    /// Lists tasks: a page of at most `limit`, up to 1,000, from `cursor` on.
    ///
    /// # Errors
    /// [`ClientError::Refused`] names the filter that is wrong.
    pub async fn tasks(
        &self,
        filter: &TaskFilter,
        order: Order,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<TaskPage, ClientError> {
        let mut query = filter.query();
        query.extend(order.query());
        self.get(&["api", "v1", "tasks"], &page(query, limit, cursor)).await
    }
}
