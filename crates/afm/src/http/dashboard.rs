//! The dashboard: pages for people below `/dashboard`, which are written here and work without a script. Its
//! script keeps them as the server sees things.
//!
//! Nothing that a client has sent becomes markup: the templates escape every text.

mod form;
mod frame;
mod overview;
mod post;
mod presentation;
mod pretty_json;
mod search;
mod task;
mod timeline;

use axum::routing::get;

use crate::http::api::events;
use crate::http::routes::Routes;

/// The pages of the bar at the top: name, address below that of the overview, title.
const PAGES: [(&str, &str, &str); 2] = [("overview", "", "Overview"), ("post", "post", "Post a task")];

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
    [assets, overview::routes(), post::routes(), search::routes(), task::routes()]
        .into_iter()
        .flatten()
        .collect()
}
