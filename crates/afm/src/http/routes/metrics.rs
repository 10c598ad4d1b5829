//! `/metrics`: what Prometheus reads.

use std::pin::pin;
use std::sync::LazyLock;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::Response;
use axum::routing::get;
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::LabelPair;
use slamon_protocol::Capability;
use slamon_store::{AgentCounts, Connections, Counter, Histogram, TaskCounts, TypeFigures};

use crate::http::app::{App, Routes};
use crate::http::error::ApiError;
use crate::metrics::families::{self, Distribution, Families, labels, number, seconds};

pub(super) fn routes() -> Routes {
    vec![("/metrics", get(metrics))]
}

/// The database has so long to say how many tasks and agents there are. A page without these figures, and with
/// one that says that the database is away, is worth more than none.
const DATABASE: Duration = Duration::from_secs(2);

/// Of the buckets that durations are counted in, every so many are shown.
const EVERY: usize = 3;

/// The name of the types that have no figures of their own; their version is empty, which no version is.
const OTHER: &str = "other";

/// What counts tasks in the database, so that every AFM on it shows the same.
const SCOPE: (&str, &str) = ("scope", "database");

/// Chooses one of the histograms of a type.
type HistogramOf = fn(&TypeFigures) -> &Histogram;

/// Chooses one of the counts of a type.
type CountOf = fn(&TaskCounts) -> i64;

static PROCESS: LazyLock<ProcessCollector> = LazyLock::new(ProcessCollector::for_self);

/// What Prometheus reads, in its text format.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "server",
    responses((status = 200, description = "Metrics; docs/metrics.md has each", body = String, content_type = "text/plain"))
)]
pub(in crate::http) async fn metrics(State(app): State<App>) -> Result<Response, ApiError> {
    let mut families = Families::default();
    of_tasks(&app, &mut families);
    of_store(&app, &mut families).await;
    of_requests(&app, &mut families);
    of_dispatch(&app, &mut families);
    families.gauge(
        "slamon_build_info",
        "The version of this program; always 1.",
        [(labels([("version", env!("CARGO_PKG_VERSION"))]), 1.0)],
    );
    families.extend(PROCESS.collect());
    let text = families.text().map_err(|error| {
        tracing::error!(%error, "could not write metrics");
        ApiError::Failed
    })?;
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(families::CONTENT_TYPE));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn type_labels(capability: Option<&Capability>) -> Vec<LabelPair> {
    match capability {
        Some(Capability { task_type, version }) => {
            labels([("task_type", task_type), ("task_version", &version.to_string())])
        }
        None => labels([("task_type", OTHER), ("task_version", "")]),
    }
}

/// What this process has seen happen to tasks since its start.
fn of_tasks(app: &App, families: &mut Families) {
    let types: Vec<(Vec<LabelPair>, TypeFigures)> = app.statistics.tally().read(|ledger| {
        let of_slot = ledger.slots().iter();
        of_slot.map(|slot| (type_labels(slot.capability.as_deref()), slot.figures.clone())).collect()
    });
    for counter in Counter::ALL {
        let samples =
            types.iter().map(|(labels, figures)| (labels.clone(), number(figures.counters.get(counter))));
        families.counter(&format!("slamon_tasks_{}_total", counter.name()), help(counter), samples);
    }
    let durations: [(_, _, HistogramOf); 3] = [
        (
            "slamon_task_queue_seconds",
            "How long tasks waited for their first attempt, without the delay that was asked for.",
            |figures| &figures.queue,
        ),
        ("slamon_task_run_seconds", "How long attempts took, however they ended.", |figures| &figures.run),
        ("slamon_task_total_seconds", "How long tasks took from post to end.", |figures| &figures.total),
    ];
    for (name, help, histogram) in durations {
        let with_any = types.iter().filter(|(_, figures)| !histogram(figures).is_empty());
        families.histogram(
            name,
            help,
            with_any.map(|(labels, figures)| (labels.clone(), distribution(histogram(figures)))),
        );
    }
}

fn help(counter: Counter) -> &'static str {
    match counter {
        Counter::Posted => "Tasks that were posted.",
        Counter::Claimed => "Attempts that began.",
        Counter::Completed => "Tasks that ended with a result.",
        Counter::Failed => {
            "Tasks that ended with an error of their agent. An error that is tried again is none."
        }
        Counter::Retried => "Attempts that ended without a result, after which the task is tried again.",
        Counter::TimedOut => "Tasks that ended because their last attempt took too long.",
        Counter::Lost => "Tasks that ended because the agent of their last attempt was lost.",
        Counter::Expired => "Tasks that ended because nobody had finished them in time.",
        Counter::Cancelled => "Tasks that were cancelled.",
        Counter::Released => "Claims that were taken back, because the answer did not reach the agent.",
    }
}

fn distribution(histogram: &Histogram) -> Distribution {
    Distribution {
        buckets: seconds(histogram.cumulative(EVERY)),
        count: histogram.count(),
        sum: histogram.sum().as_secs_f64(),
    }
}

