//! Counts and times, for Prometheus and StatsD.

pub(crate) mod families;
mod process_counts;
mod statsd;
pub(crate) mod tasks;

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::Method;
use cadence::QueuingMetricSink;
use metrics_exporter_statsd::StatsdBuilder;

use crate::config::Config;
pub(crate) use process_counts::ProcessCounts;
use statsd::PacketSink;

/// This many metrics may wait to be sent. Any more are dropped, since whoever counts must not wait.
const QUEUED: usize = 5_000;

/// Starts to send metrics to STATSD_HOST, if there is one. A host that cannot be found is looked up until it
/// can.
///
/// # Errors
/// Fails with one line that names the host, when nothing can ever be sent there.
pub(crate) fn start(config: &Config) -> Result<(), String> {
    let Some(host) = &config.statsd_host else { return Ok(()) };
    let port = config.statsd_port;
    let wrong = |problem: &dyn std::fmt::Display| {
        format!("STATSD_HOST: cannot send to {host} port {port}: {problem}")
    };
    if host.trim().is_empty() || port == 0 {
        return Err(wrong(&"there is no such host or port"));
    }
    let sink = PacketSink::start(host, port).map_err(|e| wrong(&e))?;
    let recorder = StatsdBuilder::from(host, port)
        .with_sink(QueuingMetricSink::with_capacity(sink, QUEUED))
        .histogram_is_timer()
        .build(Some(&config.statsd_prefix))
        .map_err(|e| wrong(&e))?;
    metrics::set_global_recorder(recorder).map_err(|e| wrong(&e))?;
    SENT.store(true, Ordering::Relaxed);
    Ok(())
}

/// Whether metrics are sent to StatsD: if not, no name is built for a request.
static SENT: AtomicBool = AtomicBool::new(false);

/// Says whether metrics are sent to StatsD.
pub(crate) fn are_sent() -> bool {
    SENT.load(Ordering::Relaxed)
}

/// Sends a gauge.
pub(crate) fn send_gauge(name: String, value: i64) {
    #[expect(clippy::cast_precision_loss, reason = "it is rounded")]
    metrics::gauge!(name).set(value as f64);
}

/// Counts a request that was answered, and its time.
pub(crate) fn request(counts: &ProcessCounts, method: &Method, route: &str, status: u16, elapsed: Duration) {
    counts.answered(method_name(method), route, status, elapsed);
    if !are_sent() {
        return;
    }
    metrics::counter!(match status / 100 {
        2 => "request.2xx",
        4 => "request.4xx",
        5 => "request.5xx",
        _ => "request.other",
    })
    .increment(1);
    metrics::histogram!(name(method, route)).record(elapsed);
}

/// Returns the name of a method for metrics and log. Clients may make up methods, but not names of metrics.
pub(crate) fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// Builds the name of a metric, such as `request.get.task.task_id` for `GET /task/{task_id}/`.
fn name(method: &Method, route: &str) -> String {
    let mut name = "request.".to_owned();
    name.extend(method_name(method).chars().map(|letter| letter.to_ascii_lowercase()));
    for segment in route.split('/').filter(|segment| !segment.is_empty()) {
        // Writing to a String cannot fail.
        let _ = write!(name, ".{}", segment.trim_matches(['{', '}']));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_of_routes() {
        for (route, expected) in [
            ("/task", "request.get.task"),
            ("//tasks/response/", "request.get.tasks.response"),
            ("/task/{task_id}", "request.get.task.task_id"),
            ("-", "request.get.-"), // what no route matches
        ] {
            assert_eq!(name(&Method::GET, route), expected);
        }
    }
}
