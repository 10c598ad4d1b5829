//! The list of tasks, with its filters.

use std::pin::pin;
use std::sync::Arc;

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use axum::routing::get;
use jiff::Timestamp;
use slamon_domain::StateName;
use slamon_protocol::sql_time;
use slamon_store::{ListOrder, TaskFilter, TaskQuery, TaskSummary};

use super::form::Form;
use super::frame::{Frame, html};
use super::presentation::{Badge, Moment, between, duration, part, short};
use super::pretty_json::plain;
use super::suggestions::{Known, Suggestions};
use crate::http::api::cursor;
use crate::http::api::query::Query;
use crate::http::api::tasks::{filter, pages};
use crate::http::app::{App, Routes};
use crate::http::error::ApiError;

pub(super) fn routes(known: &Arc<Known>) -> Routes {
    let known = Arc::clone(known);
    let page =
        move |frame: Frame, app: State<App>, query: RawQuery| page(frame, app, query, Arc::clone(&known));
    vec![("/dashboard/tasks", get(page))]
}

/// So many tasks are on a page.
const LIMIT: u32 = 50;

/// The filters that are used most: name, label.
const FILTERS: [(&str, &str); 2] = [("task_type", "Type"), ("q", "Text in the error")];

/// The other filters.
const MORE_FILTERS: [(&str, &str); 6] = [
    ("task_version", "Version"),
    ("test_id", "Test id"),
    ("agent_id", "Agent id"),
    ("country", "For agents in country"),
    ("from", "Posted from (UTC)"),
    ("to", "Posted before (UTC)"),
];

/// The states to choose from: value, label.
const STATES: [(&str, &str); 9] = [
    ("pending", "waiting"),
    ("claimed", "running"),
    ("delayed", "delayed"),
    ("completed", "done"),
    ("failed", "failed, lost or timed out"),
    ("lost", "lost"),
    ("timed_out", "timed out"),
    ("expired", "expired"),
    ("cancelled", "cancelled"),
];

#[derive(Template)]
#[template(path = "dashboard/tasks.html")]
struct TasksPage<'p> {
    frame: &'p Frame,
    section: &'static str,
    filters: &'p Filters,
    suggestions: Arc<Suggestions>,
    problem: Option<String>,
    rows: Vec<Row>,
    /// The query of the next page.
    next: Option<String>,
    /// Whether this is the first page.
    is_first: bool,
}

/// A task in a list.
pub(super) struct Row {
    pub(super) task: TaskSummary,
    pub(super) badge: Badge,
    pub(super) created: Moment,
    pub(super) ago: std::time::Duration,
    /// How long it waited, or has run, or ran.
    pub(super) took: String,
    /// What came out.
    pub(super) outcome: String,
}

/// The filters of a list, as they were given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Filters {
    given: Vec<(String, String)>,
}

impl Filters {
    /// Takes the filters out of the fields of a form or a query.
    pub(super) fn of(form: &Form) -> Self {
        let names = FILTERS.iter().chain(&MORE_FILTERS).map(|(name, _)| *name).chain(["state", "order"]);
        let given = names.filter_map(|name| {
            let value = form.text(name);
            // A type or a text with blanks around it is another one than without.
            let value = if matches!(name, "task_type" | "q") { value } else { value.trim().to_owned() };
            (!value.is_empty()).then(|| (name.to_owned(), value))
        });
        Self { given: given.collect() }
    }

    pub(super) fn value(&self, name: &str) -> &str {
        self.given.iter().find(|(given, _)| given == name).map_or("", |(_, value)| value)
    }

    /// Returns a time as browsers write it in their fields; empty if it is none.
    fn time(&self, name: &str) -> String {
        let time: Option<Timestamp> = utc(self.value(name)).parse().ok();
        let text = time.map(|time| sql_time(time).replacen(' ', "T", 1)).unwrap_or_default();
        text.split('.').next().unwrap_or_default().to_owned()
    }

    /// Names the list of what a field offers.
    fn list(name: &str) -> Option<&'static str> {
        match name {
            "task_type" => Some("types"),
            "agent_id" => Some("agents"),
            "country" => Some("countries"),
            _ => None,
        }
    }

    fn is(&self, name: &str, value: &str) -> bool {
        self.value(name) == value
    }

    fn has_more(&self) -> bool {
        MORE_FILTERS.iter().any(|(name, _)| !self.is(name, "")) || !self.is("order", "")
    }

    pub(super) fn given(&self) -> &[(String, String)] {
        &self.given
    }

    /// Whether any filter says which tasks are listed.
    pub(super) fn is_filtered(&self) -> bool {
        self.given.iter().any(|(name, _)| name != "order")
    }

    /// Writes the filters as the query of an address.
    pub(super) fn query(&self) -> String {
        let pairs = self.given.iter().map(|(name, value)| format!("{name}={}", part(value)));
        pairs.collect::<Vec<_>>().join("&")
    }

    /// Reads the filters by the rules of the management API.
    pub(super) fn read(&self) -> Result<(TaskFilter, ListOrder), ApiError> {
        let pairs = self.given.iter().map(|(name, value)| {
            format!("{name}={}", part(&if is_time(name) { utc(value) } else { value.clone() }))
        });
        let text = pairs.collect::<Vec<_>>().join("&");
        let mut query = Query::of(Some(&text));
        let filter = filter::read(&mut query)?;
        let orders = [("newest", ListOrder::NewestFirst), ("oldest", ListOrder::OldestFirst)];
        let order = query.one_of("order", &orders)?.unwrap_or_default();
        query.end()?;
        Ok((filter, order))
    }
}

