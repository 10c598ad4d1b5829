//! `POST /api/v1/tasks/cancel` and `/retry`: cancel many tasks, or post them again.

pub(in crate::http) mod by_filter;
pub(in crate::http) mod by_ids;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use slamon_store::States;
use tokio::time::Instant;
use utoipa::ToSchema;
use uuid::Uuid;

use super::super::answer::{Problem, json};
use super::super::members::Members;
use super::super::query::invalid;
use super::{cancel, retry};
use crate::http::app::App;
use crate::http::body::JsonBody;
use crate::http::error::ApiError;

pub(in crate::http::api) use by_filter::{Counted, Done};
pub(in crate::http::api) use by_ids::Changed;

/// A request names at most this many tasks, and one by filter changes as many.
const MOST: usize = 1_000;

/// So many of them wait for the store at the same time. Each may have a megabyte of data.
const AT_ONCE: usize = 32;

/// The tasks that are to be changed: those named, or those of a filter.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what `Members` reads")]
pub(in crate::http::api) struct TasksToChange {
    /// The ids of 1 to 1,000 tasks.
    #[schema(min_items = 1, max_items = 1000)]
    task_ids: Option<Vec<Uuid>>,
    /// Which tasks, under the names of the parameters of `GET /api/v1/tasks`.
    #[schema(value_type = Option<Object>)]
    filter: Option<serde_json::Value>,
    /// The token that came with the count of the same filter: without it, the tasks are counted and nothing is
    /// changed.
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

/// What is done to each task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Action {
    Cancel,
    Retry,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Retry => "retry",
        }
    }

    /// The states of tasks to which it can be done.
    fn states(self) -> States {
        match self {
            Self::Cancel => States::UNFINISHED,
            Self::Retry => States::UNSUCCESSFUL,
        }
    }

    /// Does it to a task; gives the id of the new one, if there is one, which is `new_id`.
    async fn apply(self, app: &App, id: Uuid, new_id: Uuid) -> Result<Option<Uuid>, ApiError> {
        match self {
            Self::Cancel => cancel::cancel(app, id).await.map(|()| None),
            Self::Retry => retry::retry(app, id, new_id).await.map(|()| Some(new_id)),
        }
    }
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
    change(&app, &body, Action::Cancel).await
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
    body: JsonBody,
) -> Result<Response, ApiError> {
    change(&app, &body, Action::Retry).await
}

async fn change(app: &App, body: &JsonBody, action: Action) -> Result<Response, ApiError> {
    let deadline = Instant::now() + app.settings.request_timeout;
    let text = body.text()?;
    let mut members = Members::of(&text)?;
    let ids = members.array("task_ids", MOST)?;
    let filter = members.object("filter")?;
    let token = members.take("token");
    members.end()?;
    match (ids, filter) {
        (Some(ids), None) => {
            if token.is_some() {
                return Err(invalid("token", "goes with a filter only"));
            }
            json(&by_ids::change(app, action, &by_ids::parse(&ids)?, deadline).await)
        }
        (None, Some(filter)) => {
            let filter = by_filter::parse(&filter)?;
            match token.map(by_filter::parse_token).transpose()? {
                None => json(&by_filter::count(app, action, filter, deadline).await?),
                Some(token) => json(&by_filter::change(app, action, &filter, token, deadline).await?),
            }
        }
        (Some(_), Some(_)) => Err(invalid("filter", "cannot be given together with task_ids")),
        (None, None) => Err(invalid("task_ids", "is required, or else filter")),
    }
}
