//! The page of a test: when each of its tasks waited and ran, and how it went.

use std::fmt::Write;
use std::pin::pin;
use std::time::Duration;

use askama::Template;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use jiff::Timestamp;
use slamon_domain::StateName;
use slamon_protocol::parse_id;
use slamon_store::{AttemptSpan, ListOrder, TaskFilter, TaskQuery, TaskSummary};
use uuid::Uuid;

use super::frame::{Frame, html};
use super::presentation::{Badge, Moment, between, count, duration};
use super::tasks::{Row, rows};
use crate::http::api::one_test;
use crate::http::api::tasks::pages;
use crate::http::app::{App, Routes};
use crate::http::error::ApiError;

pub(super) fn routes() -> Routes {
    vec![("/dashboard/tests/{test_id}", get(page))]
}

/// So many tasks of a test are looked at, those first that were posted first.
const LIMIT: u32 = 500;

/// So many of them are drawn.
const DRAWN: usize = 120;

/// Of each task, so many attempts are drawn: as many as a task may have.
const ATTEMPTS: u32 = slamon_protocol::MOST_ATTEMPTS;

/// How wide the picture is drawn. It is stretched to its place.
const WIDTH: f64 = 1_000.0;

#[derive(Template)]
#[template(path = "dashboard/test.html")]
struct TestPage<'p> {
    frame: &'p Frame,
    section: &'static str,
    id: Uuid,
    verdict: Badge,
    sentence: String,
    bars: Vec<Bar>,
    began: Moment,
    ended: Moment,
    span: String,
    has_more: bool,
}

/// The line of a task in the picture.
struct Bar {
    row: Row,
    /// The elements within its SVG, which are made of numbers alone.
    shapes: String,
    says: String,
}

async fn page(
    frame: Frame,
    State(app): State<App>,
    test_id: Result<Path<String>, PathRejection>,
) -> Response {
    let page = pin!(async {
        let id = test_id.ok().and_then(|Path(text)| parse_id(&text)).ok_or(ApiError::UnknownTest)?;
        let filter = TaskFilter { test_id: Some(id), ..TaskFilter::default() };
        let order = ListOrder::OldestFirst;
        let query = TaskQuery { filter, order, after: None, up_to: None, limit: LIMIT };
        let listed = pages::read(&app, query).await;
        let listed = listed.map_err(|error| app.read_failed(&error))?;
        if listed.tasks.is_empty() && listed.next.is_none() {
            return Err(ApiError::UnknownTest);
        }
        let drawn = listed.tasks.iter().take(DRAWN);
        let is_tried_again = |task: &&TaskSummary| task.attempts > 1 || !is_last_running(task);
        let tried: Vec<Uuid> = drawn.filter(is_tried_again).map(|task| task.task_id).collect();
        let spans = app.store.attempt_spans(tried.into(), ATTEMPTS).await;
        let spans = spans.map_err(|error| app.read_failed(&error))?;
        Ok(show(&frame, id, listed.tasks, &spans, listed.next.is_some()))
    });
    frame.answer(&app, page).await
}

/// Whether what is known of a task tells when its last attempt ran, if it has had one.
fn is_last_running(task: &TaskSummary) -> bool {
    matches!(task.state, StateName::Claimed | StateName::Completed) || task.attempts == 0
}

fn show(frame: &Frame, id: Uuid, tasks: Vec<TaskSummary>, spans: &[AttemptSpan], has_more: bool) -> Response {
    let now = frame.now.0;
    let (verdict, sentence) = verdict(&tasks, has_more);
    let began = tasks.iter().map(|task| task.created).min().unwrap_or(now);
    let ended = tasks.iter().map(|task| task.finished.unwrap_or(now)).max().unwrap_or(now);
    let scale = Scale { began, length: between(began, ended).as_secs_f64().max(0.001) };
    let has_more = has_more || tasks.len() > DRAWN;
    let drawn = tasks.into_iter().take(DRAWN).collect();
    let bars = rows(drawn, frame).into_iter().map(|row| scale.bar(row, spans, now)).collect();
    html(&TestPage {
        frame,
        section: "tasks",
        id,
        verdict,
        sentence,
        bars,
        began: Moment(began),
        ended: Moment(ended),
        span: duration(between(began, ended)),
        has_more,
    })
}

