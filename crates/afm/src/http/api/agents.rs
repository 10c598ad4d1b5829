//! `/api/v1/agents`: agents, their pauses, and forgetting one.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::pin::pin;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use axum::routing::{get, post};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use slamon_domain::{Operation, PauseTarget, Refusal};
use slamon_protocol::{JsonText, iso_time, parse_id};
use slamon_store::{AgentDetails, AgentQuery, AgentState, ListedAgent, RunningTask, StoreError};
use tokio::time::Instant;
use utoipa::ToSchema;
use uuid::Uuid;

use super::agent_figures::{AgentFigures, NextPoll, with_figures};
use super::last_hour::LastHour;
use super::place;
use super::query::Query;
use crate::http::answer;
use crate::http::app::{App, Routes};
use crate::http::error::{ApiError, invalid};
use crate::http::schemas::{AgentLocation, Problem};
use crate::http::{request_deadline, request_log};

pub(super) fn routes() -> Routes {
    vec![
        ("/api/v1/agents", get(list)),
        ("/api/v1/agents/{agent_id}", get(read).delete(forget)),
        ("/api/v1/agents/{agent_id}/pause", post(pause)),
        ("/api/v1/agents/{agent_id}/resume", post(resume)),
    ]
}

const STATES: &[(&str, AgentState)] =
    &[("active", AgentState::Active), ("lost", AgentState::Lost), ("paused", AgentState::Paused)];

/// A part of the list of agents.
#[derive(Serialize, ToSchema)]
pub(super) struct AgentList {
    agents: Vec<Agent>,
    /// What to ask for as `cursor` to get the next part; `null` if there is none.
    next_cursor: Option<String>,
}

/// An agent.
#[derive(Serialize, ToSchema)]
pub(super) struct Agent {
    agent_id: Uuid,
    /// Its name, as of its last poll; in a list, at most 200 characters of it.
    agent_name: String,
    /// paused; else active, or lost if it is silent for longer than `AGENT_ACTIVE_THRESHOLD`.
    #[schema(value_type = String)]
    state: &'static str,
    /// When it polled or sent a result last.
    last_seen: String,
    /// When it was told to poll next; null while a poll of it is held open at this AFM. If another AFM has answered
    /// its last poll, it is counted from when the agent was seen last.
    next_poll_due: Option<String>,
    /// Whether a poll of it is held open at this AFM.
    poll_held: bool,
    /// What it offers; in a list, absent where that is long.
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_capabilities: Option<BTreeMap<String, OfferedVersion>>,
    /// How long that is, in bytes, where it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_capabilities_bytes: Option<u64>,
    /// Where it is, as of its last poll.
    #[schema(value_type = Option<AgentLocation>)]
    agent_location: Option<Box<RawValue>>,
    /// How many tasks it asked for when it polled last.
    max_tasks: u32,
    /// How many tasks it executes; 100 stands for 100 or more.
    tasks_running: u32,
    /// How its attempts ended in the last 50 to 60 minutes. One that ended with an error failed, as did one that was
    /// lost or abandoned, or timed out, whether or not the task is tried again.
    last_hour: LastHour,
    /// Since when it is paused.
    paused_since: Option<String>,
}

/// In which version an agent offers a type.
#[derive(Serialize, ToSchema)]
pub(super) struct OfferedVersion {
    version: i64,
}

/// An agent with the tasks that it executes.
#[derive(Serialize, ToSchema)]
pub(super) struct AgentWithTasks {
    #[serde(flatten)]
    agent: Agent,
    /// The tasks that it executes, oldest first, at most 100.
    tasks: Vec<Running>,
    /// Whether it executes more.
    more_tasks: bool,
}

/// A task that an agent executes.
#[derive(Serialize, ToSchema)]
pub(super) struct Running {
    task_id: Uuid,
    test_id: Uuid,
    /// Its type, at most 200 characters of it.
    task_type: String,
    task_version: i64,
    task_created: String,
    task_claimed: String,
    task_attempt: u32,
    /// When a result is too late.
    #[serde(skip_serializing_if = "Option::is_none")]
    task_deadline: Option<String>,
}

