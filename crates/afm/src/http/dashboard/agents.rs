//! The list of agents.

use std::pin::pin;
use std::time::Duration;

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use axum::routing::get;
use slamon_store::{AgentQuery, AgentState, ListedAgent};

use super::agent_figures::FiguresShown;
use super::form::Form;
use super::frame::{Frame, html};
use super::places::{BESIDE, PlacesShown};
use super::presentation::{Badge, Moment, number, part};
use super::types::storable;
use crate::http::api::agent_figures::with_figures;
use crate::http::api::agents;
use crate::http::app::{App, Routes};
use crate::http::error::ApiError;

pub(super) fn routes() -> Routes {
    vec![("/dashboard/agents", get(page))]
}

/// So many agents are on a page.
const LIMIT: u32 = 100;

/// The states to choose from: value, label.
const STATES: [(&str, &str, AgentState); 3] = [
    ("active", "active", AgentState::Active),
    ("lost", "lost", AgentState::Lost),
    ("paused", "paused", AgentState::Paused),
];

#[derive(Template)]
#[template(path = "dashboard/agents.html")]
struct AgentsPage<'p> {
    frame: &'p Frame,
    section: &'static str,
    state: &'p str,
    name: &'p str,
    task_type: &'p str,
    country: &'p str,
    region: &'p str,
    is_filtered: bool,
    /// Where agents are, beside a list of all of them; `None` while they are counted for the first time.
    places: Option<PlacesShown>,
    /// Whether an agent was just forgotten, whose page led here.
    is_forgotten: bool,
    rows: Vec<(AgentRow, FiguresShown)>,
    /// The query of the next page.
    next: Option<String>,
}

/// An agent in a list.
pub(super) struct AgentRow {
    pub(super) agent: ListedAgent,
    pub(super) badge: Badge,
    pub(super) seen: Moment,
    pub(super) ago: Duration,
    /// What it offers, in words.
    pub(super) offers: String,
    pub(super) place: String,
}

impl AgentRow {
    pub(super) fn of(agent: ListedAgent, seen_since: jiff::Timestamp, frame: &Frame) -> Self {
        Self {
            badge: badge(agent.state(seen_since)),
            seen: Moment(agent.last_seen),
            ago: frame.since(agent.last_seen),
            offers: offers(&agent),
            place: place(&agent),
            agent,
        }
    }
}

/// Returns the state of an agent as a badge.
fn badge(state: AgentState) -> Badge {
    match state {
        AgentState::Active => Badge { word: "active", class: "good" },
        AgentState::Lost => Badge { word: "lost", class: "bad" },
        AgentState::Paused => Badge { word: "paused", class: "busy" },
    }
}

/// Lists types and versions that an agent offers.
pub(super) fn capabilities(agent: &ListedAgent) -> Option<Vec<(String, i64)>> {
    let text = agent.capabilities.as_ref()?;
    let offered: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text.as_str()).ok()?;
    let version = |value: &serde_json::Value| value.as_i64().or_else(|| value.get("version")?.as_i64());
    let pairs = offered.iter().filter_map(|(name, value)| Some((name.clone(), version(value)?)));
    Some(pairs.collect())
}

/// So many types of an agent are named in a list.
const OFFERS_NAMED: usize = 4;

fn offers(agent: &ListedAgent) -> String {
    let Some(offered) = capabilities(agent) else { return "many types".to_owned() };
    let named = offered.iter().take(OFFERS_NAMED);
    let named = named.map(|(name, version)| format!("{} {version}", super::presentation::name(name)));
    let mut text = named.collect::<Vec<_>>().join(", ");
    if offered.len() > OFFERS_NAMED {
        text.push_str(&format!(" and {} more", number(offered.len() - OFFERS_NAMED)));
    }
    if text.is_empty() { "nothing".to_owned() } else { text }
}

fn place(agent: &ListedAgent) -> String {
    let location = agent.location.as_ref();
    let location = location.and_then(|text| serde_json::from_str::<serde_json::Value>(text.as_str()).ok());
    let get = |name| location.as_ref().and_then(|at| at.get(name)?.as_str()).unwrap_or_default();
    [get("country"), get("region")].join(" ").trim().to_owned()
}

async fn page(frame: Frame, State(app): State<App>, RawQuery(query): RawQuery) -> Response {
    let page = pin!(async {
        let form = Form::of(query.unwrap_or_default().as_bytes());
        let [state, name, task_type, after] =
            ["state", "name", "task_type", "after"].map(|field| form.text(field).trim().to_owned());
        // They are told apart to the letter.
        let [country, region] =
            ["country", "region"].map(|field| form.all(field).next().unwrap_or_default().to_owned());
        let known = STATES.iter().find(|(value, ..)| *value == state);
        let seen_since = app.active_since().await;
        let given = |text: &String| (!text.is_empty()).then(|| text.clone());
        let query = AgentQuery {
            state: known.map(|(_, _, state)| *state),
            name: given(&name),
            task_type: given(&storable(task_type.clone())?),
            country: given(&country),
            region: given(&region),
            after: given(&after),
            ..all(seen_since, LIMIT)
        };
        let listed = agents::page(&app, query).await.map_err(|error| app.read_failed(&error))?;
        let fields = [
            ("state", &state),
            ("name", &name),
            ("task_type", &task_type),
            ("country", &country),
            ("region", &region),
        ];
        let pairs = fields.iter().filter(|(_, value)| !value.is_empty());
        let pairs: Vec<String> = pairs.map(|(name, value)| format!("{name}={}&", part(value))).collect();
        let next = listed.next.map(|next| format!("{}after={}", pairs.concat(), part(&next)));
        let agents = with_figures(&app, listed.items).await.map_err(|error| app.read_failed(&error))?;
        let row =
            |(agent, figures)| (AgentRow::of(agent, seen_since, &frame), FiguresShown::of(figures, &frame));
        let rows = agents.into_iter().map(row).collect();
        let is_first = pairs.is_empty() && after.is_empty();
        let places =
            if is_first { app.places().await.map_err(|error| app.read_failed(&error))? } else { None };
        Ok::<_, ApiError>(html(&AgentsPage {
            frame: &frame,
            section: "agents",
            state: &state,
            name: &name,
            task_type: &task_type,
            country: &country,
            region: &region,
            places: places.map(|places| PlacesShown::of(&places, BESIDE)),
            is_filtered: !pairs.is_empty(),
            is_forgotten: form.text("said") == "forgotten",
            rows,
            next,
        }))
    });
    frame.answer(&app, page).await
}

/// Asks for all agents.
pub(super) fn all(seen_since: jiff::Timestamp, limit: u32) -> AgentQuery {
    AgentQuery {
        state: None,
        task_type: None,
        task_version: None,
        country: None,
        region: None,
        id: None,
        name: None,
        seen_since,
        limit,
        after: None,
    }
}
