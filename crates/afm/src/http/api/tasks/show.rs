//! `GET /api/v1/tasks/{task_id}`: one task with all that is known of it.

use std::pin::pin;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use serde_json::value::RawValue;
use slamon_domain::{Attempt, State as TaskState, StateName, Task};
use slamon_protocol::{JsonText, iso_time};
use slamon_store::AttemptView;
use utoipa::ToSchema;
use uuid::Uuid;

use super::list::protocol_1;
use crate::http::access::Caller;
use crate::http::answer::{json, stored};
use crate::http::app::App;
use crate::http::error::ApiError;
use crate::http::request_deadline;
use crate::http::routes::bpms::{self, TaskId};
use crate::http::schemas::{AgentFilter, Problem};

/// A task with all that is known of it.
#[derive(Serialize, ToSchema)]
pub(in crate::http::api) struct WholeTask {
    task_id: Uuid,
    test_id: Uuid,
    task_type: String,
    task_version: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    task_data: Option<Box<RawValue>>,
    /// How many seconds after it was posted the task must be finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    task_ttl: Option<f64>,
    /// How many seconds one attempt may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    task_timeout: Option<f64>,
    task_max_attempts: u32,
    task_retry_errors: bool,
    /// How many seconds it waits before the second attempt.
    task_retry_delay: f64,
    task_priority: i32,
    /// How many seconds it waits after it was posted.
    task_delay: f64,
    /// Which agents may have it; empty: any.
    #[schema(value_type = AgentFilter)]
    agent_filter: Box<RawValue>,
    /// The state as protocol 1 names it: failed stands for failed, lost and timed out.
    task_state: &'static str,
    /// How the task ended: completed, failed, lost, `timed_out`, expired or cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    task_end: Option<&'static str>,
    /// When it was posted.
    task_created: String,
    /// When its delay is over, if it is delayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    task_available: Option<String>,
    /// When its TTL is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    task_expires: Option<String>,
    /// When it was handed out last.
    #[serde(skip_serializing_if = "Option::is_none")]
    task_claimed: Option<String>,
    /// When it completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    task_completed: Option<String>,
    /// When it ended without a result.
    #[serde(skip_serializing_if = "Option::is_none")]
    task_failed: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    task_result: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    task_error: Option<Box<RawValue>>,
    /// The agent that executes it, or executed it last.
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_name: Option<String>,
    /// Why it is waiting, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    task_waiting: Option<Waiting>,
    /// All attempts, the first one first.
    attempts: Vec<TaskAttempt>,
}

/// Why a task is waiting.
#[derive(Serialize, ToSchema)]
pub(in crate::http::api) struct Waiting {
    code: &'static str,
    reason: String,
}

/// An attempt.
#[derive(Serialize, ToSchema)]
pub(in crate::http::api) struct TaskAttempt {
    /// Its number, from 1.
    attempt: u32,
    /// running, completed, error, lost, abandoned, `timed_out`, expired or cancelled.
    outcome: String,
    agent_id: Uuid,
    agent_name: String,
    /// When it was handed out.
    claimed: String,
    /// When it times out, or would have.
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<String>,
    /// When it ended; absent while it is running.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<String>,
    /// The error of the agent, or its beginning, or why the attempt ended without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    reason: Option<Box<RawValue>>,
    /// How large an error is of which only the beginning is given, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason_bytes: Option<u64>,
    /// When a result came after the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    late: Option<String>,
    /// That result, unless it has more than 4,096 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    late_result: Option<Box<RawValue>>,
    /// How large a late result is that is left out, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    late_result_bytes: Option<u64>,
    /// The error that came after the end, or its beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    late_error: Option<Box<RawValue>>,
    /// How large a late error is of which only the beginning is given, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    late_error_bytes: Option<u64>,
}

/// Shows a task with its data, its terms, what came of it, and all attempts.
#[utoipa::path(
    get,
    path = "/api/v1/tasks/{task_id}",
    tag = "tasks",
    params(("task_id" = Uuid, Path, description = "The id of the task")),
    responses(
        (status = 200, description = "The task", body = WholeTask),
        (status = 400, description = "The path has no parameters", content_type = "application/problem+json", body = Problem),
        (status = 404, description = "No task has this id", content_type = "application/problem+json", body = Problem),
        (status = 503, description = "Try again", content_type = "application/problem+json", body = Problem),
    )
)]
pub(in crate::http) async fn show_task(
    State(app): State<App>,
    caller: Caller,
    task_id: TaskId,
) -> Result<Response, ApiError> {
    let id = bpms::task_id_of(task_id)?;
    let shown = pin!(async {
        let task = bpms::read(&app, id).await?.ok_or(ApiError::UnknownTask)?;
        caller.sees(&task)?;
        answer(&app, &task).await
    });
    request_deadline::within(app.settings.request_timeout, shown).await?
}

