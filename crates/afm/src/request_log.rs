//! One log line a request: ids as fields, never a body.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use slamon_store::Delivery;
use tracing::field::{Empty, display};
use tracing::{Instrument, Span};
use uuid::Uuid;

use crate::measures;

/// Logs a request when it is answered.
pub(crate) async fn log(request: Request, next: Next) -> Response {
    let started = Instant::now();
    // The route rather than the path: paths are the client's to choose, and without number.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("-", |matched| matched.as_str());
    let method = request.method().clone();
    let span = tracing::info_span!(
        "request",
        method = %method,
        route,
        task_id = Empty,
        agent_id = Empty,
        tasks = Empty,
        note = Empty,
    );
    let probe = matches!(route.trim_end_matches('/'), "/healthz" | "/readyz");
    let mut line = Line { span, probe, started, method, route: route.to_owned(), status: HUNG_UP };
    let response = next.run(request).instrument(line.span.clone()).await;
    line.status = response.status().as_u16();
    response
}

/// What is logged of a request whose client hung up before it was answered, as nginx has it.
const HUNG_UP: u16 = 499;

/// The line of a request, written when it is answered, or dropped without.
struct Line {
    span: Span,
    probe: bool,
    started: Instant,
    method: Method,
    route: String,
    status: u16,
}

impl Drop for Line {
    fn drop(&mut self) {
        let (status, elapsed) = (self.status, self.started.elapsed());
        let elapsed_us = elapsed.as_micros() as u64;
        measures::request(&self.method, &self.route, status, elapsed);
        let what = if status == HUNG_UP { "hung up" } else { "answered" };
        self.span.in_scope(|| {
            if self.probe {
                tracing::debug!(status, elapsed_us, "{what}");
            } else {
                tracing::info!(status, elapsed_us, "{what}");
            }
        });
    }
}

/// Which task the request is about.
pub(crate) fn task(id: Uuid) {
    Span::current().record("task_id", display(id));
}

/// Which agent sent the request.
pub(crate) fn agent(id: Uuid) {
    Span::current().record("agent_id", display(id));
}

/// Which tasks were handed out.
pub(crate) fn tasks(deliveries: &[Delivery]) {
    if !deliveries.is_empty() {
        let ids: Vec<String> = deliveries.iter().map(|task| task.task_id.to_string()).collect();
        Span::current().record("tasks", display(ids.join(",")));
    }
}

/// What else is worth knowing.
pub(crate) fn note(text: &str) {
    Span::current().record("note", text);
}
