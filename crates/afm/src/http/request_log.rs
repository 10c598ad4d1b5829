//! Writes one log line for each request, with ids as fields and never a body.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use slamon_domain::Delivery;
use slamon_protocol::excerpt;
use tracing::Level;
use uuid::Uuid;

use crate::access::HeldToken;
use crate::logging::repeats::{self, AnswerKind};
use crate::metrics::{self, ProcessCounts};

tokio::task_local! {
    /// What handlers have noted of the request that the running task answers. A span would be formatted anew
    /// with each note.
    static NOTES: RefCell<Notes>;
}

#[derive(Default)]
struct Notes {
    started: Option<Instant>,
    task_id: Option<Uuid>,
    agent_id: Option<Uuid>,
    tasks: Option<String>,
    bearer: Option<Arc<HeldToken>>,
    note: Option<&'static str>,
    is_routine: bool,
}

/// The part of the head of a request that is logged.
pub(crate) struct RequestHead {
    method: Method,
    /// The route and not the path, since clients can make up any number of paths.
    route: Option<MatchedPath>,
}

impl RequestHead {
    pub(crate) fn of(request: &Request) -> Self {
        Self { method: request.method().clone(), route: request.extensions().get::<MatchedPath>().cloned() }
    }

    /// Says whether the request comes from an agent, which would come back at once if it was turned away.
    fn is_of_an_agent(&self) -> bool {
        let route = self.route.as_ref().map_or("-", MatchedPath::as_str);
        let route = route.strip_prefix("//").or(route.strip_prefix('/')).unwrap_or(route);
        self.method == Method::POST && matches!(route.trim_end_matches('/'), "tasks" | "tasks/response")
    }
}

/// An answer; and when its request came, if that was an agent's and the answer is a 503.
pub(crate) struct Answered {
    pub(crate) response: Response,
    pub(crate) failed: Option<Instant>,
}

/// Waits for the answer to a request, and logs it.
pub(crate) async fn log(
    head: RequestHead,
    counts: &ProcessCounts,
    answer: Pin<&mut impl Future<Output = Response>>,
) -> Answered {
    let mut line = RequestLine { started: Instant::now(), head, status: HUNG_UP, counts };
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

/// The status that is logged of a request whose client has hung up before it was answered, as with nginx.
const HUNG_UP: u16 = 499;

/// The log line of a request, which is written when this is dropped: once it is answered, or when its client
/// hangs up.
struct RequestLine<'c> {
    started: Instant,
    head: RequestHead,
    status: u16,
    counts: &'c ProcessCounts,
}

impl Drop for RequestLine<'_> {
    fn drop(&mut self) {
        let elapsed = self.started.elapsed();
        let route = self.head.route.as_ref().map_or("-", MatchedPath::as_str);
        metrics::request(self.counts, &self.head.method, route, self.status, elapsed);
        let notes = NOTES.try_with(RefCell::take).unwrap_or_default();
        let is_routine =
            notes.is_routine || matches!(route.trim_end_matches('/'), "/healthz" | "/readyz" | "/metrics");
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
                    bearer = notes.bearer.as_ref().map(|held| display(excerpt(&held.token.name))),
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

impl RequestLine<'_> {
    /// Returns what lines have in common that are counted rather than logged: clients that get a 5xx come
    /// back at once, and would fill the log.
    fn kind(&self, route: &str) -> AnswerKind {
        let method = metrics::method_name(&self.head.method);
        AnswerKind { method, route: route.to_owned(), status: self.status }
    }
}

fn note_in(write: impl FnOnce(&mut Notes)) {
    // Outside of a request there is no line to add to.
    let _ = NOTES.try_with(|notes| write(&mut notes.borrow_mut()));
}

/// Returns when the request came, before its body was read.
pub(crate) fn started() -> Instant {
    NOTES.try_with(|notes| notes.borrow().started).ok().flatten().unwrap_or_else(Instant::now)
}

/// Notes which task the request is about.
pub(crate) fn task(id: Uuid) {
    note_in(|notes| notes.task_id = Some(id));
}

/// Notes which agent has sent the request.
pub(crate) fn agent(id: Uuid) {
    note_in(|notes| notes.agent_id = Some(id));
}

/// Notes by whose token the request was let in.
pub(crate) fn bearer(held: &Arc<HeldToken>) {
    note_in(|notes| notes.bearer = Some(Arc::clone(held)));
}

/// Notes which tasks were handed out.
pub(crate) fn tasks(deliveries: &[Delivery]) {
    if !deliveries.is_empty() {
        let ids: Vec<String> = deliveries.iter().map(|task| task.task_id.to_string()).collect();
        note_in(|notes| notes.tasks = Some(ids.join(",")));
    }
}

/// Notes what else is worth knowing.
pub(crate) fn note(text: &'static str) {
    note_in(|notes| notes.note = Some(text));
}

/// Notes that the request changed nothing, as most polls of a fleet: it is logged at debug level.
pub(crate) fn routine() {
    note_in(|notes| notes.is_routine = true);
}
