//! The requests of BPMS clients: `/task` and `/task/{task_id}`.

use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use slamon_domain::{PendingReason, QueueDiagnostics, State as TaskState, Submitted, Task, pending_reason};
use slamon_protocol::{
    ArrayWriter, Invalid, JsonText, LONGEST_WAIT, ObjectWriter, PostTask, parse_id, sql_time,
};
use slamon_store::{AttemptView, TaskRead};
use uuid::Uuid;

use crate::http::access::Caller;
use crate::http::answer::json_object;
use crate::http::app::{App, Routes};
use crate::http::body::JsonBody;
use crate::http::error::ApiError;
use crate::http::posted_in::PostedIn;
use crate::http::schemas::{NewTask, Problem, TaskView};
use crate::http::{peer, request_deadline, request_log};

pub(super) fn routes() -> Routes {
    vec![("/task", post(post_task)), ("/task/{task_id}", get(get_task).delete(cancel_task))]
}

/// A late result of more than this many bytes is not shown.
const LATE_RESULT_BYTES: u32 = 4_096;

/// Besides the texts of its task, nearly every answer has at most this many bytes.
const BYTES_BESIDE: usize = 4_096;

pub(in crate::http) type TaskId = Result<Path<String>, PathRejection>;

/// Posts a task. Posting the same task again changes nothing.
#[utoipa::path(
    post,
    path = "/task",
    tag = "protocol 1: clients",
    request_body = NewTask,
    responses(
        (status = 200, description = "The task is stored"),
        (status = 400, description = "A field is wrong, or another task has this id", content_type = "application/problem+json", body = Problem),
        (status = 413, description = "The body is too large", content_type = "application/problem+json", body = Problem),
        (status = 503, description = "Try again", content_type = "application/problem+json", body = Problem),
    )
)]
pub(in crate::http) async fn post_task(
    State(app): State<App>,
    caller: Caller,
    posted_in: PostedIn,
    body: JsonBody,
) -> Result<StatusCode, ApiError> {
    let mut task = PostTask::parse_within(&body.text()?, &app.settings.limits)?;
    drop(body);
    caller.posts(&mut task)?;
    request_log::task(task.task_id);
    posted_in.note(&app, task.task_id);
    let submit = pin!(app.committer.submit(task));
    if request_deadline::within(app.settings.request_timeout, submit).await??? == Submitted::Repeated {
        request_log::note("the same task was there already");
    }
    Ok(StatusCode::OK)
}

/// Shows a task.
#[utoipa::path(
    get,
    path = "/task/{task_id}",
    tag = "protocol 1: clients",
    params(
        ("task_id" = Uuid, Path, description = "The id of the task"),
        ("wait" = Option<f64>, Query, minimum = 0, maximum = 300, nullable = false,
         description = "How many seconds the answer may wait for the end of the task"),
    ),
    responses(
        (status = 200, description = "The task", body = TaskView),
        (status = 400, description = "`wait` is wrong", content_type = "application/problem+json", body = Problem),
        (status = 404, description = "No task has this id", content_type = "application/problem+json", body = Problem),
        (status = 503, description = "Try again", content_type = "application/problem+json", body = Problem),
    )
)]
pub(in crate::http) async fn get_task(
    State(app): State<App>,
    caller: Caller,
    task_id: TaskId,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let id = task_id_of(task_id)?;
    let wait = peer::hold(wait(query.as_deref())?);
    let allowed = app.settings.request_timeout.saturating_add(wait);
    request_deadline::within(allowed, pin!(wait_and_read(&app, &caller, id, wait))).await?
}

/// Answers with a task. With `wait`, it first waits until the task has ended.
async fn wait_and_read(app: &App, caller: &Caller, id: Uuid, wait: Duration) -> Result<Response, ApiError> {
    check_seen(app, caller, id).await?;
    let ended = app.waiters.read_until_ended(id, wait, &app.stop, || read_if_ended(app, id)).await?;
    let task = match ended {
        Some(task) => task,
        None => read(app, id).await?,
    };
    let task = task.ok_or(ApiError::UnknownTask)?;
    answer(app, &task).await
}

/// Checks that a caller sees a task. Nothing is read for those who see all tasks.
///
/// # Errors
/// Fails as if there was no such task.
pub(in crate::http) async fn check_seen(app: &App, caller: &Caller, id: Uuid) -> Result<(), ApiError> {
    if !caller.sees_only_own_tasks() {
        return Ok(());
    }
    let task = read(app, id).await?.ok_or(ApiError::UnknownTask)?;
    caller.sees(&task)
}

