//! `/healthz` and `/readyz`: for whoever keeps this process running, and sends requests to it.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use slamon_store::StoreError;
use tracing::Level;

use super::Routes;
use crate::app::App;
use crate::error::ApiError;
use crate::logging::repeats::{self, Kind};

pub(super) fn routes() -> Routes {
    vec![("/healthz", get(alive)), ("/readyz", get(ready))]
}

/// Alive: the process answers.
async fn alive() -> &'static str {
    "ok\n"
}

/// Ready: the database answers, and its tables are as this version needs them.
async fn ready(State(app): State<App>) -> Response {
    match app.store.check().await {
        Ok(()) => "ok\n".into_response(),
        Err(StoreError::Schema(error)) => ApiError::TryAgain(error.to_string()).into_response(),
        Err(error) => {
            // Names of hosts and users are for the log.
            if repeats::is_first(Kind::Message(Level::WARN, "not ready")) {
                tracing::warn!(error = format!("{error:#}"), "not ready");
            }
            ApiError::TryAgain("the database is not available".to_owned()).into_response()
        }
    }
}