/// Lists agents. A part passes over 5,000 agents at most, so that it may be short, or empty, and not the last one.
#[utoipa::path(
    get,
    path = "/api/v1/agents",
    operation_id = "list_agents",
    tag = "agents",
    params(
        ("state" = Option<String>, Query, description = "Only agents in this state: active, lost or paused"),
        ("task_type" = Option<String>, Query, description = "Only agents that offer this type"),
        ("task_version" = Option<String>, Query, pattern = "^([+-]?[0-9]{1,19})?$", description = "Only agents that offer the type in this version"),
        ("country" = Option<String>, Query, description = "Only agents in this country"),
        ("region" = Option<String>, Query, description = "Only agents in this region"),
        ("q" = Option<String>, Query, description = "An id, or a part of a name in any letter case"),
        ("limit" = Option<String>, Query, pattern = "^([+]?0*([1-9][0-9]{0,2}|1000))?$", description = "The most agents to list, 1 to 1000; 50 if absent"),
        ("cursor" = Option<String>, Query, description = "The next_cursor of the part before"),
    ),
    responses(
        (status = 200, description = "Agents, in no particular order", body = AgentList),
        (status = 400, description = "A filter is wrong", content_type = "application/problem+json", body = Problem),
        (status = 503, description = "Try again", content_type = "application/problem+json", body = Problem),
    )
)]
pub(super) async fn list(State(app): State<App>, RawQuery(query): RawQuery) -> Result<Response, ApiError> {
    let (list, mut query) = agent_query(Query::of(query.as_deref()))?;
    let listed = pin!(async {
        query.seen_since = app.active_since().await;
        let seen_since = query.seen_since;
        let page = page(&app, query).await.map_err(|error| app.read_failed(&error))?;
        let agents = with_figures(&app, page.items).await.map_err(|error| app.read_failed(&error))?;
        let agents =
            agents.into_iter().map(|(agent, figures)| describe(agent, figures, seen_since)).collect();
        let next_cursor = page.next.map(|next| place::write(&list, &next));
        answer::json(&AgentList { agents, next_cursor })
    });
    request_deadline::within(app.settings.request_timeout, listed).await?
}

/// Reads a page. While it is not full, and others follow, it reads on, for a bounded time. Each page of the store is a
/// read of its own, so that others come in between.
pub(in crate::http) async fn page(
    app: &App,
    mut query: AgentQuery,
) -> Result<slamon_store::Page<ListedAgent>, StoreError> {
    let began = Instant::now();
    let mut items = Vec::new();
    loop {
        let page = app.store.list_agents(query.clone()).await?;
        query.limit = query.limit.saturating_sub(u32::try_from(page.items.len()).unwrap_or(u32::MAX));
        items.extend(page.items);
        if query.limit == 0 || page.next.is_none() || began.elapsed() >= app.settings.list_looks_for {
            return Ok(slamon_store::Page { items, next: page.next });
        }
        query.after = page.next;
    }
}

/// Reads which agents to list; and which list that is.
fn agent_query(mut query: Query<'_>) -> Result<(String, AgentQuery), ApiError> {
    let text = |query: &mut Query<'_>, name| Ok::<_, ApiError>(query.text(name)?.map(Cow::into_owned));
    let mut agents = AgentQuery {
        state: query.one_of("state", STATES)?,
        task_type: text(&mut query, "task_type")?,
        task_version: query.integer("task_version", i64::MIN..=i64::MAX)?,
        country: text(&mut query, "country")?,
        region: text(&mut query, "region")?,
        id: None,
        name: text(&mut query, "q")?,
        seen_since: Timestamp::MIN,
        limit: 0,
        after: None,
    };
    if agents.task_version.is_some() && agents.task_type.is_none() {
        return Err(invalid("task_version", "needs a task_type"));
    }
    agents.id = agents.name.as_deref().and_then(parse_id);
    if agents.id.is_some() {
        agents.name = None;
    }
    let list = format!("agents {agents:?}");
    agents.limit = query.integer("limit", 1..=1_000)?.unwrap_or(50);
    agents.after = place::take(&mut query, &list)?;
    query.end()?;
    Ok((list, agents))
}

