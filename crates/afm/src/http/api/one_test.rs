//! `/api/v1/tests/{test_id}`: the tasks of one test, which is what protocol 1 calls a process instance.

use std::collections::BTreeMap;
use std::pin::pin;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;
use slamon_domain::StateName;
use slamon_protocol::parse_id;
use slamon_store::{ListOrder, TaskFilter, TaskQuery, TaskSummary};
use utoipa::ToSchema;
use uuid::Uuid;

use super::cursor;
use super::query::Query;
use super::tasks::list::ListedTask;
use super::tasks::pages;
use crate::http::answer::json;
use crate::http::app::{App, Routes};
use crate::http::error::ApiError;
use crate::http::request_deadline;
use crate::http::schemas::Problem;

pub(super) fn routes() -> Routes {
    vec![("/api/v1/tests/{test_id}", get(read))]
}

/// The tasks of a test.
#[derive(Serialize, ToSchema)]
pub(super) struct Test {
    test_id: Uuid,
    /// What the tasks of this part say: failed if any ended without a result, else running if any has not ended,
    /// else completed.
    #[schema(value_type = String)]
    verdict: &'static str,
    /// How many tasks of this part are in each state; failed, lost and `timed_out` are told apart.
    #[schema(value_type = BTreeMap<String, u32>)]
    counts: BTreeMap<&'static str, u32>,
    /// Whether the test may have more tasks than this part and those before.
    has_more: bool,
    /// The tasks, the oldest first.
    tasks: Vec<ListedTask>,
    /// The cursor of the next part; null at the end.
    next_cursor: Option<String>,
}

/// The tasks of a test, with what became of them.
#[utoipa::path(
    get,
    path = "/api/v1/tests/{test_id}",
    operation_id = "show_test",
    tag = "tasks",
    params(
        ("test_id" = Uuid, Path, description = "The test, as its tasks name it"),
        ("limit" = Option<String>, Query, pattern = "^([+]?0*([1-9][0-9]{0,2}|1000))?$", description = "How many tasks the part may have, 50 if nothing is said"),
        ("cursor" = Option<String>, Query, description = "The next_cursor of the part before"),
    ),
    responses(
        (status = 200, description = "A part of its tasks", body = Test),
        (status = 400, description = "The limit or the cursor is wrong", content_type = "application/problem+json", body = Problem),
        (status = 404, description = "No task is of this test", content_type = "application/problem+json", body = Problem),
        (status = 503, description = "Try again", content_type = "application/problem+json", body = Problem),
    )
)]
pub(super) async fn read(
    State(app): State<App>,
    test_id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let mut query = Query::of(query.as_deref());
    let limit = query.integer("limit", 1..=1_000)?.unwrap_or(50);
    let cursor = query.text("cursor")?;
    query.end()?;
    // A path that is no id names no test.
    let id = test_id.ok().and_then(|Path(text)| parse_id(&text)).ok_or(ApiError::UnknownTest)?;
    let list = format!("test {id}");
    let after = cursor.map(|text| cursor::read(&list, &text)).transpose()?;
    let filter = TaskFilter { test_id: Some(id), ..TaskFilter::default() };
    let asked = TaskQuery { filter, order: ListOrder::OldestFirst, after, up_to: None, limit };
    let page = pin!(pages::read(&app, asked));
    let page = request_deadline::within(app.settings.request_timeout, page).await?;
    let page = page.map_err(|error| app.read_failed(&error))?;
    if page.tasks.is_empty() && page.next.is_none() && after.is_none() {
        return Err(ApiError::UnknownTest);
    }
    json(&Test {
        test_id: id,
        verdict: verdict(&page.tasks),
        counts: counts(&page.tasks),
        has_more: page.next.is_some(),
        tasks: page.tasks.into_iter().map(ListedTask::from).collect(),
        next_cursor: page.next.map(|place| cursor::write(&list, place)),
    })
}

pub(in crate::http) fn verdict(tasks: &[TaskSummary]) -> &'static str {
    if tasks.iter().any(|task| task.state.is_end() && task.state != StateName::Completed) {
        "failed"
    } else if tasks.iter().any(|task| !task.state.is_end()) {
        "running"
    } else {
        "completed"
    }
}

fn counts(tasks: &[TaskSummary]) -> BTreeMap<&'static str, u32> {
    let mut counts: BTreeMap<&'static str, u32> =
        StateName::ALL.iter().map(|state| (state.as_str(), 0)).collect();
    for task in tasks {
        *counts.entry(task.state.as_str()).or_default() += 1;
    }
    counts
}
