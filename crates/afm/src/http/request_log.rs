//! One log line a request: ids as fields, never a body.

use std::cell::RefCell;
use std::pin::Pin;
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use slamon_protocol::excerpt;
use slamon_store::Delivery;
use tracing::Level;
use uuid::Uuid;

use crate::logging::repeats::{self, AnswerKind};
use crate::metrics;

tokio::task_local! {
    /// What handlers say of the request that their task is answering. A span would be formatted anew with each word.
    static NOTES: RefCell<Notes>;
}

#[derive(Default)]
struct Notes {
    started: Option<Instant>,
    task_id: Option<Uuid>,
    agent_id: Option<Uuid>,
    tasks: Option<String>,
    note: Option<&'static str>,
    is_routine: bool,
}

/// What is logged of the request itself.
pub(crate) struct RequestHead {
    method: Method,
    /// Rather than the path: paths are the client's to choose, and without number.
    route: Option<MatchedPath>,
}

impl RequestHead {
    pub(crate) fn of(request: &Request) -> Self {
        Self { method: request.method().clone(), route: request.extensions().get::<MatchedPath>().cloned() }
    }

    /// Whether it is an agent that asks, which comes back at once when it is turned away.
    fn is_of_an_agent(&self) -> bool {
        let route = self.route.as_ref().map_or("-", MatchedPath::as_str);
        let route = route.strip_prefix("//").or(route.strip_prefix('/')).unwrap_or(route);
        self.method == Method::POST && matches!(route.trim_end_matches('/'), "tasks" | "tasks/response")
    }
}

/// An answer, and when the request came if it is an agent's and the answer is a 503.
pub(crate) struct Answered {
    pub(crate) response: Response,
    pub(crate) failed: Option<Instant>,
}

/// Logs a request when it is answered.
pub(crate) async fn log(head: RequestHead, answer: Pin<&mut impl Future<Output = Response>>) -> Answered {
    let mut line = RequestLine { started: Instant::now(), head, status: HUNG_UP };
    let notes = Notes { started: Some(line.started), ..Notes::default() };
    let answered = async {
        let response = answer.await;
        line.status = response.status().as_u16();
        let is_failed = line.status == StatusCode::SERVICE_UNAVAILABLE && line.head.is_of_an_agent();
        let failed = is_failed.then_some(line.started);
        drop(line);
        Answered { response, failed }
    };
    NOTES.scope(RefCell::new(notes), answered).await
}

/// What is logged of a request whose client hung up before it was answered, as nginx has it.
const HUNG_UP: u16 = 499;

/// The line of a request, written when it is answered, or dropped without.
struct RequestLine {
    started: Instant,
    head: RequestHead,
    status: u16,
}

impl Drop for RequestLine {
    fn drop(&mut self) {
        let elapsed = self.started.elapsed();
        let route = self.head.route.as_ref().map_or("-", MatchedPath::as_str);
        metrics::request(&self.head.method, route, self.status, elapsed);
        let notes = NOTES.try_with(RefCell::take).unwrap_or_default();
        let is_routine = notes.is_routine || matches!(route.trim_end_matches('/'), "/healthz" | "/readyz");
        if !is_routine && self.status >= 500 && !repeats::is_first(self.kind(route)) {
            return;
        }
        let (status, elapsed_us) = (self.status, u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX));
        let message = if status == HUNG_UP { "hung up" } else { "answered" };
        macro_rules! line {
            ($level:expr) => {
                tracing::event!(
                    $level,
                    method = %excerpt(self.head.method.as_str()),
                    route,
                    task_id = notes.task_id.map(display),
                    agent_id = notes.agent_id.map(display),
                    tasks = notes.tasks.as_ref().map(display),
                    note = notes.note,
                    status,
                    elapsed_us,
                    "{message}"
                )
            };
        }
        if is_routine { line!(Level::DEBUG) } else { line!(Level::INFO) }
    }
}

impl RequestLine {
    /// Clients that were told that the server failed come back at once, and would fill the log.
    fn kind(&self, route: &str) -> AnswerKind {
        let method = metrics::method_name(&self.head.method);
        AnswerKind { method, route: route.to_owned(), status: self.status }
    }
}

fn note_in(write: impl FnOnce(&mut Notes)) {
    // Outside of a request there is no line to write in.
    let _ = NOTES.try_with(|notes| write(&mut notes.borrow_mut()));
}

/// When the request came, before its body.
pub(crate) fn started() -> Instant {
    NOTES.try_with(|notes| notes.borrow().started).ok().flatten().unwrap_or_else(Instant::now)
}

/// Which task the request is about.
pub(crate) fn task(id: Uuid) {
    note_in(|notes| notes.task_id = Some(id));
}

/// Which agent sent the request.
pub(crate) fn agent(id: Uuid) {
    note_in(|notes| notes.agent_id = Some(id));
}

/// Which tasks were handed out.
pub(crate) fn tasks(deliveries: &[Delivery]) {
    if !deliveries.is_empty() {
        let ids: Vec<String> = deliveries.iter().map(|task| task.task_id.to_string()).collect();
        note_in(|notes| notes.tasks = Some(ids.join(",")));
    }
}

/// What else is worth knowing.
pub(crate) fn note(text: &'static str) {
    note_in(|notes| notes.note = Some(text));
}

/// Nothing came of it: a fleet does this all day, and only who debugs wants to read of it.
pub(crate) fn routine() {
    note_in(|notes| notes.is_routine = true);
}
