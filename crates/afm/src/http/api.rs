//! The management API below `/api/v1`: what operators and their programs see of tasks, agents and types, and
//! what they do to them.
//!
//! Its names and its errors are those of protocol 1; its times are written as RFC 3339.

mod agents;
mod answer;
mod answers;
pub(in crate::http) mod cursor;
pub(in crate::http) mod events;
mod many;
mod members;
pub(in crate::http) mod one_test;
mod openapi;
mod overview;
mod place;
pub(in crate::http) mod query;
pub(in crate::http) mod tasks;
mod type_list;
mod types;

pub(super) use self::answer::{Problem, json};
pub(super) use self::answers::{MOST_IN_REQUEST, TaskAnswers, answer_each, parse_element};
pub(super) use self::members::Members;
pub(super) use self::openapi::protocol::{NewTask, Poll, PollAnswer, StatusCounts, TaskResult, TaskView};
use crate::http::routes::Routes;

/// Returns all paths of the management API.
pub(super) fn routes() -> Routes {
    [
        agents::routes(),
        events::routes(),
        one_test::routes(),
        openapi::routes(),
        overview::routes(),
        tasks::routes(),
        type_list::routes(),
        types::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