/// Reads a task if it has ended. Breaks off if it has, or if there is no such task.
async fn read_if_ended(app: &App, id: Uuid) -> Result<ControlFlow<Option<Arc<Task>>>, ApiError> {
    match app.store.small_task(id).await.map_err(|error| app.read_failed(&error))? {
        None => Ok(ControlFlow::Break(None)),
        Some(TaskRead::Small(task)) if matches!(task.state, TaskState::Ended { .. }) => {
            Ok(ControlFlow::Break(Some(task)))
        }
        Some(TaskRead::Large { bytes, has_ended: true }) => {
            read_large(app, id, bytes).await.map(ControlFlow::Break)
        }
        // The task is dropped, since many requests may wait.
        Some(TaskRead::Small(_) | TaskRead::Large { .. }) => Ok(ControlFlow::Continue(())),
    }
}

/// Reads a task, however large, if there is memory for the answer. A large one is read only after its memory
/// has been taken, so that a refusal costs little.
pub(in crate::http) async fn read(app: &App, id: Uuid) -> Result<Option<Arc<Task>>, ApiError> {
    match app.store.small_task(id).await.map_err(|error| app.read_failed(&error))? {
        None => Ok(None),
        Some(TaskRead::Small(task)) => Ok(Some(task)),
        Some(TaskRead::Large { bytes, .. }) => read_large(app, id, bytes).await,
    }
}

async fn read_large(app: &App, id: Uuid, bytes: usize) -> Result<Option<Arc<Task>>, ApiError> {
    let answer = bytes.saturating_add(BYTES_BESIDE);
    if peer::current(|peer| peer.lease_for_answer(answer)) == Some(false) {
        return Err(ApiError::NoRoom);
    }
    app.store.large_task(id).await.map_err(|error| app.read_failed(&error))
}

/// Cancels a task; its agent is told.
#[utoipa::path(
    delete,
    path = "/task/{task_id}",
    operation_id = "delete_task",
    tag = "protocol 1: clients",
    params(("task_id" = Uuid, Path, description = "The id of the task")),
    responses(
        (status = 200, description = "The task, which is cancelled", body = TaskView),
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
    let id = task_id_of(task_id)?;
    let cancelled = pin!(async {
        check_seen(&app, &caller, id).await?;
        let task = app.committer.cancel(id).await?.ok_or(ApiError::UnknownTask)??;
        answer(&app, &task).await
    });
    request_deadline::within(app.settings.request_timeout, cancelled).await?
}

pub(in crate::http) fn task_id_of(task_id: TaskId) -> Result<Uuid, ApiError> {
    // A path that is not UTF-8 is no id either.
    let id = task_id.ok().and_then(|Path(text)| parse_id(&text)).ok_or(ApiError::UnknownTask)?;
    request_log::task(id);
    Ok(id)
}

/// Parses `?wait=SECONDS`. Other parameters are ignored, as by the original.
fn wait(query: Option<&str>) -> Result<Duration, ApiError> {
    let parameters = query.unwrap_or_default().split('&');
    let mut pairs = parameters.map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")));
    let Some((_, value)) = pairs.find(|(name, _)| *name == "wait") else {
        return Ok(Duration::ZERO);
    };
    let time = value.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.filter(|time| *time <= LONGEST_WAIT).ok_or_else(|| {
        let most = LONGEST_WAIT.as_secs();
        let problem = format!("must be a number of seconds from 0 to {most}");
        ApiError::Invalid(Invalid { field: Some("wait".to_owned()), problem })
    })
}

async fn answer(app: &App, task: &Task) -> Result<Response, ApiError> {
    let (why, past) = surroundings(app, task).await?;
    Ok(json_object(describe(task, why.as_ref(), &past)))
}

/// Reads why a task waits, if it does, and its attempts that ended without finishing it.
pub(in crate::http) async fn surroundings(
    app: &App,
    task: &Task,
) -> Result<(Option<PendingReason>, Vec<AttemptView>), ApiError> {
    let diagnostics = if task.state == TaskState::Pending {
        app.store
            .queue_diagnostics(task, app.active_since().await)
            .await
            .map_err(|error| app.read_failed(&error))?
    } else {
        QueueDiagnostics::default()
    };
    let why = pending_reason(task, &diagnostics);
    let ended = task.ended_attempts();
    let mut past = Vec::new();
    // Most tasks have no ended attempts, and nothing is read for them.
    if ended > 0 {
        let read = app.store.past(task.posted.task_id, LATE_RESULT_BYTES).await;
        past = read.map_err(|error| app.read_failed(&error))?;
        // An attempt that has ended since the task was read is shown the next time.
        past.retain(|attempt| attempt.number <= ended);
    }
    Ok((why, past))
}

