//! `/status`: the numbers of agents and tasks.

use std::collections::HashMap;
use std::pin::pin;

use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use slamon_protocol::ObjectWriter;
use slamon_store::{Counts, ReadResult};

use crate::http::answer::json_object;
use crate::http::app::{App, Routes};
use crate::http::error::ApiError;
use crate::http::request_deadline;
use crate::http::schemas::{Problem, StatusCounts};

pub(super) fn routes() -> Routes {
    vec![("/status", get(status))]
}

/// Counts the active agents and the waiting tasks.
#[utoipa::path(
    get,
    path = "/status",
    tag = "server",
    responses(
        (status = 200, description = "The counts", body = StatusCounts),
        (status = 500, description = "The database cannot be queried", content_type = "application/problem+json", body = Problem),
        (status = 503, description = "Try again", content_type = "application/problem+json", body = Problem),
    )
)]
pub(in crate::http) async fn status(State(app): State<App>) -> Result<Response, ApiError> {
    let counts = pin!(app.counts.get((), |_| Box::pin(count(&app))));
    let counts = request_deadline::within(app.settings.request_timeout, counts).await?;
    let counts = counts.map_err(|error| {
        // The answer is 500 and not 503, as elsewhere: monitoring made for the original looks for that.
        app.health.read_failed(&error);
        ApiError::StatusUnknown
    })?;
    let counts = counts.ok_or(ApiError::StatusUnknown)?;
    let mut object = ObjectWriter::new();
    object.integer("agents", counts.agents).integer("tasks_waiting", counts.tasks_waiting);
    Ok(json_object(object))
}

async fn count(app: &App) -> ReadResult<(), Counts> {
    Ok(HashMap::from([((), app.store.counts(app.active_since().await).await?)]))
}
