//! `POST /api/v1/tasks/{task_id}/cancel`: cancels a task.

use std::pin::pin;

use axum::extract::State;
use axum::response::Response;
use uuid::Uuid;

use super::show::{self, WholeTask};
use crate::http::access::Caller;
use crate::http::app::App;
use crate::http::error::ApiError;
use crate::http::request_deadline;
use crate::http::routes::bpms::{self, TaskId};
use crate::http::schemas::Problem;

/// Cancels a task; its agent is told. Cancelling it again changes nothing.
#[utoipa::path(
    post,
    path = "/api/v1/tasks/{task_id}/cancel",
    tag = "tasks",
    params(("task_id" = Uuid, Path, description = "The id of the task")),
    responses(
        (status = 200, description = "The task, which is cancelled", body = WholeTask),
        (status = 400, description = "The path has no parameters", content_type = "application/problem+json", body = Problem),
        (status = 404, description = "No task has this id", content_type = "application/problem+json", body = Problem),
        (status = 409, description = "The task has ended otherwise", content_type = "application/problem+json", body = Problem),
        (status = 503, description = "Try again", content_type = "application/problem+json", body = Problem),
    )
)]
pub(in crate::http) async fn cancel_task(
    State(app): State<App>,
    caller: Caller,
    task_id: TaskId,
) -> Result<Response, ApiError> {
    let id = bpms::task_id_of(task_id)?;
    let cancelled = pin!(async {
        bpms::check_seen(&app, &caller, id).await?;
        let task = app.committer.cancel(id).await?.ok_or(ApiError::UnknownTask)??;
        show::answer(&app, &task).await
    });
    request_deadline::within(app.settings.request_timeout, cancelled).await?
}

/// Cancels one of many tasks.
pub(super) async fn cancel(app: &App, id: Uuid) -> Result<(), ApiError> {
    app.committer.cancel(id).await?.ok_or(ApiError::UnknownTask)??;
    Ok(())
}
