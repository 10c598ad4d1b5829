//! Tests: the tasks that belong together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::client::{Client, page};
use crate::error::ClientError;
use crate::tasks::ListedTask;

/// The tasks of a test, or a page of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Test {
    /// Its id.
    pub test_id: Uuid,
    /// What these tasks say together: failed if any has ended without a result, else running if any has not ended, else
    /// completed.
    pub verdict: String,
    /// How many of these tasks are in each state.
    pub counts: BTreeMap<String, u64>,
    /// Whether there may be others.
    pub has_more: bool,
    /// The tasks, the oldest first.
    pub tasks: Vec<ListedTask>,
    /// Where the next page begins; `None`: there is none.
    pub next_cursor: Option<String>,
}

impl Client {
    /// Reads the tasks of a test: a page of at most `limit`, up to 1,000, from `cursor` on.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] where it has none.
    pub async fn test(&self, id: Uuid, limit: u32, cursor: Option<&str>) -> Result<Test, ClientError> {
        self.get(&["api", "v1", "tests", &id.to_string()], &page(Vec::new(), limit, cursor)).await
    }
}
