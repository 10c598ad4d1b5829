//! The page with the form that posts a task.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use serde_json::value::RawValue;
use slamon_domain::Submitted;
use slamon_protocol::{Invalid, JsonText, ObjectWriter, PostTask, parse_id};
use slamon_store::{TaskFilter, TaskQuery};
use uuid::Uuid;

use super::form::Form;
use super::frame::{Frame, html};
use super::pretty_json::pretty;
use super::suggestions::{Known, Suggestions};
use crate::http::access::Caller;
use crate::http::api::tasks::pages;
use crate::http::app::{App, Routes};
use crate::http::error::ApiError;
use crate::http::request_log;
use crate::http::routes::bpms;

pub(super) fn routes(known: &Arc<Known>) -> Routes {
    let [for_get, for_post] = [known, known].map(Arc::clone);
    let methods: MethodRouter<App> = get(move |frame: Frame, app: State<App>, query: RawQuery| {
        empty_form(frame, app, query, Arc::clone(&for_get))
    })
    .post(move |frame: Frame, app: State<App>, caller: Caller, form: Result<Form, ApiError>| {
        post(frame, app, caller, form, Arc::clone(&for_post))
    });
    vec![("/dashboard/post", methods)]
}

/// The fields of a task that are numbers: what is none is sent as a text, which is refused by its name.
const NUMBERS: [&str; 7] = [
    "task_version",
    "task_delay",
    "task_timeout",
    "task_ttl",
    "task_priority",
    "task_max_attempts",
    "task_retry_delay",
];

/// The parts of `agent_filter`, by their fields in the form.
const FILTER: [(&str, &str); 4] = [
    ("agent_filter.country", "country"),
    ("agent_filter.region", "region"),
    ("agent_filter.agent_id", "agent_id"),
    ("agent_filter.agent_name", "agent_name"),
];

/// The data of a task that is copied into the form are left out beyond this many bytes.
const MOST_COPIED: usize = 200_000;

#[derive(Template)]
#[template(path = "dashboard/post.html")]
struct PostPage<'p> {
    frame: &'p Frame,
    section: &'static str,
    form: &'p TaskForm,
    copied: Option<Uuid>,
    suggestions: Arc<Suggestions>,
    said: Option<String>,
}

/// The fields of the form, as texts, and what is wrong with them.
#[derive(Debug, Default)]
pub(super) struct TaskForm {
    values: BTreeMap<&'static str, String>,
    pub(super) problems: BTreeMap<String, String>,
}

async fn empty_form(
    frame: Frame,
    State(app): State<App>,
    RawQuery(query): RawQuery,
    known: Arc<Known>,
) -> Response {
    let page = pin!(async {
        let query = Form::of(query.unwrap_or_default().as_bytes());
        let from = parse_id(&query.text("from"));
        let task = match from {
            Some(id) => Some(bpms::read(&app, id).await?.ok_or(ApiError::UnknownTask)?),
            None => None,
        };
        let mut form = task.as_ref().map_or_else(TaskForm::empty, |task| TaskForm::of_task(&task.posted));
        for name in ["task_type", "task_version", "test_id"] {
            if query.has(name) {
                form.values.insert(name, query.text(name));
            }
        }
        Ok(show(&frame, &form, from, None, known.get(&app).await))
    });
    frame.answer(&app, page).await
}

async fn post(
    frame: Frame,
    State(app): State<App>,
    caller: Caller,
    form: Result<Form, ApiError>,
    known: Arc<Known>,
) -> Response {
    let page = pin!(async {
        let sent = form?;
        let mut form = TaskForm::sent(&sent);
        if sent.has("fill") {
            return form.fill_in_last(&frame, &app, &known).await;
        }
        let mut task = match form.task(&app) {
            Ok(task) => task,
            Err(invalid) => return Ok(form.refused(&frame, &invalid, known.get(&app).await)),
        };
        caller.posts(&mut task)?;
        let id = task.task_id;
        match submit(&app, task).await {
            Ok(()) => Ok(frame.lead_to(&format!("tasks/{id}"))),
            Err(ApiError::Refused(refusal)) => {
                let problem = refusal.to_string();
                let problem = problem.strip_prefix("task_id: ").unwrap_or(&problem);
                form.problems.insert("task_id".to_owned(), problem.to_owned());
                Ok(show(&frame, &form, None, None, known.get(&app).await))
            }
            Err(error) => Err(error),
        }
    });
    frame.answer(&app, page).await
}

