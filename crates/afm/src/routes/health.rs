//! `/healthz` and `/readyz`: for whoever keeps this process running, and sends requests to it.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::Routes;
use crate::app::App;
use crate::error::ApiError;

pub(super) fn routes() -> Routes {
    vec![("/healthz", get(alive)), ("/readyz", get(ready))]
}

/// Alive: the process answers.
async fn alive() -> &'static str {
    "ok\n"
}

/// Ready: the database can be written, and its tables are as this version needs them.
async fn ready(State(app): State<App>) -> Response {
    match app.committer.health().check().await {
        Ok(()) => "ok\n".into_response(),
        Err(reason) => ApiError::TryAgain(reason).into_response(),
    }
}
