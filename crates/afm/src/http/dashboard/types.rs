//! The list of task types, the page of one, and their pauses.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use axum::routing::{get, post};
use slamon_domain::{Operation, PauseTarget, Pauses};
use slamon_protocol::Capability;
use slamon_store::{AgentQuery, ListOrder, StoreError, TaskCounts, TaskFilter, TaskQuery};

use super::agent_figures::HourShown;
use super::agents::{self, AgentRow};
use super::form::Form;
use super::frame::{Frame, html};
use super::presentation::{Badge, Moment, duration, number, part};
use super::task::{type_page, type_query};
use super::tasks::{Row, rows};
use crate::http::api::last_hour::LastHour;
use crate::http::api::query::Query;
use crate::http::api::tasks::pages;
use crate::http::api::type_list::{OfferingAgents, Place, TypeInVersion, TypeReader};
use crate::http::app::{App, Routes};
use crate::http::error::{ApiError, invalid};
use crate::statistics::TypeTimes;

pub(super) fn routes() -> Routes {
    vec![
        ("/dashboard/types", get(list)),
        ("/dashboard/types/{task_type}/{task_version}", get(page_by_path)),
        // Some types do not survive as a part of a path: see `type_page`.
        ("/dashboard/types/one", get(page_by_query)),
        ("/dashboard/types/pause", post(pause)),
        ("/dashboard/types/resume", post(resume)),
    ]
}

/// So many types are on a page.
const TYPES: u32 = 100;

/// So many tasks and agents of a type are shown.
const SHOWN: u32 = 20;

#[derive(Template)]
#[template(path = "dashboard/types.html")]
struct TypesPage<'p> {
    frame: &'p Frame,
    section: &'static str,
    types: Vec<TypeRow>,
    said: Option<&'static str>,
    /// The query of the next page.
    next: Option<String>,
    /// Whether this is the first page.
    is_first: bool,
}

/// A type in the list.
struct TypeRow {
    listed: TypeInVersion,
    /// The address of what its name leads to, below that of the overview.
    page: String,
    badge: Badge,
    agents: String,
    /// When they were counted, if that was not now.
    agents_at: Option<Moment>,
    /// How many tasks wait and run; `None` until they have been counted.
    waiting: Option<String>,
    running: Option<String>,
    /// What of its tasks ended in the last hour; `None` if that is not known.
    hour: Option<HourShown>,
    queue: Option<String>,
    run: Option<String>,
}

impl TypeRow {
    fn of(listed: TypeInVersion, times: Option<&TypeTimes>) -> Self {
        let median = |times: Option<[std::time::Duration; 3]>| {
            times.map(|[half, most, _]| format!("{} / {}", duration(half), duration(most)))
        };
        Self {
            page: listed.task_version.map_or_else(
                || format!("tasks?task_type={}", part(&listed.task_type)),
                |version| type_page(&listed.task_type, version),
            ),
            badge: badge(&listed),
            agents: agents_in_words(&listed.agents),
            agents_at: listed.agents.counted.map(Moment),
            waiting: listed.tasks.as_ref().map(|tasks| number(tasks.waiting)),
            running: listed.tasks.as_ref().map(|tasks| number(tasks.running)),
            hour: listed.last_hour.map(HourShown::from),
            queue: times.and_then(|times| median(times.queue)),
            run: times.and_then(|times| median(times.run)),
            listed,
        }
    }
}

fn badge(listed: &TypeInVersion) -> Badge {
    let waits = listed.tasks.as_ref().is_some_and(|tasks| tasks.waiting > 0);
    match listed {
        TypeInVersion { paused_since: Some(_), .. } => Badge { word: "paused", class: "busy" },
        TypeInVersion { offered: true, agents, .. } if agents.active > 0 || !agents.is_complete => {
            Badge { word: "offered", class: "good" }
        }
        // Nobody can take what waits.
        TypeInVersion { offered: true, .. } => {
            Badge { word: "agents lost", class: if waits { "bad" } else { "calm" } }
        }
        _ => Badge { word: "not offered", class: if waits { "bad" } else { "calm" } },
    }
}

