//! `POST /api/v1/tasks`: posts many tasks.

use axum::extract::State;
use axum::response::Response;
use slamon_protocol::PostTask;
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::http::access::Caller;
use crate::http::answer::json;
use crate::http::app::App;
use crate::http::body::JsonBody;
use crate::http::error::{ApiError, invalid};
use crate::http::many::answers::{MOST_IN_REQUEST, Parsed, TaskAnswers, answer_each, parse_element};
use crate::http::members::Members;
use crate::http::posted_in::PostedIn;
use crate::http::schemas::Problem;

/// Tasks to be posted.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what `Members` reads")]
pub(in crate::http::api) struct NewTasks {
    /// 1 to 1,000 tasks, each as `POST /task` takes it. What is none is refused by itself.
    #[schema(min_items = 1, max_items = 1000)]
    tasks: Vec<serde_json::Value>,
}

/// Posts tasks. Each is taken or refused by itself, as if it was posted alone.
#[utoipa::path(
    post,
    path = "/api/v1/tasks",
    tag = "tasks",
    request_body = NewTasks,
    responses(
        (status = 200, description = "What came of each task", body = TaskAnswers),
        (status = 400, description = "The body is no object with 1 to 1,000 tasks", content_type = "application/problem+json", body = Problem),
        (status = 413, description = "The body is too large", content_type = "application/problem+json", body = Problem),
        (status = 503, description = "Try again", content_type = "application/problem+json", body = Problem),
    )
)]
pub(in crate::http) async fn post_tasks(
    State(app): State<App>,
    caller: Caller,
    posted_in: PostedIn,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let deadline = Instant::now() + app.settings.request_timeout;
    let mut parsed = parse(&app, &body.text()?)?;
    drop(body);
    for (_, task) in &mut parsed {
        let refused = task.as_mut().ok().and_then(|task| caller.posts(task).err());
        if let Some(error) = refused {
            *task = Err(error);
        }
    }
    let submit = |task: PostTask| {
        posted_in.note(&app, task.task_id);
        app.committer.submit(task)
    };
    json(&answer_each(&app, parsed, deadline, |task: &PostTask| task.task_id, submit).await)
}

/// Parses each task by itself: one that is wrong does not refuse the others.
fn parse(app: &App, body: &str) -> Result<Vec<Parsed<PostTask>>, ApiError> {
    let mut members = Members::of(body)?;
    let tasks = members.array("tasks", MOST_IN_REQUEST)?.ok_or_else(|| invalid("tasks", "is required"))?;
    members.end()?;
    let parse = |text: &str| PostTask::parse_within(text, &app.settings.limits);
    Ok(tasks.into_iter().map(|task| parse_element(task, "tasks", parse)).collect())
}