fn is_time(name: &str) -> bool {
    matches!(name, "from" | "to")
}

/// Completes a time as a browser sends it, which has no zone and may have no seconds.
fn utc(time: &str) -> String {
    let with_seconds = if time.matches(':').count() == 1 { format!("{time}:00") } else { time.to_owned() };
    if with_seconds.parse::<Timestamp>().is_ok() { with_seconds } else { format!("{with_seconds}Z") }
}

async fn page(
    frame: Frame,
    State(app): State<App>,
    RawQuery(query): RawQuery,
    known: Arc<Known>,
) -> Response {
    let page = pin!(async {
        let form = Form::of(query.unwrap_or_default().as_bytes());
        let filters = Filters::of(&form);
        let cursor = form.text("cursor");
        let listed = async {
            let (filter, order) = filters.read()?;
            let list = format!("dashboard {order:?} {filter:?}");
            let after = match cursor.as_str() {
                "" => None,
                text => Some(cursor::read(&list, text)?),
            };
            let query = TaskQuery { filter, order, after, up_to: None, limit: LIMIT };
            let page = pages::read(&app, query).await;
            let page = page.map_err(|error| app.read_failed(&error))?;
            Ok((page.tasks, page.next.map(|place| cursor::write(&list, place))))
        };
        let (tasks, next, problem) = match listed.await {
            Ok((tasks, next)) => (tasks, next, None),
            Err(ApiError::Invalid(invalid)) => (Vec::new(), None, Some(invalid.to_string())),
            Err(error) => return Err(error),
        };
        let next = next.map(|next| match filters.query() {
            filters if filters.is_empty() => format!("cursor={next}"),
            filters => format!("{filters}&cursor={next}"),
        });
        let rows = rows(tasks, &frame);
        let is_first = cursor.is_empty();
        Ok(html(&TasksPage {
            frame: &frame,
            section: "tasks",
            filters: &filters,
            suggestions: known.get(&app).await,
            problem,
            rows,
            next,
            is_first,
        }))
    });
    frame.answer(&app, page).await
}

/// Makes tasks ready to be shown.
pub(super) fn rows(tasks: Vec<TaskSummary>, frame: &Frame) -> Vec<Row> {
    let row = |task: TaskSummary| Row {
        badge: task.state.into(),
        created: Moment(task.created),
        ago: frame.since(task.created),
        took: took(&task, frame.now.0),
        outcome: outcome(&task),
        task,
    };
    tasks.into_iter().map(row).collect()
}

fn took(task: &TaskSummary, now: Timestamp) -> String {
    match (task.state, task.claimed, task.finished) {
        (StateName::Claimed, Some(claimed), _) => format!("runs for {}", duration(between(claimed, now))),
        (_, Some(claimed), Some(finished)) => format!("ran {}", duration(between(claimed, finished))),
        (_, None, Some(finished)) => format!("waited {}", duration(between(task.created, finished))),
        _ => format!("waits for {}", duration(between(task.created, now))),
    }
}

/// Of a result or an error at most so many characters are shown in a list.
const OUTCOME: usize = 160;

fn outcome(task: &TaskSummary) -> String {
    match (&task.error, &task.result, task.result_bytes) {
        (Some(error), ..) => short(&plain(error.as_str()), OUTCOME),
        (None, Some(result), _) => short(result.as_str(), OUTCOME),
        (None, None, Some(bytes)) => format!("a result of {bytes} bytes"),
        (None, None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_browsers_are_utc() {
        for (given, read) in [
            ("2026-11-28T23:05", "2026-11-28T23:05:00Z"),
            ("2026-11-28T23:05:09", "2026-11-28T23:05:09Z"),
            ("2026-11-28T23:05:09+02:00", "2026-11-28T23:05:09+02:00"),
            ("2026-11-28T23:05:09Z", "2026-11-28T23:05:09Z"),
        ] {
            assert_eq!(utc(given), read);
        }
        let filters = Filters::of(&Form::of(b"from=yesterday"));
        assert!(filters.read().unwrap_err().to_string().starts_with("from: must be a time"));
    }

    #[test]
    fn filters_are_kept_in_addresses() {
        let filters = Filters::of(&Form::of(b"task_type=a%26b&state=pending&other=1&to="));
        assert_eq!(filters.query(), "task_type=a%26b&state=pending");
        assert_eq!(Filters::of(&Form::of(filters.query().as_bytes())), filters);
        let (filter, _) = filters.read().unwrap();
        assert_eq!(filter.task_type.as_deref(), Some("a&b"));
        let filters = Filters::of(&Form::of(b"task_type=wait%20&state=%20pending&test_id=%20"));
        assert_eq!(filters.query(), "task_type=wait%20&state=pending");
        let (filter, _) = filters.read().unwrap();
        assert_eq!(filter.task_type.as_deref(), Some("wait "));
    }
}