fn agents_in_words(agents: &OfferingAgents) -> String {
    match agents {
        OfferingAgents { is_complete: false, active, silent, .. } => {
            format!("at least {}", number(active + silent))
        }
        OfferingAgents { silent: 0, active, .. } => number(active),
        OfferingAgents { silent, active, .. } => format!("{}, {} lost", number(active), number(silent)),
    }
}

#[derive(Template)]
#[template(path = "dashboard/type.html")]
struct TypePage<'p> {
    frame: &'p Frame,
    section: &'static str,
    capability: &'p Capability,
    said: Option<&'static str>,
    paused: Option<Moment>,
    /// Whether all versions are paused.
    all_paused: bool,
    counts: TaskCounts,
    times: Option<&'p TypeTimes>,
    hour: Option<HourShown>,
    agents: Vec<AgentRow>,
    newest: Vec<Row>,
    query: String,
}

async fn list(frame: Frame, State(app): State<App>, RawQuery(query): RawQuery) -> Response {
    let page = pin!(async {
        let query = query.unwrap_or_default();
        let place = Place::take(&mut Query::of(Some(&query)))?;
        let form = Form::of(query.as_bytes());
        let read = async {
            let reader = TypeReader::begin(&app).await?;
            let (mut types, next) = reader.page(place, TYPES).await?;
            let figures = app.overview_figures().await?;
            if next.is_none() {
                // Behind the end of the list come those that had tasks lately.
                let lately =
                    figures.types.iter().filter_map(|of_type| of_type.capability.as_deref().cloned());
                types.extend(reader.unlisted(lately.collect()).await?);
            }
            Ok::<_, StoreError>((types, next, figures))
        };
        let (types, next, figures) = read.await.map_err(|error| app.read_failed(&error))?;
        let times: BTreeMap<(&str, Option<i64>), &TypeTimes> = figures
            .types
            .iter()
            .filter_map(|of_type| {
                let Capability { task_type, version } = of_type.capability.as_deref()?;
                Some(((task_type.as_str(), Some(*version)), of_type))
            })
            .collect();
        let row = |listed: TypeInVersion| {
            let times = times.get(&(listed.task_type.as_str(), listed.task_version)).copied();
            TypeRow::of(listed, times)
        };
        Ok(html(&TypesPage {
            frame: &frame,
            section: "types",
            types: types.into_iter().map(row).collect(),
            said: match form.text("said").as_str() {
                "resumed" => Some("The type is resumed in all versions: its tasks are handed out again."),
                _ => None,
            },
            next: next.map(|next| format!("cursor={}", next.cursor())),
            is_first: !form.has("cursor"),
        }))
    });
    frame.answer(&app, page).await
}

