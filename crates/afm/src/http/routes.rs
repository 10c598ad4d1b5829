//! The paths of protocol 1, and those for whoever watches the server. Each file has one resource.

pub(super) mod agent;
pub(super) mod bpms;
pub(super) mod dashboard;
pub(super) mod health;
pub(super) mod metrics;
mod results;
pub(super) mod status;

use crate::http::app::Routes;

/// Returns all of these paths.
pub(super) fn routes() -> Routes {
    [
        bpms::routes(),
        agent::routes(),
        status::routes(),
        dashboard::routes(),
        health::routes(),
        metrics::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
