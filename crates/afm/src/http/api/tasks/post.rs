//! `POST /api/v1/tasks`: posts many tasks.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use serde_json::value::RawValue;
use slamon_protocol::{Invalid, PostTask, parse_id};
use tokio::time::Instant;
use utoipa::ToSchema;
use uuid::Uuid;

use super::super::answer::{Problem, json};
use super::super::members::Members;
use super::super::query::invalid;
use super::many;
use crate::http::app::App;
use crate::http::body::JsonBody;
use crate::http::error::ApiError;

/// A request posts at most this many tasks.
const MOST: usize = 1_000;

/// So many of them wait for the store at the same time.
const AT_ONCE: usize = 256;

/// Tasks to be posted.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what `Members` reads")]
pub(in crate::http::api) struct NewTasks {
    /// 1 to 1,000 tasks, each as `POST /task` takes it. What is none is refused by itself.
    #[schema(min_items = 1, max_items = 1000)]
    tasks: Vec<serde_json::Value>,
}

/// What came of each task, in their order.
#[derive(Serialize, ToSchema)]
pub(in crate::http::api) struct PostedTasks {
    results: Vec<PostedTask>,
}

/// What came of a task.
#[derive(Serialize, ToSchema)]
pub(in crate::http::api) struct PostedTask {
    /// The id of the task; null where it has none.
    task_id: Option<Uuid>,
    /// The status that `POST /task` would have answered with: 200 where the task is stored.
    status: u16,
    /// What is wrong, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// The field that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
}

/// Posts tasks. Each is taken or refused by itself, as if it was posted alone.
#[utoipa::path(
    post,
    path = "/api/v1/tasks",
    tag = "tasks",
    request_body = NewTasks,
    responses(
        (status = 200, description = "What came of each task", body = PostedTasks),
        (status = 400, description = "The body is no object with 1 to 1,000 tasks", content_type = "application/problem+json", body = Problem),
        (status = 413, description = "The body is too large", content_type = "application/problem+json", body = Problem),
        (status = 503, description = "Try again", content_type = "application/problem+json", body = Problem),
    )
)]
pub(in crate::http) async fn post_tasks(
    State(app): State<App>,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let deadline = Instant::now() + app.settings.request_timeout;
    let parsed = parse(&app, &body.text()?)?;
    drop(body);
    let mut results = Vec::with_capacity(parsed.len());
    let (mut places, mut tasks) = (Vec::new(), Vec::new());
    for (n, (task_id, task)) in parsed.into_iter().enumerate() {
        results.push(match task {
            Ok(task) => {
                places.push(n);
                tasks.push(Some(task));
                // Until something else comes of it.
                PostedTask::failed(task_id, &ApiError::TryAgain("the request took too long".to_owned()))
            }
            Err(error) => PostedTask::failed(task_id, &error),
        });
    }
    let ids: Vec<Uuid> = tasks.iter().flatten().map(|task| task.task_id).collect();
    let posted = many::each(&app, &ids, AT_ONCE, deadline, |n| {
        let submit = tasks[n].take().map(|task| app.committer.submit(task));
        async move {
            let submitted = submit.ok_or(ApiError::Failed)?.await??;
            Ok::<_, ApiError>(submitted)
        }
    });
    for ((place, id), posted) in places.into_iter().zip(&ids).zip(posted.await) {
        match posted {
            None => {}
            Some(Ok(_)) => {
                results[place] = PostedTask { task_id: Some(*id), status: 200, detail: None, field: None };
            }
            Some(Err(error)) => results[place] = PostedTask::failed(Some(*id), &error),
        }
    }
    json(&PostedTasks { results })
}

type Parsed = (Option<Uuid>, Result<PostTask, ApiError>);

/// Parses each task by itself: one that is wrong does not refuse the others.
fn parse(app: &App, body: &str) -> Result<Vec<Parsed>, ApiError> {
    let mut members = Members::of(body)?;
    let tasks = members.array("tasks", MOST)?.ok_or_else(|| invalid("tasks", "is required"))?;
    members.end()?;
    Ok(tasks
        .into_iter()
        .map(|task| match PostTask::parse_within(task.get(), &app.settings.limits) {
            Ok(task) => (Some(task.task_id), Ok(task)),
            // Of a task that is no object, "request body" would say too much.
            Err(Invalid { field: None, problem }) => (None, Err(invalid("tasks", problem))),
            Err(invalid) => (id_of(task), Err(invalid.into())),
        })
        .collect())
}

/// Finds the id of a task that is wrong elsewhere.
fn id_of(task: &RawValue) -> Option<Uuid> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(task.get()).ok()?;
    let text: String = serde_json::from_str(members.get("task_id")?.get()).ok()?;
    parse_id(&text)
}

impl PostedTask {
    fn failed(task_id: Option<Uuid>, error: &ApiError) -> Self {
        Self {
            task_id,
            status: error.status().as_u16(),
            detail: Some(error.to_string()),
            field: error.field().map(str::to_owned),
        }
    }
}