async fn page_by_path(
    frame: Frame,
    State(app): State<App>,
    path: Result<Path<(String, String)>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Response {
    let page = pin!(async {
        let Path((task_type, version)) = path.map_err(|_| ApiError::UnknownPath)?;
        let capability = Capability { task_type: storable(task_type)?, version: version_of(&version)? };
        show(&frame, &app, &capability, &said(query)).await
    });
    frame.answer(&app, page).await
}

async fn page_by_query(frame: Frame, State(app): State<App>, RawQuery(query): RawQuery) -> Response {
    let page = pin!(async {
        let form = Form::of(query.clone().unwrap_or_default().as_bytes());
        show(&frame, &app, &capability_of(&form)?, &said(query)).await
    });
    frame.answer(&app, page).await
}

fn said(query: Option<String>) -> String {
    Form::of(query.unwrap_or_default().as_bytes()).text("said")
}

fn version_of(text: &str) -> Result<i64, ApiError> {
    text.parse().map_err(|_| invalid("task_version", "must be an integer of at most 64 bits"))
}

fn capability_of(form: &Form) -> Result<Capability, ApiError> {
    Ok(Capability { task_type: type_of(form)?, version: version_of(&form.text("task_version"))? })
}

/// Returns the type that a form names. It may have line breaks, which must stay as they are.
fn type_of(form: &Form) -> Result<String, ApiError> {
    storable(form.all("task_type").next().unwrap_or_default().to_owned())
}

/// Refuses a type that no task can have, which PostgreSQL would not take even to look for it.
pub(super) fn storable(task_type: String) -> Result<String, ApiError> {
    if task_type.contains('\0') {
        return Err(invalid("task_type", "must not contain U+0000"));
    }
    Ok(task_type)
}

async fn show(frame: &Frame, app: &App, capability: &Capability, said: &str) -> Result<Response, ApiError> {
    let seen_since = app.active_since().await;
    let agents = AgentQuery {
        task_type: Some(capability.task_type.clone()),
        task_version: Some(capability.version),
        ..agents::all(seen_since, SHOWN)
    };
    let filter = TaskFilter {
        task_type: Some(capability.task_type.clone()),
        task_version: Some(capability.version),
        ..TaskFilter::default()
    };
    let order = ListOrder::NewestFirst;
    let newest = TaskQuery { filter, order, after: None, up_to: None, limit: SHOWN };
    let read = async {
        let counts = app.store.counts_of_types(Arc::from([capability.clone()])).await?;
        let (figures, pauses) = (app.overview_figures().await?, app.store.pauses().await?);
        let newest = pages::read(app, newest).await?;
        Ok::<_, StoreError>((
            counts,
            figures,
            pauses,
            newest.tasks,
            app.store.list_agents(agents).await?.items,
        ))
    };
    let (counts, figures, pauses, newest, agents) = read.await.map_err(|error| app.read_failed(&error))?;
    let times = figures.types.iter().find(|of_type| of_type.capability.as_deref() == Some(capability));
    Ok(html(&TypePage {
        frame,
        section: "types",
        capability,
        said: match said {
            "paused" => Some("The type is paused: its tasks wait. What runs goes on."),
            "resumed" => Some("The type is resumed: its tasks are handed out again."),
            _ => None,
        },
        paused: pauses.of_version(capability).map(Moment),
        all_paused: is_paused_as_a_whole(&pauses, capability),
        counts: counts.first().map(|of_type| of_type.counts).unwrap_or_default(),
        times,
        hour: figures.last_hour_of(capability).map(|counters| LastHour::from(&counters).into()),
        agents: agents.into_iter().map(|agent| AgentRow::of(agent, seen_since, frame)).collect(),
        newest: rows(newest, frame),
        query: type_query(&capability.task_type, capability.version),
    }))
}

fn is_paused_as_a_whole(pauses: &Pauses, capability: &Capability) -> bool {
    pauses.types.contains_key(&capability.task_type)
}

async fn pause(frame: Frame, State(app): State<App>, form: Result<Form, ApiError>) -> Response {
    operate(&frame, &app, form, "paused").await
}

async fn resume(frame: Frame, State(app): State<App>, form: Result<Form, ApiError>) -> Response {
    operate(&frame, &app, form, "resumed").await
}

async fn operate(frame: &Frame, app: &App, form: Result<Form, ApiError>, said: &'static str) -> Response {
    let page = pin!(async {
        let form = form?;
        let (target, page) = if form.has("all") && !form.has("task_version") {
            (PauseTarget::Type(type_of(&form)?), "types".to_owned())
        } else {
            let capability = capability_of(&form)?;
            let page = type_page(&capability.task_type, capability.version);
            let target = if form.has("all") {
                PauseTarget::Type(capability.task_type)
            } else {
                PauseTarget::Version(capability)
            };
            (target, page)
        };
        let operation = if said == "paused" { Operation::Pause(target) } else { Operation::Resume(target) };
        app.committer.operate(operation).await??;
        let mark = if page.contains('?') { '&' } else { '?' };
        Ok(frame.lead_to(&format!("{page}{mark}said={said}")))
    });
    frame.answer(app, page).await
}
