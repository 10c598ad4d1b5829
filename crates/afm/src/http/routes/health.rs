//! Health checks: `/healthz` for what keeps this process running, `/readyz` for what sends requests to it.

use std::pin::pin;

use axum::extract::State;
use axum::routing::get;

use crate::http::app::{App, Routes};
use crate::http::error::ApiError;
use crate::http::request_deadline;

pub(super) fn routes() -> Routes {
    vec![("/healthz", get(alive)), ("/readyz", get(ready))]
}

/// Answers that the process is alive.
async fn alive() -> &'static str {
    "ok\n"
}

/// Answers that the process is ready: the database can be written, and its tables are as this version needs
/// them.
async fn ready(State(app): State<App>) -> Result<&'static str, ApiError> {
    let checked = pin!(app.health.check());
    let checked = request_deadline::within(app.settings.request_timeout, checked).await?;
    checked.map(|()| "ok\n").map_err(ApiError::TryAgain)
}