fn describe(agent: ListedAgent, figures: AgentFigures, seen_since: Timestamp) -> Agent {
    let state = agent.state(seen_since);
    let AgentFigures { next_poll, last_hour } = figures;
    let next_poll_due = if let NextPoll::Due(due) = next_poll { Some(iso_time(due)) } else { None };
    Agent {
        agent_id: agent.id,
        agent_name: agent.name,
        state: STATES.iter().find(|(_, known)| *known == state).map_or("", |(name, _)| name),
        last_seen: iso_time(agent.last_seen),
        next_poll_due,
        poll_held: next_poll == NextPoll::Held,
        agent_capabilities_bytes: agent.capabilities.is_none().then_some(agent.capabilities_bytes),
        agent_capabilities: agent.capabilities.as_ref().map(offers),
        agent_location: agent.location.as_ref().map(answer::stored),
        max_tasks: agent.max_tasks,
        tasks_running: agent.running,
        last_hour,
        paused_since: agent.paused_since.map(iso_time),
    }
}

/// Reads what an agent offers, as the store keeps it.
fn offers(capabilities: &JsonText) -> BTreeMap<String, OfferedVersion> {
    let versions: BTreeMap<String, i64> = serde_json::from_str(capabilities.as_str()).unwrap_or_default();
    versions.into_iter().map(|(task_type, version)| (task_type, OfferedVersion { version })).collect()
}

/// An agent, with the tasks that it executes.
#[utoipa::path(
    get,
    path = "/api/v1/agents/{agent_id}",
    operation_id = "show_agent",
    tag = "agents",
    params(("agent_id" = Uuid, Path, description = "The agent")),
    responses(
        (status = 200, description = "The agent", body = AgentWithTasks),
        (status = 400, description = "The path has no parameters", content_type = "application/problem+json", body = Problem),
        (status = 404, description = "No agent has this id", content_type = "application/problem+json", body = Problem),
        (status = 503, description = "Try again", content_type = "application/problem+json", body = Problem),
    )
)]
pub(super) async fn read(State(app): State<App>, agent_id: AgentId) -> Result<Response, ApiError> {
    let id = agent_id_of(agent_id)?;
    let read = pin!(async {
        let seen_since = app.active_since().await;
        let found = app.store.agent_details(id).await.map_err(|error| app.read_failed(&error))?;
        let AgentDetails { agent, tasks, more_tasks } = found.ok_or(Refusal::UnknownAgent)?;
        let known = with_figures(&app, vec![agent]).await.map_err(|error| app.read_failed(&error))?.pop();
        let (agent, figures) = known.ok_or(Refusal::UnknownAgent)?;
        let agent = describe(agent, figures, seen_since);
        let tasks = tasks.into_iter().map(describe_task).collect();
        answer::json(&AgentWithTasks { agent, tasks, more_tasks })
    });
    request_deadline::within(app.settings.request_timeout, read).await?
}

fn describe_task(task: RunningTask) -> Running {
    Running {
        task_id: task.task_id,
        test_id: task.test_id,
        task_type: task.task_type,
        task_version: task.task_version,
        task_created: iso_time(task.created),
        task_claimed: iso_time(task.claimed),
        task_attempt: task.attempt,
        task_deadline: task.deadline.map(iso_time),
    }
}

/// Whether an agent is paused.
#[derive(Serialize, ToSchema)]
pub(super) struct AgentPause {
    agent_id: Uuid,
    /// Since when it is handed no tasks; `null` if it is not paused.
    paused_since: Option<String>,
}

type AgentId = Result<Path<String>, PathRejection>;

/// Hands an agent no more tasks until it is resumed. What it executes goes on.
#[utoipa::path(
    post,
    path = "/api/v1/agents/{agent_id}/pause",
    operation_id = "pause_agent",
    tag = "agents",
    params(("agent_id" = Uuid, Path, description = "The agent")),
    responses(
        (status = 200, description = "It is paused, now or before", body = AgentPause),
        (status = 400, description = "The path has no parameters", content_type = "application/problem+json", body = Problem),
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
    operation_id = "resume_agent",
    tag = "agents",
    params(("agent_id" = Uuid, Path, description = "The agent")),
    responses(
        (status = 200, description = "It is not paused any more", body = AgentPause),
        (status = 400, description = "The path has no parameters", content_type = "application/problem+json", body = Problem),
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
    operation_id = "forget_agent",
    tag = "agents",
    params(("agent_id" = Uuid, Path, description = "The agent")),
    responses(
        (status = 200, description = "It is forgotten", body = AgentPause),
        (status = 400, description = "The path has no parameters", content_type = "application/problem+json", body = Problem),
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
