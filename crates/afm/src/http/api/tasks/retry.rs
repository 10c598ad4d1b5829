//! `POST /api/v1/tasks/{task_id}/retry`: posts a task again that ended without a result.

use std::pin::pin;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use slamon_domain::{End, State as TaskState, Task};
use slamon_protocol::PostTask;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::answer::json;
use crate::http::app::App;
use crate::http::body::{JsonBody, OptionalJsonBody};
use crate::http::error::{ApiError, invalid};
use crate::http::members::Members;
use crate::http::posted_in::PostedIn;
use crate::http::request_deadline;
use crate::http::routes::bpms::{self, TaskId};
use crate::http::schemas::Problem;

const NOT_ENDED: &str = "the task has not ended: cancel it first, or wait for its end";
const COMPLETED: &str =
    "the task has completed, and its result stands: to have it done again, post a new task";

/// The task that was posted.
#[derive(Serialize, ToSchema)]
pub(in crate::http::api) struct Retried {
    /// The id of the new task.
    task_id: Uuid,
}

/// Under which id a task is posted again.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what `Members` reads")]
pub(in crate::http::api) struct RetryAs {
    /// The id of the new task. With it, the request can be repeated: no second task is posted. Without it, the AFM
    /// makes one up, and each request posts another task.
    #[schema(value_type = Uuid, required = false)]
    task_id: Option<Uuid>,
}

/// Posts a task again that ended without a result: a new task with an id of its own, and the same test, type,
/// version, data and terms. The old one stays as it is.
#[utoipa::path(
    post,
    path = "/api/v1/tasks/{task_id}/retry",
    tag = "tasks",
    params(("task_id" = Uuid, Path, description = "The id of the task that ended without a result")),
    request_body = Option<RetryAs>,
    responses(
        (status = 200, description = "The new task", body = Retried),
        (status = 400, description = "The body is wrong, or another task has the new id", content_type = "application/problem+json", body = Problem),
        (status = 404, description = "No task has this id", content_type = "application/problem+json", body = Problem),
        (status = 409, description = "The task has not ended, or has completed", content_type = "application/problem+json", body = Problem),
        (status = 503, description = "Try again", content_type = "application/problem+json", body = Problem),
    )
)]
pub(in crate::http) async fn retry_task(
    State(app): State<App>,
    posted_in: PostedIn,
    task_id: TaskId,
    body: OptionalJsonBody,
) -> Result<Response, ApiError> {
    let id = bpms::task_id_of(task_id)?;
    let new_id = body.0.map(|body| new_id(&body)).transpose()?.flatten().unwrap_or_else(Uuid::new_v4);
    posted_in.note(&app, new_id);
    let retried = pin!(retry(&app, id, new_id));
    request_deadline::within(app.settings.request_timeout, retried).await??;
    json(&Retried { task_id: new_id })
}

fn new_id(body: &JsonBody) -> Result<Option<Uuid>, ApiError> {
    let text = body.text()?;
    if text.trim() == "null" {
        return Ok(None);
    }
    let mut members = Members::of(&text)?;
    let new_id = members.id("task_id")?;
    members.end()?;
    Ok(new_id)
}

/// Posts a task again under a new id. Repeated with the same id, it changes nothing.
pub(super) async fn retry(app: &App, id: Uuid, new_id: Uuid) -> Result<(), ApiError> {
    if new_id == id {
        return Err(invalid("task_id", "must be a new id, is that of the task that is posted again"));
    }
    let task = app.store.task(id).await.map_err(|error| app.read_failed(&error))?;
    let posted = posted_again(task.ok_or(ApiError::UnknownTask)?, new_id)?;
    app.committer.submit(posted).await??;
    Ok(())
}

fn posted_again(task: Task, new_id: Uuid) -> Result<PostTask, ApiError> {
    match &task.state {
        TaskState::Ended { end: End::Completed(_), .. } => Err(ApiError::Conflict(COMPLETED)),
        TaskState::Ended { .. } => Ok(PostTask { task_id: new_id, ..task.posted }),
        TaskState::Delayed { .. } | TaskState::Pending | TaskState::Claimed(_) => {
            Err(ApiError::Conflict(NOT_ENDED))
        }
    }
}