/// Says how the test goes.
fn verdict(tasks: &[TaskSummary], has_more: bool) -> (Badge, String) {
    let number = |is: fn(StateName) -> bool| tasks.iter().filter(|task| is(task.state)).count() as u64;
    let all = tasks.len() as u64;
    let done = number(|state| state == StateName::Completed);
    let cancelled = number(|state| state == StateName::Cancelled);
    let unfinished = number(|state| !state.is_end());
    let failed = all - done - cancelled - unfinished;
    let mut parts = Vec::new();
    for (number, word) in
        [(done, "done"), (failed, "failed"), (cancelled, "cancelled"), (unfinished, "not finished")]
    {
        if number > 0 {
            parts.push(format!("{number} {word}"));
        }
    }
    let sentence =
        format!("{}{}: {}.", count(all, "task"), if has_more { " and more" } else { "" }, parts.join(", "));
    let word = one_test::verdict(tasks);
    let class = match word {
        "failed" => "bad",
        "running" => "busy",
        _ => "good",
    };
    let badge = Badge { word, class };
    (badge, sentence)
}

struct Scale {
    began: Timestamp,
    /// In seconds.
    length: f64,
}

impl Scale {
    fn x(&self, time: Timestamp) -> f64 {
        (between(self.began, time).as_secs_f64() / self.length * WIDTH).min(WIDTH)
    }

    fn bar(&self, row: Row, spans: &[AttemptSpan], now: Timestamp) -> Bar {
        let runs = runs(&row.task, row.badge.class, spans, now);
        let end = row.task.finished.unwrap_or(now);
        let mut shapes = String::new();
        let mut part = |class: &str, from: Timestamp, to: Timestamp, y: u32, height: u32| {
            let (from, to) = (self.x(from), self.x(to));
            // What took no time to speak of is seen, too.
            let width = (to - from).max(4.0);
            let from = from.min(WIDTH - width);
            let _ = write!(
                shapes,
                "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"{height}\"/>"
            );
        };
        let (mut waited, mut ran, mut since) = (Duration::ZERO, Duration::ZERO, row.task.created);
        for Run { class, from, to } in &runs {
            if *from > since || since == row.task.created {
                part("calm", since, *from, 7, 6);
            }
            part(class, *from, *to, 3, 14);
            waited += between(since, *from);
            ran += between(*from, *to);
            since = *to;
        }
        if runs.is_empty() || end > since {
            part("calm", since, end, 7, 6);
            waited += between(since, end);
        }
        let mut says = format!("waited {}", duration(waited));
        if !runs.is_empty() {
            let verb = if row.task.finished.is_some() { "ran" } else { "has run" };
            says = format!("{says}, {verb} {}", duration(ran));
        }
        if runs.len() > 1 {
            says = format!("{says} in {} attempts", runs.len());
        }
        Bar { row, shapes, says }
    }
}

/// An attempt in the picture.
struct Run {
    class: &'static str,
    from: Timestamp,
    to: Timestamp,
}

/// When the attempts of a task ran, the first one first.
fn runs(task: &TaskSummary, class: &'static str, spans: &[AttemptSpan], now: Timestamp) -> Vec<Run> {
    let of_task = spans.iter().filter(|span| span.task_id == task.task_id);
    let mut runs: Vec<Run> = of_task
        .clone()
        .map(|span| Run {
            class: if span.end == "cancelled" { "calm" } else { "bad" },
            from: span.claimed,
            to: span.ended,
        })
        .collect();
    // The last attempt of a task that was tried again and failed may be among those.
    let has_last = of_task.clone().any(|span| span.number == task.attempts);
    if let Some(claimed) = task.claimed
        && !has_last
    {
        runs.push(Run { class, from: claimed, to: task.finished.unwrap_or(now) });
    }
    runs
}
