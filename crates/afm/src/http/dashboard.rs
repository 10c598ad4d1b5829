//! The dashboard: pages for people below `/dashboard`, which are written here and work without a script. Its
//! script keeps them as the server sees things.
//!
//! Nothing that a client has sent becomes markup: the templates escape every text.

mod agent;
mod agent_figures;
mod agents;
mod bulk;
mod chart;
mod failures;
mod form;
mod frame;
mod overview;
mod post;
mod presentation;
mod pretty_json;
mod search;
mod stuck;
mod task;
mod tasks;
mod test;
mod timeline;
mod types;
mod verdict;

use axum::routing::get;

use crate::http::api::events;
use crate::http::app::Routes;

/// Returns all paths of the dashboard, but for that of the original's JSON.
pub(super) fn routes() -> Routes {
    let assets: Routes = vec![
        // The stream is here, too, for a proxy that lets nothing through but the dashboard.
        ("/dashboard/events", get(events::events)),
        (
            "/dashboard/dashboard.css",
            get(async || {
                frame::asset("text/css; charset=utf-8", include_str!("../../assets/dashboard/dashboard.css"))
            }),
        ),
        (
            "/dashboard/dashboard.js",
            get(async || {
                frame::asset(
                    "text/javascript; charset=utf-8",
                    include_str!("../../assets/dashboard/dashboard.js"),
                )
            }),
        ),
        (
            "/dashboard/icon.svg",
            get(async || frame::asset("image/svg+xml", include_str!("../../assets/dashboard/icon.svg"))),
        ),
    ];
    let pages = [
        overview::routes(),
        tasks::routes(),
        task::routes(),
        test::routes(),
        bulk::routes(),
        agents::routes(),
        agent::routes(),
        types::routes(),
        post::routes(),
        search::routes(),
    ];
    assets.into_iter().chain(pages.into_iter().flatten()).collect()
}
