//! The management API below `/api/v1`: what operators and their programs see of tasks, agents and types, and
//! what they do to them.
//!
//! Its names and its errors are those of protocol 1; its times are written as RFC 3339.

pub(super) mod agent_figures;
pub(super) mod agents;
pub(super) mod cursor;
pub(super) mod events;
pub(super) mod last_hour;
pub(super) mod locations;
pub(super) mod one_test;
pub(super) mod overview;
mod place;
pub(super) mod query;
pub(super) mod tasks;
pub(super) mod type_list;
pub(super) mod types;

use axum::middleware;

use crate::http::app::Routes;

/// The paths whose GET has parameters.
const WITH_PARAMETERS: [&str; 5] =
    ["/api/v1/agents", "/api/v1/events", "/api/v1/tasks", "/api/v1/tests/{test_id}", "/api/v1/types"];

/// Returns all paths of the management API.
pub(super) fn routes() -> Routes {
    [
        agents::routes(),
        events::routes(),
        locations::routes(),
        one_test::routes(),
        overview::routes(),
        tasks::routes(),
        type_list::routes(),
        types::routes(),
    ]
    .into_iter()
    .flatten()
    .map(|(path, methods)| {
        let reads_some = WITH_PARAMETERS.contains(&path);
        let check = middleware::from_fn(move |request, next| query::check(reads_some, request, next));
        (path, methods.route_layer(check))
    })
    .collect()
}
