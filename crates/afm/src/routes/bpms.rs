//! What BPMS clients ask for: `/task`.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use slamon_protocol::{ObjectWriter, PostTask, parse_id, sql_time};
use slamon_store::{State as TaskState, Submitted, Task};

use super::{Routes, json};
use crate::app::App;
use crate::body::JsonBody;
use crate::error::ApiError;
use crate::{measures, request_log};

pub(super) fn routes() -> Routes {
    vec![("/task", post(post_task)), ("/task/{task_id}", get(get_task))]
}

async fn post_task(State(app): State<App>, body: JsonBody) -> Result<StatusCode, ApiError> {
    let task = PostTask::parse(&body.text()?)?;
    request_log::task(task.task_id);
    match app.committer.submit(task).await?? {
        Submitted::Stored => measures::task_posted(),
        Submitted::Repeated => request_log::note("the same task was there already"),
    }
    Ok(StatusCode::OK)
}

async fn get_task(
    State(app): State<App>,
    task_id: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    // What is not even UTF-8 is no id either.
    let id = task_id.ok().and_then(|Path(text)| parse_id(&text)).ok_or(ApiError::UnknownTask)?;
    request_log::task(id);
    let task = app.store.task(id).await?.ok_or(ApiError::UnknownTask)?;
    Ok(json(describe(&task)))
}

fn describe(task: &Task) -> ObjectWriter {
    let posted = &task.posted;
    let mut object = ObjectWriter::new();
    object
        .id("task_id", posted.task_id)
        .id("test_id", posted.test_id)
        .string("task_type", &posted.task_type)
        .integer("task_version", posted.task_version);
    if let Some(data) = &posted.task_data {
        object.json("task_data", data);
    }
    match &task.state {
        // Clients take a task for finished when they see one of the four fields, whatever is in it.
        TaskState::Pending | TaskState::Claimed(_) => {}
        TaskState::Completed { at, result, .. } => {
            object.string("task_completed", &sql_time(*at)).json("task_result", result);
        }
        TaskState::Failed { at, error, .. } => {
            object.string("task_failed", &sql_time(*at)).json("task_error", error);
        }
    }
    object
}
