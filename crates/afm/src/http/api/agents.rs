//! `/api/v1/agents`: agents, their pauses, and forgetting one.

use std::pin::pin;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{delete, post};
use serde::Serialize;
use slamon_domain::{Operation, PauseTarget, Refusal};
use slamon_protocol::{iso_time, parse_id};
use utoipa::ToSchema;
use uuid::Uuid;

use super::answer::{self, Problem};
use crate::http::app::App;
use crate::http::error::ApiError;
use crate::http::routes::Routes;
use crate::http::{request_deadline, request_log};

pub(super) fn routes() -> Routes {
    vec![
        ("/api/v1/agents/{agent_id}", delete(forget)),
        ("/api/v1/agents/{agent_id}/pause", post(pause)),
        ("/api/v1/agents/{agent_id}/resume", post(resume)),
    ]
}

/// Whether an agent is paused.
#[derive(Serialize, ToSchema)]
struct AgentPause {
    agent_id: Uuid,
    /// Since when it is handed no tasks; `null` if it is not paused.
    paused_since: Option<String>,
}

type AgentId = Result<Path<String>, PathRejection>;

/// Hands an agent no more tasks until it is resumed. What it executes goes on.
#[utoipa::path(
    post,
    path = "/api/v1/agents/{agent_id}/pause",
    tag = "agents",
    params(("agent_id" = Uuid, Path, description = "The agent")),
    responses(
        (status = 200, description = "It is paused, now or before", body = AgentPause),
        (status = 404, description = "No agent has this id", content_type = "application/problem+json", body = Problem),
        (status = 409, description = "There are too many pauses", content_type = "application/problem+json", body = Problem),
        (status = 503, description = "Try again", content_type = "application/problem+json", body = Problem),
    )
)]
pub(super) async fn pause(State(app): State<App>, agent_id: AgentId) -> Result<Response, ApiError> {
    let id = agent_id_of(agent_id)?;
    operate(&app, id, Operation::Pause(PauseTarget::Agent(id))).await
}

/// Ends the pause of an agent.
#[utoipa::path(
    post,
    path = "/api/v1/agents/{agent_id}/resume",
    tag = "agents",
    params(("agent_id" = Uuid, Path, description = "The agent")),
    responses(
        (status = 200, description = "It is not paused any more", body = AgentPause),
        (status = 404, description = "No agent has this id", content_type = "application/problem+json", body = Problem),
        (status = 503, description = "Try again", content_type = "application/problem+json", body = Problem),
    )
)]
pub(super) async fn resume(State(app): State<App>, agent_id: AgentId) -> Result<Response, ApiError> {
    let id = agent_id_of(agent_id)?;
    operate(&app, id, Operation::Resume(PauseTarget::Agent(id))).await
}

/// Forgets an agent, with its pause. If it polls again, it is new.
#[utoipa::path(
    delete,
    path = "/api/v1/agents/{agent_id}",
    tag = "agents",
    params(("agent_id" = Uuid, Path, description = "The agent")),
    responses(
        (status = 200, description = "It is forgotten", body = AgentPause),
        (status = 404, description = "No agent has this id", content_type = "application/problem+json", body = Problem),
        (status = 409, description = "It executes tasks", content_type = "application/problem+json", body = Problem),
        (status = 503, description = "Try again", content_type = "application/problem+json", body = Problem),
    )
)]
pub(super) async fn forget(State(app): State<App>, agent_id: AgentId) -> Result<Response, ApiError> {
    let id = agent_id_of(agent_id)?;
    operate(&app, id, Operation::Forget(id)).await
}

async fn operate(app: &App, agent_id: Uuid, operation: Operation) -> Result<Response, ApiError> {
    let operated = pin!(app.committer.operate(operation));
    let since = request_deadline::within(app.settings.request_timeout, operated).await???;
    answer::json(&AgentPause { agent_id, paused_since: since.map(iso_time) })
}

fn agent_id_of(agent_id: AgentId) -> Result<Uuid, ApiError> {
    // A path that is no id names no agent.
    let id = agent_id.ok().and_then(|Path(text)| parse_id(&text)).ok_or(Refusal::UnknownAgent)?;
    request_log::agent(id);
    Ok(id)
}
