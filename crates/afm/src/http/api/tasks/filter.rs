//! Reads which tasks are asked for.

use std::borrow::Cow;

use slamon_domain::StateName;
use slamon_store::{States, TaskFilter};

use super::super::query::Query;
use crate::http::error::ApiError;

/// The states by which tasks are filtered. What protocol 1 calls failed is any of three.
const STATES: [(&str, States); 9] = [
    ("delayed", States::of(&[StateName::Delayed])),
    ("pending", States::of(&[StateName::Pending])),
    ("claimed", States::of(&[StateName::Claimed])),
    ("completed", States::of(&[StateName::Completed])),
    ("failed", States::of(&[StateName::Failed, StateName::Lost, StateName::TimedOut])),
    ("lost", States::of(&[StateName::Lost])),
    ("timed_out", States::of(&[StateName::TimedOut])),
    ("expired", States::of(&[StateName::Expired])),
    ("cancelled", States::of(&[StateName::Cancelled])),
];

/// Takes the filters out of a query.
///
/// # Errors
/// The error names the filter that is wrong.
pub(in crate::http) fn read(query: &mut Query<'_>) -> Result<TaskFilter, ApiError> {
    Ok(TaskFilter {
        states: query.one_of("state", &STATES)?.unwrap_or_default(),
        task_type: query.text("task_type")?.map(Cow::into_owned),
        task_version: query.integer("task_version", i64::MIN..=i64::MAX)?,
        test_id: query.id("test_id")?,
        task_id: query.id("task_id")?,
        agent_id: query.id("agent_id")?,
        country: query.text("country")?.map(Cow::into_owned),
        from: query.time("from")?,
        to: query.time("to")?,
        error_text: query.text("q")?.map(Cow::into_owned),
    })
}
