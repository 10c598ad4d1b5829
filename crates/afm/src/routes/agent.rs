//! What agents ask for: `/tasks`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use slamon_protocol::{ArrayWriter, JsonText, ObjectWriter, PollRequest, ResultPost, TaskOutcome, iso_time};
use slamon_store::{Delivery, Reported};

use super::{Routes, json};
use crate::app::App;
use crate::body::JsonBody;
use crate::error::ApiError;
use crate::{measures, request_log};

pub(super) fn routes() -> Routes {
    vec![("/tasks", post(poll)), ("/tasks/response", post(report))]
}

async fn poll(State(app): State<App>, body: JsonBody) -> Result<Response, ApiError> {
    let poll = PollRequest::parse(&body.text()?)?;
    request_log::agent(poll.agent_id);
    let deliveries = app.committer.poll(poll).await?;
    request_log::tasks(&deliveries);
    measures::tasks_claimed(deliveries.len());
    let mut tasks = ArrayWriter::new();
    for delivery in &deliveries {
        tasks.object(describe(delivery));
    }
    // A return time so far off that no calendar has it means "now".
    let now = app.clock.now();
    let return_time = now.checked_add(app.settings.agent_return_time).unwrap_or(now);
    let mut answer = ObjectWriter::new();
    answer.array("tasks", tasks).string("return_time", &iso_time(return_time));
    Ok(json(answer))
}

fn describe(task: &Delivery) -> ObjectWriter {
    let mut object = ObjectWriter::new();
    object
        .id("task_id", task.task_id)
        .string("task_type", &task.task_type)
        .integer("task_version", task.task_version);
    match &task.task_data {
        Some(data) => object.json("task_data", data),
        // Agents index into it without looking whether it is there.
        None => object.json("task_data", &JsonText::from_stored("{}".to_owned())),
    };
    object
}

async fn report(State(app): State<App>, body: JsonBody) -> Result<StatusCode, ApiError> {
    let result = ResultPost::parse(&body.text()?)?;
    request_log::task(result.task_id);
    let completed = matches!(result.outcome, TaskOutcome::Completed(_));
    match app.committer.report(result).await?? {
        Reported::Stored => measures::task_finished(completed),
        Reported::Repeated => request_log::note("the same result was there already"),
    }
    Ok(StatusCode::OK)
}
