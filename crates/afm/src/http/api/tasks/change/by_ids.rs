//! Changes tasks that are named.

use serde::Serialize;
use serde_json::value::RawValue;
use slamon_protocol::parse_id;
use tokio::time::Instant;
use utoipa::ToSchema;
use uuid::Uuid;

use super::action::{AT_ONCE, Action};
use crate::http::app::App;
use crate::http::error::{ApiError, invalid};
use crate::http::many;
use crate::http::members::kind;

/// What came of each task, in their order.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Changed {
    pub(in crate::http) results: Vec<ChangedTask>,
}

/// What came of a task.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ChangedTask {
    pub(in crate::http) task_id: Uuid,
    /// The status that the request for this task alone would have been answered with.
    status: u16,
    /// What is wrong, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::http) detail: Option<String>,
    /// The id of the new task, if this one was posted again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::http) new_task_id: Option<Uuid>,
}

/// Reads the ids.
///
/// # Errors
/// The error names the first one that is none.
pub(super) fn parse(ids: &[&RawValue]) -> Result<Vec<Uuid>, ApiError> {
    let id = |(n, value): (usize, &&RawValue)| {
        let text: Option<String> = serde_json::from_str(value.get()).ok();
        let wrong = || invalid(&format!("task_ids.{n}"), format!("must be a UUID, is {}", kind(value)));
        text.and_then(|text| parse_id(&text)).ok_or_else(wrong)
    };
    ids.iter().enumerate().map(id).collect()
}

pub(in crate::http) async fn change(app: &App, action: Action, ids: &[Uuid], deadline: Instant) -> Changed {
    let mut seen = std::collections::HashSet::new();
    // A task that is named twice would be posted twice.
    let is_repeated: Vec<bool> = ids.iter().map(|id| !seen.insert(*id) && action == Action::Retry).collect();
    let results = many::each(app, ids, AT_ONCE, deadline, |n| {
        let (id, is_repeated) = (ids[n], is_repeated[n]);
        async move {
            if is_repeated {
                return Err(ApiError::Conflict("this request has named the task before"));
            }
            action.apply(app, id, Uuid::new_v4()).await
        }
    });
    let result = |(task_id, result): (&Uuid, Option<Result<Option<Uuid>, ApiError>>)| {
        let took_too_long = || Err(ApiError::TryAgain("the request took too long".to_owned()));
        let (status, detail, new_task_id) = match result.unwrap_or_else(took_too_long) {
            Ok(new_task_id) => (200, None, new_task_id),
            Err(error) => (error.status().as_u16(), Some(error.to_string()), None),
        };
        ChangedTask { task_id: *task_id, status, detail, new_task_id }
    };
    Changed { results: ids.iter().zip(results.await).map(result).collect() }
}
