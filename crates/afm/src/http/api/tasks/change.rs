//! `POST /api/v1/tasks/cancel` and `/retry`: cancel many tasks, or post them again.

pub(in crate::http) mod action;
pub(in crate::http) mod by_filter;
pub(in crate::http) mod by_ids;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;
use uuid::Uuid;

use self::action::{Action, MOST};
use crate::http::answer::json;
use crate::http::app::App;
use crate::http::body::JsonBody;
use crate::http::error::{ApiError, invalid};
use crate::http::members::Members;
use crate::http::posted_in::PostedIn;
use crate::http::schemas::Problem;

pub(in crate::http::api) use by_filter::{Counted, Done};
pub(in crate::http::api) use by_ids::Changed;

/// The tasks that are to be changed: those named, or those of a filter.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what `Members` reads")]
pub(in crate::http::api) struct TasksToChange {
    /// The ids of 1 to 1,000 tasks.
    #[schema(min_items = 1, max_items = 1000, nullable = false)]
    task_ids: Option<Vec<Uuid>>,
    /// With `task_ids`, to post tasks again: the ids of the new ones, in the same order. With them the request can be
    /// repeated, and posts no task twice.
    #[schema(min_items = 1, max_items = 1000, nullable = false)]
    new_task_ids: Option<Vec<Uuid>>,
    /// Which tasks, under the names of the parameters of `GET /api/v1/tasks`.
    #[schema(value_type = Option<Object>, nullable = false)]
    filter: Option<serde_json::Value>,
    /// The token that came with the count of the same filter: without it, the tasks are counted and nothing is
    /// changed.
    #[schema(nullable = false)]
    token: Option<Uuid>,
}

/// What came of it: for each task that was named, or for the filter.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it describes what handlers answer")]
pub(in crate::http::api) enum TasksChanged {
    Named(Changed),
    Counted(Counted),
    Done(Done),
}

/// Cancels many tasks: those that are named, or those of a filter. By filter it takes two requests: the first
/// counts the tasks and gives a token, with which the second one cancels them.
#[utoipa::path(
    post,
    path = "/api/v1/tasks/cancel",
    tag = "tasks",
    request_body = TasksToChange,
    responses(
        (status = 200, description = "What came of it", body = TasksChanged),
        (status = 400, description = "The body is wrong, or the token is not known any more", content_type = "application/problem+json", body = Problem),
        (status = 503, description = "Try again", content_type = "application/problem+json", body = Problem),
    )
)]
pub(in crate::http) async fn cancel_tasks(
    State(app): State<App>,
    body: JsonBody,
) -> Result<Response, ApiError> {
    change(&app, &body, Action::Cancel, PostedIn::default()).await
}

/// Posts many tasks again that ended without a result: those that are named, or those of a filter, by two
/// requests as with cancel.
#[utoipa::path(
    post,
    path = "/api/v1/tasks/retry",
    tag = "tasks",
    request_body = TasksToChange,
    responses(
        (status = 200, description = "What came of it", body = TasksChanged),
        (status = 400, description = "The body is wrong, or the token is not known any more", content_type = "application/problem+json", body = Problem),
        (status = 503, description = "Try again", content_type = "application/problem+json", body = Problem),
    )
)]
pub(in crate::http) async fn retry_tasks(
    State(app): State<App>,
    posted_in: PostedIn,
    body: JsonBody,
) -> Result<Response, ApiError> {
    change(&app, &body, Action::Retry, posted_in).await
}

async fn change(
    app: &App,
    body: &JsonBody,
    action: Action,
    posted_in: PostedIn,
) -> Result<Response, ApiError> {
    let deadline = Instant::now() + app.settings.request_timeout;
    let text = body.text()?;
    let mut members = Members::of(&text)?;
    let ids = members.ids("task_ids", MOST)?;
    let new_ids = members.ids("new_task_ids", MOST)?;
    let filter = members.object("filter")?;
    let token = members.take("token");
    members.end()?;
    match (ids, filter) {
        (Some(ids), None) => {
            if token.is_some() {
                return Err(invalid("token", "goes with a filter only"));
            }
            if let Some(new_ids) = &new_ids {
                by_ids::check_new_ids(action, &ids, new_ids)?;
            }
            json(&by_ids::change(app, action, &ids, new_ids.as_deref(), posted_in, deadline).await)
        }
        (None, Some(filter)) => {
            if new_ids.is_some() {
                return Err(invalid("new_task_ids", "goes with task_ids only"));
            }
            let filter = by_filter::parse(&filter)?;
            match token.map(by_filter::parse_token).transpose()? {
                None => json(&by_filter::count(app, action, filter, deadline).await?),
                Some(token) => {
                    json(&by_filter::change(app, action, &filter, token, posted_in, deadline).await?)
                }
            }
        }
        (Some(_), Some(_)) => Err(invalid("filter", "cannot be given together with task_ids")),
        (None, None) => Err(invalid("task_ids", "is required, or else filter")),
    }
}
