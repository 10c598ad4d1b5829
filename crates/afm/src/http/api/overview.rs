//! `/api/v1/overview`: what waits and runs now, and what happened in the last hour.

use std::pin::pin;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;
use slamon_protocol::iso_time;
use slamon_store::{Counter, Counters, TaskCounts};
use utoipa::ToSchema;

use crate::http::answer::json;
use crate::http::app::{App, Routes};
use crate::http::error::ApiError;
use crate::http::request_deadline;
use crate::http::schemas::Problem;
use crate::statistics::OverviewFigures;

pub(super) fn routes() -> Routes {
    vec![("/api/v1/overview", get(overview))]
}

/// What waits and runs now, and what happened in the last hour, at all AFMs on the database.
#[derive(Serialize, ToSchema)]
struct Overview<'a> {
    /// When this was read: it may be a second old.
    at: String,
    /// The tasks that have not ended; null until they have been counted, soon after the start.
    tasks: Option<Tasks>,
    agents: Agents,
    /// The last 60 minutes, the one that runs included, the oldest first.
    minutes: Vec<Minute>,
    /// The types to whose tasks something happened in that time, those with the most changes first.
    types: Vec<TypeOverview<'a>>,
}

/// How many tasks have not ended.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Tasks {
    /// Tasks that wait for a time.
    pub(in crate::http) delayed: i64,
    /// Tasks that wait for an agent.
    pub(in crate::http) waiting: i64,
    /// Tasks that an agent executes.
    pub(in crate::http) running: i64,
}

/// How many agents there are.
#[derive(Serialize, ToSchema)]
struct Agents {
    /// Agents that were seen within AGENT_ACTIVE_THRESHOLD.
    active: u64,
    /// Agents that were not.
    lost: u64,
    /// Agents that are paused, seen or not.
    paused: u64,
    /// Whether all agents were counted. Where there are 1,000 or more, the numbers are those of the last census; before
    /// the first one, only 1,000 are counted.
    is_complete: bool,
    /// When that census began; null where agents were counted now.
    counted_at: Option<String>,
}

/// What happened in a minute.
#[derive(Serialize, ToSchema)]
struct Minute {
    /// When it began.
    minute: String,
    #[serde(flatten)]
    happened: Happened,
}

/// How often each thing happened.
#[derive(Serialize, ToSchema)]
struct Happened {
    /// Tasks that were posted.
    posted: u64,
    /// Attempts that began.
    claimed: u64,
    /// Tasks that ended, however they did.
    finished: u64,
    /// Tasks that ended with a result.
    completed: u64,
    /// Tasks that failed, were lost or timed out, and are not tried again.
    failed: u64,
    /// Tasks that expired.
    expired: u64,
    /// Tasks that were cancelled.
    cancelled: u64,
    /// Attempts that ended without a result, after which the task is tried again.
    retried: u64,
}

/// What happened to the tasks of a type.
#[derive(Serialize, ToSchema)]
struct TypeOverview<'a> {
    /// The type; null: all types together that have no figures of their own.
    task_type: Option<&'a str>,
    /// Its version.
    task_version: Option<i64>,
    #[serde(flatten)]
    happened: Happened,
    /// How long tasks waited for their first attempt, without the delay that was asked for; null: none began.
    queue_seconds: Option<Percentiles>,
    /// How long attempts took; null: none ended.
    run_seconds: Option<Percentiles>,
}

/// Seconds that half, 95 % and 99 % of all do not exceed.
#[derive(Serialize, ToSchema)]
struct Percentiles {
    p50: f64,
    p95: f64,
    p99: f64,
}

/// What waits and runs now, and what happened in the last hour, at all AFMs on the database.
#[utoipa::path(
    get,
    path = "/api/v1/overview",
    tag = "overview",
    responses(
        (status = 200, description = "The figures of the first page", body = Overview<'_>),
        (status = 400, description = "The path has no parameters", content_type = "application/problem+json", body = Problem),
        (status = 503, description = "The database is not available", content_type = "application/problem+json", body = Problem),
    )
)]
pub(super) async fn overview(State(app): State<App>) -> Result<Response, ApiError> {
    let figures = pin!(app.overview_figures());
    let figures = request_deadline::within(app.settings.request_timeout, figures).await?;
    let figures = figures.map_err(|error| app.read_failed(&error))?;
    json(&Overview::of(&figures))
}

impl Tasks {
    /// Whether there are none.
    pub(super) fn is_zero(&self) -> bool {
        self.delayed == 0 && self.waiting == 0 && self.running == 0
    }
}

impl From<TaskCounts> for Tasks {
    fn from(counts: TaskCounts) -> Self {
        Self { delayed: counts.delayed, waiting: counts.pending, running: counts.claimed }
    }
}

impl<'a> Overview<'a> {
    fn of(figures: &'a OverviewFigures) -> Self {
        let OverviewFigures { at, tasks, agents, minutes, types, .. } = figures;
        let tasks = tasks.map(Tasks::from);
        let minutes = minutes
            .iter()
            .map(|point| Minute { minute: iso_time(point.minute), happened: Happened::of(&point.counters) });
        let types = types.iter().map(|of_type| TypeOverview {
            task_type: of_type.capability.as_ref().map(|capability| &*capability.task_type),
            task_version: of_type.capability.as_ref().map(|capability| capability.version),
            happened: Happened::of(&of_type.counters),
            queue_seconds: of_type.queue.map(Percentiles::of),
            run_seconds: of_type.run.map(Percentiles::of),
        });
        Self {
            at: iso_time(*at),
            tasks,
            agents: Agents {
                active: agents.active,
                lost: agents.lost,
                paused: agents.paused,
                is_complete: agents.is_complete,
                counted_at: agents.counted_at.map(iso_time),
            },
            minutes: minutes.collect(),
            types: types.collect(),
        }
    }
}

impl Happened {
    fn of(counters: &Counters) -> Self {
        let get = |counter| counters.get(counter);
        Self {
            posted: get(Counter::Posted),
            claimed: get(Counter::Claimed),
            finished: get(Counter::Completed) + counters.ended_badly(),
            completed: get(Counter::Completed),
            failed: get(Counter::Failed) + get(Counter::Lost) + get(Counter::TimedOut),
            expired: get(Counter::Expired),
            cancelled: get(Counter::Cancelled),
            retried: get(Counter::Retried),
        }
    }
}

impl Percentiles {
    fn of(percentiles: [Duration; 3]) -> Self {
        let [p50, p95, p99] = percentiles.map(|duration| duration.as_secs_f64());
        Self { p50, p95, p99 }
    }
}
