//! The list of task types, the page of one, and their pauses.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use axum::routing::{get, post};
use slamon_domain::{Operation, PauseTarget, Pauses};
use slamon_protocol::Capability;
use slamon_store::{
    AgentQuery, Counter, Counters, ListOrder, OffersQuery, StoreError, TaskCounts, TaskFilter, TaskQuery,
};

use super::agents::{self, AgentRow};
use super::form::Form;
use super::frame::{Frame, html};
use super::presentation::{Moment, duration, part};
use super::task::type_page;
use super::tasks::{Row, rows};
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

/// So many types with tasks are listed.
const TYPES: u32 = 500;

/// So many tasks and agents of a type are shown.
const SHOWN: u32 = 20;

#[derive(Template)]
#[template(path = "dashboard/types.html")]
struct TypesPage<'p> {
    frame: &'p Frame,
    section: &'static str,
    types: Vec<TypeRow>,
    has_more: bool,
}

/// A type in the list.
struct TypeRow {
    capability: Capability,
    page: String,
    counts: TaskCounts,
    counters: Counters,
    queue: Option<String>,
    run: Option<String>,
    is_paused: bool,
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
    agents: Vec<AgentRow>,
    newest: Vec<Row>,
    query: String,
}

async fn list(frame: Frame, State(app): State<App>) -> Response {
    let page = pin!(async {
        let read = async {
            let counted = app.store.counts_by_type(TYPES, None).await?;
            let seen_since = app.active_since().await;
            let offered =
                app.store.list_offers(OffersQuery { seen_since, limit: TYPES, after: None }).await?;
            let figures = app.overview_figures().await?;
            Ok::<_, StoreError>((counted, offered, figures, app.store.pauses().await?))
        };
        let (counted, offered, figures, pauses) = read.await.map_err(|error| app.read_failed(&error))?;
        let has_more = counted.len() >= TYPES as usize || offered.next.is_some();
        let offered: BTreeSet<Capability> =
            offered.items.into_iter().map(|of_type| of_type.capability).collect();
        let counts: BTreeMap<Capability, TaskCounts> =
            counted.into_iter().map(|of_type| (of_type.capability, of_type.counts)).collect();
        let times: BTreeMap<&Capability, &TypeTimes> = figures
            .types
            .iter()
            .filter_map(|of_type| Some((of_type.capability.as_deref()?, of_type)))
            .collect();
        let known: BTreeSet<&Capability> = counts
            .keys()
            .chain(times.keys().copied())
            .chain(&offered)
            .chain(pauses.versions.keys())
            .collect();
        let row = |capability: &Capability| {
            let times = times.get(capability);
            let median = |times: Option<[std::time::Duration; 3]>| {
                times.map(|[half, most, _]| format!("{} / {}", duration(half), duration(most)))
            };
            TypeRow {
                page: type_page(&capability.task_type, capability.version),
                counts: counts.get(capability).copied().unwrap_or_default(),
                counters: times.map(|times| times.counters).unwrap_or_default(),
                queue: times.and_then(|times| median(times.queue)),
                run: times.and_then(|times| median(times.run)),
                is_paused: pauses.of_version(capability).is_some(),
                capability: capability.clone(),
            }
        };
        let types = known.into_iter().map(row).collect();
        Ok(html(&TypesPage { frame: &frame, section: "types", types, has_more }))
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
        let capability = Capability { task_type, version: version_of(&version)? };
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
    // The texts of a type may have line breaks, which must stay as they are.
    let task_type = form.all("task_type").next().unwrap_or_default().to_owned();
    Ok(Capability { task_type, version: version_of(&form.text("task_version"))? })
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
        let newest = app.store.list_tasks(Arc::new(newest)).await?;
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
        agents: agents.into_iter().map(|agent| AgentRow::of(agent, seen_since, frame)).collect(),
        newest: rows(newest, frame),
        query: format!("task_type={}&task_version={}", part(&capability.task_type), capability.version),
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
        let capability = capability_of(&form)?;
        let target = if form.has("all") {
            PauseTarget::Type(capability.task_type.clone())
        } else {
            PauseTarget::Version(capability.clone())
        };
        let operation = if said == "paused" { Operation::Pause(target) } else { Operation::Resume(target) };
        app.committer.operate(operation).await??;
        let page = type_page(&capability.task_type, capability.version);
        let mark = if page.contains('?') { '&' } else { '?' };
        Ok(frame.lead_to(&format!("{page}{mark}said={said}")))
    });
    frame.answer(app, page).await
}
