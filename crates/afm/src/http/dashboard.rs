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
mod places;
mod post;
mod presentation;
mod pretty_json;
mod search;
mod stuck;
mod suggestions;
mod task;
mod tasks;
mod test;
mod timeline;
mod types;
mod verdict;

use std::sync::Arc;

use axum::extract::Request;
use axum::http::Method;
use axum::http::header::ACCEPT;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use frame::Frame;
pub(crate) use pretty_json::is_unseen;
use suggestions::Known;

use crate::http::api::events;
use crate::http::app::{App, Routes};
use crate::http::error::ApiError;

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
    let known = Arc::<Known>::default();
    let pages = [
        overview::routes(),
        tasks::routes(&known),
        task::routes(),
        test::routes(),
        bulk::routes(),
        agents::routes(),
        places::routes(),
        agent::routes(),
        types::routes(),
        post::routes(&known),
        search::routes(),
    ];
    assets.into_iter().chain(pages.into_iter().flatten()).collect()
}

/// Returns what a request gets that is refused before it has a handler: a page where a browser has asked for one.
pub(super) fn refused(app: &App, request: &Request, error: ApiError) -> Response {
    let path = request.uri().path().trim_start_matches('/');
    let is_page = request.method() == Method::GET
        && (path == "dashboard" || path.starts_with("dashboard/"))
        && request
            .headers()
            .get(ACCEPT)
            .is_some_and(|types| types.to_str().is_ok_and(|types| types.contains("text/html")));
    if is_page {
        Frame::of(request.uri().path(), request.headers(), app).error(error)
    } else {
        error.into_response()
    }
}
