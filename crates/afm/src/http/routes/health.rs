//! Health checks: `/healthz` for what keeps this process running, `/readyz` for what sends requests to it.

use std::pin::pin;

use axum::extract::State;
use axum::routing::get;

use crate::http::app::{App, Routes};
use crate::http::error::ApiError;
use crate::http::request_deadline;
use crate::http::schemas::Problem;

pub(super) fn routes() -> Routes {
    vec![("/healthz", get(alive)), ("/readyz", get(ready))]
}

/// Answers that the process is alive.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "server",
    responses((status = 200, description = "It is", body = String, content_type = "text/plain"))
)]
pub(in crate::http) async fn alive() -> &'static str {
    "ok\n"
}

/// Answers that the process is ready: the database can be written, and its tables are as this version needs
/// them.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "server",
    responses(
        (status = 200, description = "It is", body = String, content_type = "text/plain"),
        (status = 503, description = "It is not; the detail says why", content_type = "application/problem+json", body = Problem),
    )
)]
pub(in crate::http) async fn ready(State(app): State<App>) -> Result<&'static str, ApiError> {
    let checked = pin!(app.health.check());
    let checked = request_deadline::within(app.settings.request_timeout, checked).await?;
    checked.map(|()| "ok\n").map_err(ApiError::TryAgain)
}