/// Names the list of what a field offers.
fn list(name: &str) -> Option<&'static str> {
    match name {
        "task_type" => Some("types"),
        "agent_filter.country" => Some("countries"),
        "agent_filter.region" => Some("regions"),
        "agent_filter.agent_name" => Some("names"),
        "agent_filter.agent_id" => Some("agents"),
        _ => None,
    }
}

/// Posts a task, as `POST /task` does.
pub(super) async fn submit(app: &App, task: PostTask) -> Result<(), ApiError> {
    request_log::task(task.task_id);
    if app.committer.submit(task).await?? == Submitted::Repeated {
        request_log::note("the same task was there already");
    }
    Ok(())
}

fn show(
    frame: &Frame,
    form: &TaskForm,
    copied: Option<Uuid>,
    said: Option<String>,
    suggestions: Arc<Suggestions>,
) -> Response {
    html(&PostPage { frame, section: "post", form, copied, suggestions, said })
}

impl TaskForm {
    /// The form with nothing but fresh ids.
    fn empty() -> Self {
        let mut form = Self::default();
        form.values.insert("task_version", "1".to_owned());
        form.fresh_ids();
        form
    }

    fn fresh_ids(&mut self) {
        self.values.insert("task_id", Uuid::new_v4().to_string());
        self.values.entry("test_id").or_insert_with(|| Uuid::new_v4().to_string());
    }

    /// The form with what a task was posted with, for another one.
    fn of_task(task: &PostTask) -> Self {
        let mut form = Self::default();
        let mut set = |name, value: String| form.values.insert(name, value);
        set("task_type", task.task_type.clone());
        set("task_version", task.task_version.to_string());
        set("test_id", task.test_id.to_string());
        if let Some(data) = &task.task_data {
            let data = pretty(data.as_str(), MOST_COPIED);
            if !data.is_cut {
                set("task_data", data.text);
            }
        }
        let terms = &task.terms;
        let usual = slamon_protocol::Terms::default();
        let seconds = |time: Duration| time.as_secs_f64().to_string();
        for (name, time) in [("task_ttl", terms.ttl), ("task_timeout", terms.timeout)] {
            if let Some(time) = time {
                set(name, seconds(time));
            }
        }
        for (name, time) in [("task_delay", terms.delay), ("task_retry_delay", terms.retry_delay)] {
            if !time.is_zero() {
                set(name, seconds(time));
            }
        }
        if terms.priority != usual.priority {
            set("task_priority", terms.priority.to_string());
        }
        if terms.max_attempts != usual.max_attempts {
            set("task_max_attempts", terms.max_attempts.to_string());
        }
        if terms.retry_errors {
            set("task_retry_errors", "true".to_owned());
        }
        let filter = &terms.agent_filter;
        let id = filter.agent_id.map(|id| id.to_string());
        let parts = [&filter.country, &filter.region, &id, &filter.agent_name];
        for ((name, _), value) in FILTER.iter().zip(parts) {
            if let Some(value) = value {
                set(name, value.clone());
            }
        }
        form.fresh_ids();
        form
    }

    /// The form as a browser has sent it.
    fn sent(form: &Form) -> Self {
        let texts = ["task_type", "task_data", "task_id", "test_id", "task_retry_errors"];
        let filter = FILTER.iter().map(|(name, _)| *name);
        let names = texts.into_iter().chain(NUMBERS).chain(filter);
        Self { values: names.map(|name| (name, form.text(name))).collect(), problems: BTreeMap::new() }
    }

