//! The management API below `/api/v1`: what operators and their programs see of tasks, agents and types, and
//! what they do to them.
//!
//! Its names and its errors are those of protocol 1; its times are written as RFC 3339.

pub(super) mod agent_figures;
pub(super) mod agents;
pub(super) mod cursor;
pub(super) mod events;
pub(super) mod last_hour;
pub(super) mod one_test;
pub(super) mod overview;
mod place;
pub(super) mod query;
pub(super) mod tasks;
pub(super) mod type_list;
pub(super) mod types;

use crate::http::app::Routes;

/// Returns all paths of the management API.
pub(super) fn routes() -> Routes {
    [
        agents::routes(),
        events::routes(),
        one_test::routes(),
        overview::routes(),
        tasks::routes(),
        type_list::routes(),
        types::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
