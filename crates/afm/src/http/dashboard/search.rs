//! Finds what a text names, and leads to its page.

use std::pin::pin;

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use axum::routing::get;
use slamon_protocol::parse_id;

use super::form::Form;
use super::frame::{Frame, html};
use crate::http::app::App;
use crate::http::routes::Routes;

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
        if let Some(id) = parse_id(wanted) {
            let task = app.store.small_task(id).await.map_err(|error| app.read_failed(&error))?;
            if task.is_some() {
                return Ok(frame.lead_to(&format!("tasks/{id}")));
            }
        }
        Ok(html(&NothingFound { frame: &frame, section: "", wanted }))
    });
    frame.answer(&app, page).await
}