    /// Reads the task as `POST /task` would, by the same rules.
    fn task(&self, app: &App) -> Result<PostTask, Invalid> {
        let problem = |field: &str, problem: &str| Invalid {
            field: Some(field.to_owned()),
            problem: problem.to_owned(),
        };
        if self.value("task_type").is_empty() {
            return Err(problem("task_type", "is required"));
        }
        let mut body = ObjectWriter::new();
        body.string("task_type", self.value("task_type"));
        for name in ["task_id", "test_id"] {
            body.string(name, self.value(name).trim());
        }
        for name in NUMBERS {
            let text = self.value(name).trim();
            if !text.is_empty() {
                body.json(name, &number(text));
            } else if name == "task_version" {
                return Err(problem(name, "is required"));
            }
        }
        let data = self.value("task_data").trim();
        if !data.is_empty() {
            let is_json = serde_json::from_str::<&RawValue>(data);
            is_json.map_err(|error| problem("task_data", &format!("is not valid JSON: {error}")))?;
            body.json("task_data", &JsonText::from_stored(data.to_owned()));
        }
        if self.value("task_retry_errors") == "true" {
            body.boolean("task_retry_errors", true);
        }
        let mut filter = ObjectWriter::new();
        let mut has_filter = false;
        for (name, part) in FILTER {
            if !self.value(name).is_empty() {
                filter.string(part, self.value(name));
                has_filter = true;
            }
        }
        if has_filter {
            body.json("agent_filter", &JsonText::from_stored(filter.finish()));
        }
        PostTask::parse_within(&body.finish(), &app.settings.limits)
    }

    /// Puts the data of the last task of the type into the form.
    async fn fill_in_last(&mut self, frame: &Frame, app: &App, known: &Known) -> Result<Response, ApiError> {
        let filter =
            TaskFilter { task_type: Some(self.value("task_type").to_owned()), ..TaskFilter::default() };
        let query = TaskQuery { filter, limit: 1, ..TaskQuery::default() };
        let listed = pages::read(app, query).await.map_err(|error| app.read_failed(&error))?;
        let last = match listed.tasks.first() {
            Some(task) => bpms::read(app, task.task_id).await?,
            None => None,
        };
        let Some(last) = last else {
            self.problems.insert("task_type".to_owned(), "no task of this type is stored".to_owned());
            return Ok(show(frame, self, None, None, known.get(app).await));
        };
        let data = last.posted.task_data.as_ref().map(|data| pretty(data.as_str(), MOST_COPIED));
        self.values.insert("task_version", last.posted.task_version.to_string());
        self.values
            .insert("task_data", data.filter(|data| !data.is_cut).map(|data| data.text).unwrap_or_default());
        let said = format!("These are the data of task {}, the last of this type.", last.posted.task_id);
        Ok(show(frame, self, None, Some(said), known.get(app).await))
    }

    fn refused(&mut self, frame: &Frame, invalid: &Invalid, suggestions: Arc<Suggestions>) -> Response {
        let field = invalid.field.as_deref().unwrap_or_default();
        // What has no field of its own is said above the form.
        let known = self.values.contains_key(field);
        let (place, problem) =
            if known { (field, invalid.problem.clone()) } else { ("", invalid.to_string()) };
        self.problems.insert(place.to_owned(), problem);
        show(frame, self, None, None, suggestions)
    }

    fn value(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    fn problem(&self, name: &str) -> Option<&str> {
        self.problems.get(name).map(String::as_str)
    }

    fn has_problems(&self) -> bool {
        !self.problems.is_empty()
    }
}

/// Returns a number as it was written, or else a string, which the rules refuse by name.
fn number(text: &str) -> JsonText {
    let begins = text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    if begins && serde_json::from_str::<&RawValue>(text).is_ok() {
        JsonText::from_stored(text.to_owned())
    } else {
        JsonText::string(text)
    }
}
