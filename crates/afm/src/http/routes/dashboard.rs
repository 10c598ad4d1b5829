//! `/dashboard/status`: what the page of the original asked for.

use std::collections::HashMap;
use std::pin::pin;

use axum::extract::State;
use axum::response::{Redirect, Response};
use axum::routing::get;
use bytes::Bytes;
use slamon_protocol::{ArrayWriter, ObjectWriter, sql_time};
use slamon_store::{AgentView, ReadResult, TaskView};

use crate::http::answer::json_text;
use crate::http::app::{App, Routes};
use crate::http::error::ApiError;
use crate::http::request_deadline;
use crate::http::schemas::{Problem, StatusLists};

/// Each list has at most this many entries.
const LIMIT: u32 = 100;

/// Results of more than this many bytes are not listed; `GET /task/{task_id}` has them.
const RESULT_BYTES: u32 = 4_096;

pub(super) fn routes() -> Routes {
    vec![("/dashboard/status", get(status))]
}

/// Redirects a browser from the root to the page. The address is relative, so that it also works below the
/// prefix of a reverse proxy.
pub(in crate::http) async fn lead_there() -> Redirect {
    Redirect::to("dashboard")
}

/// Lists unclaimed tasks, and agents with theirs, as the page of the original asks for them.
#[utoipa::path(
    get,
    path = "/dashboard/status",
    operation_id = "status_lists",
    tag = "server",
    responses(
        (status = 200, description = "The newest of each list", body = StatusLists),
        (status = 503, description = "Try again", content_type = "application/problem+json", body = Problem),
    )
)]
pub(in crate::http) async fn status(State(app): State<App>) -> Result<Response, ApiError> {
    let lists = pin!(app.overview.get((), |_| Box::pin(lists(&app))));
    let lists = request_deadline::within(app.settings.request_timeout, lists).await?;
    let lists = lists.map_err(|error| app.read_failed(&error))?;
    Ok(json_text(lists.ok_or(ApiError::Failed)?))
}

async fn lists(app: &App) -> ReadResult<(), Bytes> {
    app.heartbeats.flush_for_read().await;
    let overview = app.store.overview(LIMIT, RESULT_BYTES).await?;
    let mut agents = ArrayWriter::new();
    for agent in &overview.agents.items {
        agents.object(describe_agent(agent));
    }
    let mut object = ObjectWriter::new();
    object
        .array("tasks", describe_tasks(&overview.waiting.items))
        .array("agents", agents)
        .integer("limit", LIMIT)
        .integer("tasks_total", overview.waiting.total)
        .integer("agents_total", overview.agents.total);
    Ok(HashMap::from([((), object.finish().into())]))
}

fn describe_agent(agent: &AgentView) -> ObjectWriter {
    let mut object = ObjectWriter::new();
    object
        .id("agent_id", agent.id)
        .string("agent_name", &agent.name)
        .string("last_seen", &sql_time(agent.last_seen))
        .array("tasks", describe_tasks(&agent.tasks))
        .boolean("tasks_truncated", agent.more_tasks);
    object
}

fn describe_tasks(tasks: &[TaskView]) -> ArrayWriter {
    let mut array = ArrayWriter::new();
    for task in tasks {
        array.object(describe_task(task));
    }
    array
}

fn describe_task(task: &TaskView) -> ObjectWriter {
    let finished = task.finished.map(sql_time);
    let finished = finished.as_deref();
    let (completed, failed) = if task.error.is_some() { (None, finished) } else { (finished, None) };
    let mut object = ObjectWriter::new();
    object
        .id("task_id", task.task_id)
        .string("task_type", &task.task_type)
        .integer("task_version", task.task_version)
        .id("test_id", task.test_id)
        .optional_string("task_failed", failed)
        .optional_string("task_completed", completed)
        // As in the original, a result is a string with JSON in it, an error the string itself.
        .optional_string("task_result", task.result.as_ref().map(slamon_protocol::JsonText::as_str));
    match &task.error {
        Some(error) => object.json("task_error", error),
        None => object.optional_string("task_error", None),
    };
    if let (None, Some(bytes)) = (&task.result, task.result_bytes) {
        object.integer("task_result_bytes", bytes);
    }
    if let Some(bytes) = task.error_bytes {
        object.integer("task_error_bytes", bytes);
    }
    object
}
