//! Changes tasks that are named.

use std::collections::HashSet;

use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;
use uuid::Uuid;

use super::action::{AT_ONCE, Action};
use crate::http::app::App;
use crate::http::error::{ApiError, invalid};
use crate::http::many;
use crate::http::posted_in::PostedIn;

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

/// Checks the ids under which tasks are posted again.
///
/// # Errors
/// Fails when there is not one for each task, or when one comes twice: of two tasks with the same contents, only one
/// would be posted.
pub(in crate::http) fn check_new_ids(action: Action, ids: &[Uuid], new_ids: &[Uuid]) -> Result<(), ApiError> {
    let wrong = |problem: String| Err(invalid("new_task_ids", problem));
    if action != Action::Retry {
        return wrong("goes with posting again only".to_owned());
    }
    if ids.len() != new_ids.len() {
        return wrong(format!("must have one id for each of task_ids, has {}", new_ids.len()));
    }
    let mut seen = HashSet::new();
    match new_ids.iter().position(|id| !seen.insert(id)) {
        Some(n) => Err(invalid(&format!("new_task_ids.{n}"), "was named before: each must be another")),
        None => Ok(()),
    }
}

/// Does something to the tasks that are named. Those that are posted again get the new ids, or random ones if there
/// are none.
pub(in crate::http) async fn change(
    app: &App,
    action: Action,
    ids: &[Uuid],
    new_ids: Option<&[Uuid]>,
    posted_in: PostedIn,
    deadline: Instant,
) -> Changed {
    let mut seen = HashSet::new();
    // A task that is named twice would be posted twice.
    let is_repeated: Vec<bool> = ids.iter().map(|id| !seen.insert(*id) && action == Action::Retry).collect();
    let results = many::each(app, ids, AT_ONCE, deadline, |n| {
        let (id, is_repeated) = (ids[n], is_repeated[n]);
        async move {
            if is_repeated {
                return Err(ApiError::Conflict("this request has named the task before"));
            }
            let new_id = new_ids.and_then(|new_ids| new_ids.get(n).copied()).unwrap_or_else(Uuid::new_v4);
            action.apply(app, id, new_id, posted_in).await
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