fn describe(task: &Task, why: Option<&PendingReason>, past: &[AttemptView]) -> ObjectWriter {
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
    // Clients consider a task finished when they see one of these four fields, whatever is in it.
    if let TaskState::Ended { at, end, .. } = &task.state {
        match end.outcome() {
            Ok(result) => object.string("task_completed", &sql_time(*at)).json("task_result", result),
            Err(error) => object.string("task_failed", &sql_time(*at)).json("task_error", error),
        };
    }
    object.string("task_state", task.state.name()).string("task_created", &sql_time(task.created));
    if task.attempts > 0 {
        object.integer("task_attempt", task.attempts);
    }
    if let Some(attempt) = task.last_attempt() {
        object
            .string("task_claimed", &sql_time(attempt.at))
            .id("agent_id", attempt.agent_id)
            .string("agent_name", &attempt.agent_name);
    }
    if let Some(why) = why {
        let mut reason = ObjectWriter::new();
        reason.string("code", why.code).string("reason", &why.sentence);
        object.json("task_waiting", &JsonText::from_stored(reason.finish()));
    }
    if !past.is_empty() {
        let mut attempts = ArrayWriter::new();
        for attempt in past {
            attempts.object(describe_attempt(attempt));
        }
        object.array("attempts", attempts);
    }
    object
}

fn describe_attempt(attempt: &AttemptView) -> ObjectWriter {
    let mut object = ObjectWriter::new();
    object
        .integer("attempt", attempt.number)
        .string("code", &attempt.end)
        .json("reason", &attempt.error.clone().unwrap_or_else(|| why_ended(attempt)));
    if let Some(bytes) = attempt.error_bytes {
        object.integer("reason_bytes", bytes);
    }
    object
        .string("claimed", &sql_time(attempt.claimed))
        .string("ended", &sql_time(attempt.ended))
        .id("agent_id", attempt.agent_id)
        .string("agent_name", &attempt.agent_name);
    let Some(late) = &attempt.late else { return object };
    object.string("late", &sql_time(late.at));
    match (&late.result, late.result_bytes, &late.error) {
        (Some(result), ..) => _ = object.json("late_result", result),
        (None, Some(bytes), _) => _ = object.integer("late_result_bytes", bytes),
        (None, None, Some(error)) => _ = object.json("late_error", error),
        (None, None, None) => {}
    }
    if let Some(bytes) = late.error_bytes {
        object.integer("late_error_bytes", bytes);
    }
    object
}

/// Returns why an attempt ended, if not by a report of its agent.
pub(in crate::http) fn why_ended(attempt: &AttemptView) -> JsonText {
    let allowed = attempt.deadline.map(|deadline| deadline.duration_since(attempt.claimed).as_secs_f64());
    JsonText::string(&match (&*attempt.end, allowed) {
        ("lost", _) => "its agent fell silent".to_owned(),
        ("abandoned", _) => "its agent came back without it: agent_running did not name it".to_owned(),
        ("timed_out", Some(seconds)) => format!("its agent sent no result within {seconds} s"),
        ("expired", _) => "the TTL of the task was over".to_owned(),
        ("cancelled", _) => "the task was cancelled".to_owned(),
        (other, _) => other.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_is_a_number_of_seconds() {
        for (query, seconds) in [
            (None, Some(0.0)),
            (Some(""), Some(0.0)),
            (Some("x=1"), Some(0.0)),
            (Some("wait=0"), Some(0.0)),
            (Some("x=1&wait=0.5"), Some(0.5)),
            (Some("wait=300"), Some(300.0)),
            (Some("wait=300.1"), None),
            (Some("wait=18446744073769.55"), None),
            (Some("wait=-1"), None),
            (Some("wait="), None),
            (Some("wait"), None),
            (Some("wait=NaN"), None),
            (Some("wait=inf"), None),
        ] {
            assert_eq!(wait(query).ok(), seconds.map(Duration::from_secs_f64), "{query:?}");
        }
    }
}