/// Answers with a task.
pub(super) async fn answer(app: &App, task: &Task) -> Result<Response, ApiError> {
    let (why, past) = bpms::surroundings(app, task).await?;
    let mut attempts: Vec<TaskAttempt> = past.iter().map(TaskAttempt::past).collect();
    attempts.extend(last_attempt(task, &past));
    let waiting = why.map(|why| Waiting { code: why.code, reason: why.sentence });
    json(&describe(task, waiting, attempts))
}

fn describe(task: &Task, task_waiting: Option<Waiting>, attempts: Vec<TaskAttempt>) -> WholeTask {
    let (posted, state) = (&task.posted, StateName::from(&task.state));
    let terms = &posted.terms;
    let (ended, outcome) = match &task.state {
        TaskState::Ended { at, end, .. } => (Some(iso_time(*at)), Some(end.outcome())),
        _ => (None, None),
    };
    let available =
        if let TaskState::Delayed { until } = &task.state { Some(iso_time(*until)) } else { None };
    let agent = task.last_attempt();
    WholeTask {
        task_id: posted.task_id,
        test_id: posted.test_id,
        task_type: posted.task_type.clone(),
        task_version: posted.task_version,
        task_data: posted.task_data.as_ref().map(stored),
        task_ttl: terms.ttl.map(|time| time.as_secs_f64()),
        task_timeout: terms.timeout.map(|time| time.as_secs_f64()),
        task_max_attempts: terms.max_attempts,
        task_retry_errors: terms.retry_errors,
        task_retry_delay: terms.retry_delay.as_secs_f64(),
        task_priority: terms.priority,
        task_delay: terms.delay.as_secs_f64(),
        agent_filter: stored(&terms.agent_filter.to_json()),
        task_state: protocol_1(state),
        task_end: state.is_end().then(|| state.as_str()),
        task_created: iso_time(task.created),
        task_available: available,
        task_expires: task.expires().map(iso_time),
        task_claimed: agent.map(|attempt| iso_time(attempt.at)),
        task_completed: ended.clone().filter(|_| state == StateName::Completed),
        task_failed: ended.filter(|_| state != StateName::Completed),
        task_result: outcome.and_then(Result::ok).map(stored),
        task_error: outcome.and_then(Result::err).map(stored),
        agent_id: agent.map(|attempt| attempt.agent_id),
        agent_name: agent.map(|attempt| attempt.agent_name.clone()),
        task_waiting,
        attempts,
    }
}

/// The attempt that is running, or that finished the task: it is none of the past ones.
fn last_attempt(task: &Task, past: &[AttemptView]) -> Option<TaskAttempt> {
    let last = task.last_attempt().filter(|last| past.iter().all(|past| past.number != last.number))?;
    let (outcome, ended, error) = match &task.state {
        TaskState::Ended { at, end, .. } => match end.outcome() {
            Ok(_) => ("completed", Some(*at), None),
            Err(error) => ("error", Some(*at), Some(error)),
        },
        _ => ("running", None, None),
    };
    let reason = error.map(|error| JsonText::string_excerpt(error.as_str()));
    let Attempt { number, agent_id, agent_name, at, deadline, .. } = last;
    Some(TaskAttempt {
        attempt: *number,
        outcome: outcome.to_owned(),
        agent_id: *agent_id,
        agent_name: agent_name.clone(),
        claimed: iso_time(*at),
        deadline: deadline.map(iso_time),
        ended: ended.map(iso_time),
        reason_bytes: error
            .filter(|error| reason.as_ref() != Some(*error))
            .map(|error| error.as_str().len() as u64),
        reason: reason.as_ref().map(stored),
        late: None,
        late_result: None,
        late_result_bytes: None,
        late_error: None,
        late_error_bytes: None,
    })
}

impl TaskAttempt {
    fn past(past: &AttemptView) -> Self {
        let late = past.late.as_ref();
        let reason = past.error.clone().unwrap_or_else(|| bpms::why_ended(past));
        Self {
            attempt: past.number,
            outcome: past.end.clone(),
            agent_id: past.agent_id,
            agent_name: past.agent_name.clone(),
            claimed: iso_time(past.claimed),
            deadline: past.deadline.map(iso_time),
            ended: Some(iso_time(past.ended)),
            reason: Some(stored(&reason)),
            reason_bytes: past.error_bytes,
            late: late.map(|late| iso_time(late.at)),
            late_result: late.and_then(|late| late.result.as_ref()).map(stored),
            late_result_bytes: late.filter(|late| late.result.is_none()).and_then(|late| late.result_bytes),
            late_error: late.and_then(|late| late.error.as_ref()).map(stored),
            late_error_bytes: late.and_then(|late| late.error_bytes),
        }
    }
}
