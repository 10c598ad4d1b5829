//! The page of a task, what can be done with it there, and its data and result as they came.

use std::pin::pin;
use std::sync::Arc;

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use axum::routing::{get, post};
use slamon_domain::{End, PendingReason, State as TaskState, Task};
use slamon_protocol::{JsonText, PostTask, parse_id};
use slamon_store::AttemptView;
use uuid::Uuid;

use super::form::Form;
use super::frame::{Frame, html};
use super::post::submit;
use super::presentation::{Badge, Moment, between, duration, part, size};
use super::pretty_json::{plain, pretty};
use super::timeline::{Event, timeline};
use crate::http::answer::json_text;
use crate::http::app::{App, Routes};
use crate::http::error::{ApiError, invalid};
use crate::http::routes::bpms::{self, TaskId};

/// Of data and results at most this many bytes are shown.
const SHOWN: usize = 20_000;

/// Of an error at most this many characters are shown.
const ERROR_SHOWN: usize = 2_000;

pub(super) fn routes() -> Routes {
    vec![
        ("/dashboard/tasks/{task_id}", get(page)),
        ("/dashboard/tasks/{task_id}/cancel", post(cancel)),
        ("/dashboard/tasks/{task_id}/again", post(post_again)),
        ("/dashboard/tasks/{task_id}/data", get(data)),
        ("/dashboard/tasks/{task_id}/result", get(result)),
        ("/dashboard/tasks/{task_id}/error", get(error)),
    ]
}