/// What the database holds. It is left out where the database does not say.
async fn of_store(app: &App, families: &mut Families) {
    let up = tokio::time::timeout(DATABASE, pin!(app.health.check())).await.is_ok_and(|found| found.is_ok());
    families.gauge(
        "slamon_database_up",
        "Whether the database takes writes: 1 or 0.",
        [(Vec::new(), f64::from(u8::from(up)))],
    );
    of_connections(app, families);
    if !up {
        return;
    }
    let gauges = pin!(app.statistics.gauges(app.active_since()));
    let gauges = match tokio::time::timeout(DATABASE, gauges).await {
        Ok(Ok(gauges)) => gauges,
        Ok(Err(error)) => {
            app.health.read_failed(&error);
            return;
        }
        Err(_) => return,
    };
    let states: [(_, _, CountOf); 3] = [
        ("slamon_tasks_waiting", "Tasks in the database that wait for an agent.", |counts| counts.pending),
        ("slamon_tasks_running", "Tasks in the database that an agent executes.", |counts| counts.claimed),
        ("slamon_tasks_delayed", "Tasks in the database that wait for a time.", |counts| counts.delayed),
    ];
    for (name, help, count) in states {
        let samples = gauges.types.iter().map(|(capability, counts)| {
            let mut all = type_labels(capability.as_deref());
            all.extend(labels([SCOPE]));
            (all, number(count(counts).unsigned_abs()))
        });
        families.gauge(name, help, samples);
    }
    let AgentCounts { active, lost, paused, .. } = gauges.agents;
    let agents = [("active", active), ("lost", lost), ("paused", paused)];
    families.gauge(
        "slamon_agents",
        "Agents in the database: seen within AGENT_ACTIVE_THRESHOLD (active) or not (lost), or paused. Of 1,000 or more, as they were in the last census.",
        agents.map(|(state, count)| (labels([("state", state), SCOPE]), number(count))),
    );
}

fn of_connections(app: &App, families: &mut Families) {
    let Connections { most, used, idle, waiting } = app.store.connections();
    families.gauge(
        "slamon_database_connections",
        "Connections to the database that calls use (used), and others that are open (idle).",
        [("used", used), ("idle", idle)]
            .map(|(state, count)| (labels([("state", state)]), number(count as u64))),
    );
    let alone = |count: usize| [(Vec::new(), number(count as u64))];
    families.gauge(
        "slamon_database_connections_max",
        "How many connections there may be: SQLALCHEMY_POOL_SIZE, or fewer that the server grants.",
        alone(most),
    );
    families.gauge("slamon_database_calls_waiting", "Calls that wait for a connection.", alone(waiting));
}

fn of_requests(app: &App, families: &mut Families) {
    let requests = app.process_counts.requests();
    let each = || {
        requests
            .iter()
            .flat_map(|(route, methods)| methods.iter().map(move |of_method| (&**route, of_method)))
    };
    let statuses = each().flat_map(|(route, of_method)| {
        of_method.statuses.iter().map(move |(status, count)| {
            let status = status.to_string();
            (labels([("method", of_method.method), ("route", route), ("status", &status)]), number(*count))
        })
    });
    families.counter(
        "slamon_http_requests_total",
        "Requests that were answered, or whose client hung up (499).",
        statuses,
    );
    let durations = each().map(|(route, of_method)| {
        (labels([("method", of_method.method), ("route", route)]), of_method.durations())
    });
    families.histogram(
        "slamon_http_request_duration_seconds",
        "How long requests took, with the time for which they were held open.",
        durations,
    );
}

fn of_dispatch(app: &App, families: &mut Families) {
    let counts = &app.process_counts;
    let (sizes, durations) = counts.batches();
    families.histogram("slamon_commit_batch_commands", "The commands of each batch.", [(Vec::new(), sizes)]);
    families.histogram(
        "slamon_commit_duration_seconds",
        "How long each batch took to commit.",
        [(Vec::new(), durations)],
    );
    families.gauge(
        "slamon_queue_room",
        "How many more commands may wait; at 0, requests are answered 503.",
        [(Vec::new(), number(app.committer.queue_room() as u64))],
    );
    let answered = [
        ("hit", counts.cache_hits.load(Ordering::Relaxed)),
        ("miss", counts.cache_misses.load(Ordering::Relaxed)),
    ];
    families.counter(
        "slamon_dispatch_cache_lookups_total",
        "Polls that the dispatch cache has answered (hit), or for which the database was asked (miss).",
        answered.map(|(result, count)| (labels([("result", result)]), number(count))),
    );
    let (polls, reads) = app.waiters.held();
    families.gauge(
        "slamon_held_requests",
        "Requests that are held open: polls that wait for a task, reads that wait for the end of one.",
        [("poll", polls), ("read", reads)]
            .map(|(kind, count)| (labels([("kind", kind)]), number(count as u64))),
    );
    families.counter(
        "slamon_notifications_interrupted_total",
        "How often notifications of other AFMs ceased to arrive, so that some were missed.",
        [(Vec::new(), number(counts.listening_stopped.load(Ordering::Relaxed)))],
    );
    let (sent, dropped) = app.tracer.counts();
    families.counter(
        "slamon_spans_total",
        "Spans for OTEL_EXPORTER_OTLP_ENDPOINT that its collector has taken (sent), or that were dropped.",
        [("sent", sent), ("dropped", dropped)]
            .map(|(result, count)| (labels([("result", result)]), number(count))),
    );
}
