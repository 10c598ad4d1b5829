//! The page of an agent, and what can be done with it there.

use std::pin::pin;
use std::time::Duration;

use askama::Template;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use axum::routing::{get, post};
use slamon_domain::{Operation, PauseTarget, Refusal};
use slamon_protocol::parse_id;
use slamon_store::{AgentDetails, ListOrder, RunningTask, TaskFilter, TaskQuery};
use uuid::Uuid;

use super::agent_figures::FiguresShown;
use super::agents::{AgentRow, capabilities};
use super::form::Form;
use super::frame::{Frame, html};
use super::presentation::Moment;
use super::task::type_page;
use super::tasks::{Row, rows};
use crate::http::api::agent_figures::with_figures;
use crate::http::api::tasks::pages;
use crate::http::app::{App, Routes};
use crate::http::error::ApiError;
use crate::http::request_log;

pub(super) fn routes() -> Routes {
    vec![
        ("/dashboard/agents/{agent_id}", get(page)),
        ("/dashboard/agents/{agent_id}/pause", post(pause)),
        ("/dashboard/agents/{agent_id}/resume", post(resume)),
        ("/dashboard/agents/{agent_id}/forget", post(forget)),
    ]
}

/// So many of an agent's newest tasks are shown.
const NEWEST: u32 = 20;

#[derive(Template)]
#[template(path = "dashboard/agent.html")]
struct AgentPage<'p> {
    frame: &'p Frame,
    section: &'static str,
    row: AgentRow,
    figures: FiguresShown,
    said: Option<&'static str>,
    paused: Option<Moment>,
    running: Vec<RunningRow>,
    more_running: bool,
    /// What it offers: type, version, address of the page; `None` if that cannot be told.
    offers: Option<Vec<(String, i64, String)>>,
    newest: Vec<Row>,
}

/// A task that the agent runs.
struct RunningRow {
    task: RunningTask,
    claimed: Moment,
    since: Duration,
    deadline: Option<Moment>,
}

type AgentId = Result<Path<String>, PathRejection>;

fn agent_id_of(agent_id: AgentId) -> Result<Uuid, ApiError> {
    let id = agent_id.ok().and_then(|Path(text)| parse_id(&text)).ok_or(Refusal::UnknownAgent)?;
    request_log::agent(id);
    Ok(id)
}

async fn page(
    frame: Frame,
    State(app): State<App>,
    agent_id: AgentId,
    RawQuery(query): RawQuery,
) -> Response {
    let page = pin!(async {
        let id = agent_id_of(agent_id)?;
        let seen_since = app.active_since().await;
        let found = app.store.agent_details(id).await.map_err(|error| app.read_failed(&error))?;
        let AgentDetails { agent, tasks, more_tasks } = found.ok_or(Refusal::UnknownAgent)?;
        let known = with_figures(&app, vec![agent]).await.map_err(|error| app.read_failed(&error))?.pop();
        let (agent, figures) = known.ok_or(Refusal::UnknownAgent)?;
        let filter = TaskFilter { agent_id: Some(id), ..TaskFilter::default() };
        let order = ListOrder::NewestFirst;
        let query_of_tasks = TaskQuery { filter, order, after: None, up_to: None, limit: NEWEST };
        let newest = pages::read(&app, query_of_tasks).await;
        let newest = newest.map_err(|error| app.read_failed(&error))?.tasks;
        let said = match Form::of(query.unwrap_or_default().as_bytes()).text("said").as_str() {
            "paused" => Some("The agent is paused: it is handed no more tasks. What it runs goes on."),
            "resumed" => Some("The agent is resumed: it is handed tasks again."),
            _ => None,
        };
        let running = tasks.into_iter().map(|task| RunningRow {
            claimed: Moment(task.claimed),
            since: frame.since(task.claimed),
            deadline: task.deadline.map(Moment),
            task,
        });
        let running = running.collect();
        let offers = capabilities(&agent).map(|offered| {
            let with_page = |(name, version): (String, i64)| {
                let page = type_page(&name, version);
                (name, version, page)
            };
            offered.into_iter().map(with_page).collect()
        });
        Ok(html(&AgentPage {
            frame: &frame,
            section: "agents",
            paused: agent.paused_since.map(Moment),
            row: AgentRow::of(agent, seen_since, &frame),
            figures: FiguresShown::of(figures, &frame),
            said,
            running,
            more_running: more_tasks,
            offers,
            newest: rows(newest, &frame),
        }))
    });
    frame.answer(&app, page).await
}

async fn pause(frame: Frame, State(app): State<App>, agent_id: AgentId) -> Response {
    operate(&frame, &app, agent_id, |id| Operation::Pause(PauseTarget::Agent(id)), "paused").await
}

async fn resume(frame: Frame, State(app): State<App>, agent_id: AgentId) -> Response {
    operate(&frame, &app, agent_id, |id| Operation::Resume(PauseTarget::Agent(id)), "resumed").await
}

async fn forget(frame: Frame, State(app): State<App>, agent_id: AgentId) -> Response {
    operate(&frame, &app, agent_id, Operation::Forget, "forgotten").await
}

async fn operate(
    frame: &Frame,
    app: &App,
    agent_id: AgentId,
    operation: fn(Uuid) -> Operation,
    said: &str,
) -> Response {
    let page = pin!(async {
        let id = agent_id_of(agent_id)?;
        app.committer.operate(operation(id)).await??;
        // An agent that was forgotten has no page any more.
        let page = if said == "forgotten" { "agents".to_owned() } else { format!("agents/{id}") };
        Ok(frame.lead_to(&format!("{page}?said={said}")))
    });
    frame.answer(app, page).await
}
