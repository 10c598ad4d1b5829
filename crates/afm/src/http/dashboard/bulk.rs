//! Cancels many tasks, or posts them again: first a page names how many, then it is done.

use std::pin::pin;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use slamon_protocol::parse_id;
use tokio::time::Instant;
use uuid::Uuid;

use super::form::Form;
use super::frame::{Frame, html, html_with};
use super::presentation::count;
use super::tasks::Filters;
use crate::http::api::tasks::change::action::Action;
use crate::http::api::tasks::change::{by_filter, by_ids};
use crate::http::app::{App, Routes};
use crate::http::error::{ApiError, invalid};
use crate::http::posted_in::PostedIn;

pub(super) fn routes() -> Routes {
    vec![("/dashboard/bulk", post(ask)), ("/dashboard/bulk/confirmed", post(change))]
}

/// The page on which the number of tasks is confirmed.
#[derive(Template)]
#[template(path = "dashboard/confirm.html")]
struct ConfirmPage<'p> {
    frame: &'p Frame,
    section: &'static str,
    action: Action,
    /// What is about to be done, with the number.
    question: String,
    filters: &'p Filters,
    ids: &'p [Uuid],
    /// Under which ids they are posted again, also if the form is sent twice.
    new_ids: Vec<Uuid>,
    token: Option<Uuid>,
    /// Whether somebody wanted to choose tasks, and did not.
    is_nothing: bool,
    /// Whether there is anything to be done.
    is_any: bool,
}

/// The page that says what was done.
#[derive(Template)]
#[template(path = "dashboard/changed.html")]
struct ChangedPage<'p> {
    frame: &'p Frame,
    section: &'static str,
    action: Action,
    sentence: String,
    class: &'static str,
    filters: &'p Filters,
    /// With it, the rest can be done.
    token: Option<Uuid>,
    failures: Vec<(Uuid, String)>,
    new: Vec<Uuid>,
}

/// What a form asks for.
struct Asked {
    action: Action,
    filters: Filters,
    /// The chosen tasks, which may be none; `None`: all that match the filters.
    ids: Option<Vec<Uuid>>,
}

impl Asked {
    fn of(form: &Form) -> Result<Self, ApiError> {
        let (action, all) = match form.text("act").as_str() {
            "cancel" => (Action::Cancel, false),
            "again" => (Action::Retry, false),
            "cancel-all" => (Action::Cancel, true),
            "again-all" => (Action::Retry, true),
            _ => return Err(invalid("act", "must be one of cancel, again, cancel-all, again-all")),
        };
        let filters = Filters::of(form);
        if all {
            return Ok(Self { action, filters, ids: None });
        }
        let ids = ids_of(form, "task_id")?;
        match ids.len() {
            0..=MOST => Ok(Self { action, filters, ids: Some(ids) }),
            _ => Err(invalid("task_id", "choose at most 1,000 tasks, or all that match")),
        }
    }

    /// Whether somebody wanted to choose tasks, and did not.
    fn is_nothing(&self) -> bool {
        self.ids.as_ref().is_some_and(Vec::is_empty)
    }
}

fn ids_of(form: &Form, name: &str) -> Result<Vec<Uuid>, ApiError> {
    form.all(name).map(|id| parse_id(id).ok_or_else(|| invalid(name, "must be a UUID"))).collect()
}

/// So many tasks can be chosen.
const MOST: usize = 1_000;

async fn ask(frame: Frame, State(app): State<App>, form: Result<Form, ApiError>) -> Response {
    let page = pin!(async {
        let asked = Asked::of(&form?)?;
        let (tasks, more, token) = match &asked.ids {
            Some(ids) => (ids.len(), false, None),
            None => {
                let deadline = Instant::now() + app.settings.request_timeout;
                let (filter, _) = asked.filters.read()?;
                let counted = by_filter::count(&app, asked.action, filter, deadline).await?;
                (counted.count, counted.more, Some(counted.token))
            }
        };
        let tasks_in_words =
            format!("{}{}", if more { "at least " } else { "" }, count(tasks as u64, "task"));
        let question = match asked.action {
            _ if asked.is_nothing() => "No task is chosen".to_owned(),
            Action::Cancel => format!("Cancel {tasks_in_words}?"),
            Action::Retry => format!("Post {tasks_in_words} again?"),
        };
        let status = if asked.is_nothing() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
        let page = ConfirmPage {
            frame: &frame,
            section: "tasks",
            action: asked.action,
            is_nothing: asked.is_nothing(),
            question,
            filters: &asked.filters,
            ids: asked.ids.as_deref().unwrap_or_default(),
            new_ids: match asked.action {
                Action::Cancel => Vec::new(),
                Action::Retry => asked.ids.iter().flatten().map(|_| Uuid::new_v4()).collect(),
            },
            token,
            is_any: tasks > 0 || more,
        };
        Ok(html_with(status, &page))
    });
    frame.answer(&app, page).await
}

async fn change(frame: Frame, State(app): State<App>, form: Result<Form, ApiError>) -> Response {
    let page = pin!(async {
        let form = form?;
        let asked = Asked::of(&form)?;
        // What has been done by then is told.
        let deadline = Instant::now() + app.settings.request_timeout * 9 / 10;
        let mut page = ChangedPage {
            frame: &frame,
            section: "tasks",
            action: asked.action,
            sentence: String::new(),
            class: "good",
            filters: &asked.filters,
            token: None,
            failures: Vec::new(),
            new: Vec::new(),
        };
        let (done, refused) = match &asked.ids {
            Some(ids) => {
                let new_ids = ids_of(&form, "new_task_id")?;
                let new_ids = Some(new_ids).filter(|new_ids| !new_ids.is_empty());
                if let Some(new_ids) = &new_ids {
                    by_ids::check_new_ids(asked.action, ids, new_ids)?;
                }
                let changed = by_ids::change(
                    &app,
                    asked.action,
                    ids,
                    new_ids.as_deref(),
                    PostedIn::default(),
                    deadline,
                )
                .await;
                for task in changed.results {
                    page.new.extend(task.new_task_id);
                    if let Some(detail) = task.detail {
                        page.failures.push((task.task_id, detail));
                    }
                }
                (ids.len() - page.failures.len(), page.failures.len())
            }
            None => {
                let token =
                    parse_id(&form.text("token")).ok_or_else(|| invalid("token", "must be a UUID"))?;
                let (filter, _) = asked.filters.read()?;
                let done =
                    by_filter::change(&app, asked.action, &filter, token, PostedIn::default(), deadline)
                        .await?;
                page.token = done.token;
                (done.changed, done.refused)
            }
        };
        page.sentence = sentence(asked.action, done, refused, page.token.is_some());
        if refused > 0 || page.token.is_some() {
            page.class = "busy";
        }
        Ok(html(&page))
    });
    frame.answer(&app, page).await
}

fn sentence(action: Action, done: usize, refused: usize, more: bool) -> String {
    let verb = match action {
        Action::Cancel => "cancelled",
        Action::Retry => "posted again",
    };
    let were = if done == 1 { "was" } else { "were" };
    let mut sentence = format!("{} {were} {verb}.", count(done as u64, "task"));
    if refused > 0 {
        let could =
            if refused == 1 { "could not be, as its state is" } else { "could not be, as their states are" };
        sentence.push_str(&format!(" {} {could}.", count(refused as u64, "task")));
    }
    if more {
        sentence.push_str(" There are more.");
    }
    sentence
}
