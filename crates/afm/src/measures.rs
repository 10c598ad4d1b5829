//! Counts and times for StatsD.

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::Method;
use metrics_exporter_statsd::StatsdBuilder;

use crate::config::Config;

/// Sends metrics to STATSD_HOST from now on; without one, none.
///
/// # Errors
/// One line that names the host, when it cannot be found.
pub(crate) fn start(config: &Config) -> Result<(), String> {
    let Some(host) = &config.statsd_host else { return Ok(()) };
    let port = config.statsd_port;
    let wrong = |problem: &dyn std::fmt::Display| {
        format!("STATSD_HOST: cannot send to {host} port {port}: {problem}")
    };
    let recorder = StatsdBuilder::from(host, port)
        // Each measure is a packet of its own: one that is gathered until a packet is full may wait for hours.
        .with_buffer_size(1)
        .histogram_is_timer()
        .build(Some(&config.statsd_prefix))
        .map_err(|e| wrong(&e))?;
    metrics::set_global_recorder(recorder).map_err(|e| wrong(&e))?;
    SENT.store(true, Ordering::Relaxed);
    Ok(())
}

/// Whether anybody is sent anything: making up a name for each request would be for nothing.
static SENT: AtomicBool = AtomicBool::new(false);

/// A request was answered.
pub(crate) fn request(method: &Method, route: &str, status: u16, elapsed: Duration) {
    if !SENT.load(Ordering::Relaxed) {
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

/// `request.get.task.task_id` for `GET /task/{task_id}/`.
fn name(method: &Method, route: &str) -> String {
    // Clients may make up methods; names are not theirs to make.
    let method = match *method {
        Method::GET => "get",
        Method::POST => "post",
        Method::DELETE => "delete",
        _ => "other",
    };
    let mut name = format!("request.{method}");
    for segment in route.split('/').filter(|segment| !segment.is_empty()) {
        // Writing to a String cannot fail.
        let _ = write!(name, ".{}", segment.trim_matches(['{', '}']));
    }
    name
}

/// A client posted a task that is new.
pub(crate) fn task_posted() {
    metrics::counter!("task.posted").increment(1);
}

/// An agent was given tasks.
pub(crate) fn tasks_claimed(count: usize) {
    if count > 0 {
        metrics::counter!("task.claimed").increment(count as u64);
    }
}

/// An agent posted a result, or an error.
pub(crate) fn task_finished(completed: bool) {
    metrics::counter!(if completed { "task.completed" } else { "task.failed" }).increment(1);
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