#[derive(Template)]
#[template(path = "dashboard/task.html")]
struct TaskPage<'p> {
    frame: &'p Frame,
    section: &'static str,
    task: &'p Task,
    /// Under which id it is posted again, also if the form is sent twice.
    new_id: Uuid,
    badge: Badge,
    has_ended: bool,
    said: Option<&'static Said>,
    why: Option<PendingReason>,
    error: Option<Text>,
    events: Vec<Event>,
    type_page: String,
    created: Moment,
    posted_since: std::time::Duration,
    terms: Vec<(&'static str, String)>,
    filter: Vec<(&'static str, String)>,
    result: Option<Text>,
    data: Option<Text>,
}

/// A text of a client, as far as it is shown.
struct Text {
    text: String,
    is_cut: bool,
    size: String,
}

/// What is said after something was done with the task.
struct Said {
    word: &'static str,
    class: &'static str,
    text: &'static str,
}

const SAID: [Said; 3] = [
    Said { word: "cancelled", class: "good", text: "The task was cancelled." },
    Said {
        word: "over",
        class: "calm",
        text: "The task had ended before it could be cancelled, and stays as it is.",
    },
    Said { word: "again", class: "good", text: "The task was posted again: this is the new one." },
];

async fn page(frame: Frame, State(app): State<App>, task_id: TaskId, RawQuery(query): RawQuery) -> Response {
    let page = pin!(async {
        let task = read(&app, task_id).await?;
        let (why, past) = bpms::surroundings(&app, &task).await?;
        let said = Form::of(query.unwrap_or_default().as_bytes()).text("said");
        // A link that somebody passes on says nothing that is not so.
        let is_cancelled = matches!(&task.state, TaskState::Ended { end: End::Cancelled(_), .. });
        let said =
            SAID.iter().find(|known| known.word == said && (known.word != "cancelled" || is_cancelled));
        Ok(show(&frame, &task, why, &past, said))
    });
    frame.answer(&app, page).await
}

async fn read(app: &App, task_id: TaskId) -> Result<Arc<Task>, ApiError> {
    let id = bpms::task_id_of(task_id)?;
    bpms::read(app, id).await?.ok_or(ApiError::UnknownTask)
}

async fn cancel(frame: Frame, State(app): State<App>, task_id: TaskId) -> Response {
    let page = pin!(async {
        let id = bpms::task_id_of(task_id)?;
        let said = match app.committer.cancel(id).await?.ok_or(ApiError::UnknownTask)? {
            Ok(_) => "cancelled",
            Err(slamon_domain::Refusal::CannotCancel) => "over",
            Err(other) => return Err(other.into()),
        };
        Ok(frame.lead_to(&format!("tasks/{id}?said={said}")))
    });
    frame.answer(&app, page).await
}

async fn post_again(
    frame: Frame,
    State(app): State<App>,
    task_id: TaskId,
    form: Result<Form, ApiError>,
) -> Response {
    let page = pin!(async {
        let form = form?;
        let task = read(&app, task_id).await?;
        let id = match form.all("task_id").next() {
            Some(id) => parse_id(id).filter(|id| *id != task.posted.task_id).ok_or_else(not_new)?,
            None => Uuid::new_v4(),
        };
        let again = PostTask { task_id: id, ..task.posted.clone() };
        submit(&app, again).await?;
        Ok(frame.lead_to(&format!("tasks/{id}?said=again")))
    });
    frame.answer(&app, page).await
}

fn not_new() -> ApiError {
    invalid("task_id", "must be a new UUID")
}

async fn data(frame: Frame, State(app): State<App>, task_id: TaskId) -> Response {
    raw(&frame, &app, task_id, |task| task.posted.task_data.as_ref()).await
}

async fn result(frame: Frame, State(app): State<App>, task_id: TaskId) -> Response {
    raw(&frame, &app, task_id, |task| outcome(task).and_then(Result::ok)).await
}

async fn error(frame: Frame, State(app): State<App>, task_id: TaskId) -> Response {
    raw(&frame, &app, task_id, |task| outcome(task).and_then(Result::err)).await
}

/// Answers with one JSON text of a task, as it came.
async fn raw(frame: &Frame, app: &App, task_id: TaskId, choose: fn(&Task) -> Option<&JsonText>) -> Response {
    let page = pin!(async {
        let task = read(app, task_id).await?;
        let text = choose(&task).ok_or(ApiError::UnknownPath)?;
        Ok(json_text(text.as_str().to_owned().into()))
    });
    frame.answer(app, page).await
}

fn outcome(task: &Task) -> Option<Result<&JsonText, &JsonText>> {
    match &task.state {
        TaskState::Ended { end, .. } => Some(end.outcome()),
        _ => None,
    }
}

fn show(
    frame: &Frame,
    task: &Task,
    why: Option<PendingReason>,
    past: &[AttemptView],
    said: Option<&'static Said>,
) -> Response {
    let outcome = outcome(task);
    html(&TaskPage {
        frame,
        section: "tasks",
        task,
        new_id: Uuid::new_v4(),
        badge: (&task.state).into(),
        has_ended: matches!(task.state, TaskState::Ended { .. }),
        said,
        error: outcome.and_then(Result::err).map(error_text),
        events: timeline(task, why.as_ref(), past),
        why,
        type_page: type_page(&task.posted.task_type, task.posted.task_version),
        created: Moment(task.created),
        posted_since: frame.since(task.created),
        terms: terms(task),
        filter: filter(task),
        result: outcome.and_then(Result::ok).map(json),
        data: task.posted.task_data.as_ref().map(json),
    })
}

fn json(text: &JsonText) -> Text {
    let shown = pretty(text.as_str(), SHOWN);
    Text { text: shown.text, is_cut: shown.is_cut, size: size(text.as_str().len()) }
}

fn error_text(text: &JsonText) -> Text {
    let plain = plain(text.as_str());
    let shown: String = plain.chars().take(ERROR_SHOWN).collect();
    Text { is_cut: shown.len() < plain.len(), text: shown, size: size(text.as_str().len()) }
}

/// Returns the address of the page of a type, below that of the overview.
pub(super) fn type_page(task_type: &str, task_version: i64) -> String {
    // Browsers and proxies take these for parts of a path of their own, also where they are escaped.
    let is_plain =
        !task_type.is_empty() && task_type != "." && task_type != ".." && !task_type.contains(['/', '\\']);
    let name = part(task_type);
    if is_plain {
        format!("types/{name}/{task_version}")
    } else {
        format!("types/one?task_type={name}&task_version={task_version}")
    }
}

/// Returns the filters of the list of a type's tasks.
pub(super) fn type_query(task_type: &str, task_version: i64) -> String {
    format!("task_type={}&task_version={task_version}", part(task_type))
}

fn terms(task: &Task) -> Vec<(&'static str, String)> {
    let terms = &task.posted.terms;
    let usual = slamon_protocol::Terms::default();
    let mut rows = Vec::new();
    let mut row = |name, is_shown: bool, value: String| {
        if is_shown {
            rows.push((name, value));
        }
    };
    row("Attempts", true, format!("{} of {}", task.attempts, terms.max_attempts));
    row("Priority", terms.priority != usual.priority, terms.priority.to_string());
    row("Delay", !terms.delay.is_zero(), duration(terms.delay));
    row("Timeout", terms.timeout.is_some(), terms.timeout.map(duration).unwrap_or_default());
    row("Time to live", terms.ttl.is_some(), terms.ttl.map(duration).unwrap_or_default());
    row("Retry delay", !terms.retry_delay.is_zero(), duration(terms.retry_delay));
    row("Errors", terms.retry_errors, "are tried again".to_owned());
    if let TaskState::Ended { at, .. } = &task.state {
        rows.push(("Life", duration(between(task.created, *at))));
    }
    rows
}

fn filter(task: &Task) -> Vec<(&'static str, String)> {
    let filter = &task.posted.terms.agent_filter;
    let id = filter.agent_id.map(|id| id.to_string());
    let parts = [
        ("Only in country", &filter.country),
        ("Only in region", &filter.region),
        ("Only agent named", &filter.agent_name),
        ("Only agent", &id),
    ];
    parts.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
}
