//! Finds what a text names, and leads to its page.

use std::pin::pin;

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use axum::routing::get;
use slamon_protocol::parse_id;
use slamon_store::{StoreError, TaskFilter, TaskQuery};

use super::form::Form;
use super::frame::{Frame, html};
use super::presentation::part;
use crate::http::api::tasks::pages;
use crate::http::app::{App, Routes};

pub(super) fn routes() -> Routes {
    vec![("/dashboard/search", get(search))]
}

#[derive(Template)]
#[template(path = "dashboard/search.html")]
struct NothingFound<'p> {
    frame: &'p Frame,
    section: &'static str,
    wanted: &'p str,
}

async fn search(frame: Frame, State(app): State<App>, RawQuery(query): RawQuery) -> Response {
    let page = pin!(async {
        let text = Form::of(query.unwrap_or_default().as_bytes()).text("q");
        let wanted = text.trim();
        let place = find(&app, wanted).await.map_err(|error| app.read_failed(&error))?;
        if let Some(place) = place {
            return Ok(frame.lead_to(&place));
        }
        Ok(html(&NothingFound { frame: &frame, section: "", wanted }))
    });
    frame.answer(&app, page).await
}

/// Returns the address of what a text names, below that of the overview.
async fn find(app: &App, wanted: &str) -> Result<Option<String>, StoreError> {
    if wanted.is_empty() {
        return Ok(None);
    }
    if let Some(id) = parse_id(wanted) {
        if app.store.small_task(id).await?.is_some() {
            return Ok(Some(format!("tasks/{id}")));
        }
        let of_test = TaskFilter { test_id: Some(id), ..TaskFilter::default() };
        if exists(app, of_test).await? {
            return Ok(Some(format!("tests/{id}")));
        }
        return Ok(app.store.agent_details(id).await?.map(|_| format!("agents/{id}")));
    }
    let of_type = TaskFilter { task_type: Some(wanted.to_owned()), ..TaskFilter::default() };
    Ok(exists(app, of_type).await?.then(|| format!("tasks?task_type={}", part(wanted))))
}

async fn exists(app: &App, filter: TaskFilter) -> Result<bool, StoreError> {
    let query = TaskQuery { filter, limit: 1, ..TaskQuery::default() };
    let found = pages::read(app, query).await?;
    // Where too many others had to be passed over, the list goes on to look.
    Ok(!found.tasks.is_empty() || found.next.is_some())
}
