//! `GET /api/v1/tasks`: lists of tasks.

use std::pin::pin;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use serde::Serialize;
use serde_json::value::RawValue;
use slamon_domain::StateName;
use slamon_protocol::iso_time;
use slamon_store::{ListOrder, TaskQuery, TaskSummary};
use utoipa::ToSchema;
use uuid::Uuid;

use super::super::cursor;
use super::super::query::Query;
use super::{filter, pages};
use crate::http::answer::{json, stored};
use crate::http::app::App;
use crate::http::error::ApiError;
use crate::http::request_deadline;
use crate::http::schemas::Problem;

const ORDERS: [(&str, ListOrder); 2] =
    [("newest", ListOrder::NewestFirst), ("oldest", ListOrder::OldestFirst)];

const USUAL_LIMIT: u32 = 50;
pub(super) const MOST: u32 = 1_000;

/// A page of a list of tasks.
#[derive(Serialize, ToSchema)]
pub(in crate::http::api) struct TaskList {
    /// The tasks. There may be fewer than `limit`, even none, although others follow: a page looks through a
    /// bounded number of tasks, for a bounded time.
    tasks: Vec<ListedTask>,
    /// The `cursor` of the next page; null at the end of the list.
    next_cursor: Option<String>,
}

/// A task in a list.
#[derive(Serialize, ToSchema)]
pub(in crate::http::api) struct ListedTask {
    task_id: Uuid,
    test_id: Uuid,
    /// The type, cut where it has more than 1,024 characters.
    task_type: String,
    task_version: i64,
    /// The state as protocol 1 names it: failed stands for failed, lost and timed out.
    task_state: &'static str,
    /// How the task ended: completed, failed, lost, `timed_out`, expired or cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    task_end: Option<&'static str>,
    task_priority: i32,
    /// When it was posted.
    task_created: String,
    /// When it was handed out last.
    #[serde(skip_serializing_if = "Option::is_none")]
    task_claimed: Option<String>,
    /// When it completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    task_completed: Option<String>,
    /// When it ended without a result.
    #[serde(skip_serializing_if = "Option::is_none")]
    task_failed: Option<String>,
    /// The result, unless it has more than 1,024 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    task_result: Option<Box<RawValue>>,
    /// How large a result is that is left out, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    task_result_bytes: Option<u64>,
    /// The error, or its beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    task_error: Option<Box<RawValue>>,
    /// How large an error is of which only the beginning is given, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    task_error_bytes: Option<u64>,
    /// How often it was handed out.
    task_attempt: u32,
    /// The agent that executes it, or executed it last.
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_name: Option<String>,
}

/// Lists tasks in the order of their arrival.
#[utoipa::path(
    get,
    path = "/api/v1/tasks",
    tag = "tasks",
    params(
        ("state" = Option<String>, Query, description = "Only tasks in this state: delayed, pending, claimed, completed, failed (which is failed, lost or timed_out), lost, timed_out, expired or cancelled"),
        ("task_type" = Option<String>, Query, description = "Only tasks of this type"),
        ("task_version" = Option<String>, Query, pattern = "^([+-]?[0-9]{1,19})?$", description = "Only tasks of this version"),
        ("test_id" = Option<String>, Query, pattern = "^([0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})?$", description = "Only tasks of this test"),
        ("task_id" = Option<String>, Query, pattern = "^([0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})?$", description = "Only the task with this id"),
        ("agent_id" = Option<String>, Query, pattern = "^([0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})?$", description = "Only tasks that this agent executes, or executed last"),
        ("country" = Option<String>, Query, description = "Only tasks whose agent_filter names this country, letter by letter"),
        ("from" = Option<String>, Query, description = "Only tasks that were posted then or later, a time as RFC 3339 writes it"),
        ("to" = Option<String>, Query, description = "Only tasks that were posted before, a time as RFC 3339 writes it"),
        ("q" = Option<String>, Query, description = "Only tasks whose error has this text in it, whatever the case of its letters"),
        ("order" = Option<String>, Query, description = "newest (first) or oldest (first)"),
        ("limit" = Option<String>, Query, pattern = "^([+]?0*([1-9][0-9]{0,2}|1000))?$", description = "How many tasks the page may have, 50 if nothing is said"),
        ("cursor" = Option<String>, Query, description = "The next_cursor of the page before"),
    ),
    responses(
        (status = 200, description = "A page of the list", body = TaskList),
        (status = 400, description = "A filter, the limit or the cursor is wrong", content_type = "application/problem+json", body = Problem),
        (status = 503, description = "Try again", content_type = "application/problem+json", body = Problem),
    )
)]
pub(in crate::http) async fn list_tasks(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let mut query = Query::of(query.as_deref());
    let filter = filter::read(&mut query)?;
    let order = query.one_of("order", &ORDERS)?.unwrap_or_default();
    let limit = query.integer("limit", 1..=MOST)?.unwrap_or(USUAL_LIMIT);
    let list = format!("tasks {order:?} {filter:?}");
    let after = query.text("cursor")?.map(|text| cursor::read(&list, &text)).transpose()?;
    query.end()?;
    let page = pin!(pages::read(&app, TaskQuery { filter, order, after, up_to: None, limit }));
    let page = request_deadline::within(app.settings.request_timeout, page).await?;
    let page = page.map_err(|error| app.read_failed(&error))?;
    json(&TaskList {
        tasks: page.tasks.into_iter().map(ListedTask::from).collect(),
        next_cursor: page.next.map(|place| cursor::write(&list, place)),
    })
}

/// Returns the name of a state in protocol 1.
pub(super) fn protocol_1(state: StateName) -> &'static str {
    match state {
        StateName::Lost | StateName::TimedOut => StateName::Failed.as_str(),
        other => other.as_str(),
    }
}

impl From<TaskSummary> for ListedTask {
    fn from(task: TaskSummary) -> Self {
        let is_completed = task.state == StateName::Completed;
        let finished = task.finished.map(iso_time);
        let (agent_id, agent_name) = task.agent.unzip();
        Self {
            task_id: task.task_id,
            test_id: task.test_id,
            task_type: task.task_type,
            task_version: task.task_version,
            task_state: protocol_1(task.state),
            task_end: task.state.is_end().then(|| task.state.as_str()),
            task_priority: task.priority,
            task_created: iso_time(task.created),
            task_claimed: task.claimed.map(iso_time),
            task_completed: finished.clone().filter(|_| is_completed),
            task_failed: finished.filter(|_| !is_completed),
            task_result_bytes: task.result_bytes.filter(|_| task.result.is_none()),
            task_result: task.result.as_ref().map(stored),
            task_error: task.error.as_ref().map(stored),
            task_error_bytes: task.error_bytes,
            task_attempt: task.attempts,
            agent_id,
            agent_name,
        }
    }
}
