//! `/api/v1/events`: the changes of tasks, as they happen.

use std::convert::Infallible;
use std::fmt::Write;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use futures_util::stream;
use serde::Serialize;
use slamon_domain::{AttemptEndName, StateName, Transition};
use slamon_protocol::iso_time;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;
use uuid::Uuid;

use super::query::Query;
use crate::dispatch::event_log::{EventId, Watched, Watcher};
use crate::http::app::{App, Routes};
use crate::http::error::ApiError;
use crate::http::schemas::Problem;

/// While nothing happens, a comment is sent this often, so that both sides notice when the other has gone.
const COMMENT_AFTER: Duration = Duration::from_secs(15);

/// A browser that has lost the connection comes back after this many milliseconds.
const RETRY: u32 = 2_000;

/// Events are sent together up to this many bytes.
const CHUNK: usize = 16 * 1_024;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

pub(super) fn routes() -> Routes {
    vec![("/api/v1/events", get(events))]
}

/// A change of a task's state.
#[derive(Serialize, ToSchema)]
struct TaskChanged<'a> {
    task_id: Uuid,
    test_id: Uuid,
    task_type: &'a str,
    task_version: i64,
    /// The state before; absent: the task was posted.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'static str>,
    /// The state after: delayed, pending, claimed, completed, failed, lost, `timed_out`, expired or cancelled.
    to: &'static str,
    /// How the attempt ended, if one did that has not finished the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt_ended: Option<&'static str>,
    /// The agent that executes the task, or did until now.
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_id: Option<Uuid>,
    /// When it happened.
    at: String,
}

/// Says that events were missed, and how many, if that is known.
#[derive(Serialize, ToSchema)]
struct EventsMissed {
    missed: Option<u64>,
}

/// The changes of tasks, as they happen: an event `task` for each, and an event `missed` where this client was
/// too slow, or has come back too late.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    tag = "events",
    params(
        ("task_id" = Option<Uuid>, Query, description = "Only changes of this task"),
        ("test_id" = Option<Uuid>, Query, description = "Only changes of tasks of this test"),
        ("task_type" = Option<String>, Query, description = "Only changes of tasks of this type"),
        ("agent_id" = Option<Uuid>, Query, description = "Only changes by which this agent begins or ends an attempt"),
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was read"),
    ),
    responses(
        (status = 200, description = "A stream that does not end", content_type = "text/event-stream", body = TaskChanged<'_>),
        (status = 400, description = "A filter is wrong", content_type = "application/problem+json", body = Problem),
        (status = 503, description = "Too many clients watch", content_type = "application/problem+json", body = Problem),
    )
)]
pub(in crate::http) async fn events(
    State(app): State<App>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let mut query = Query::of(query.as_deref());
    let filter = Filter {
        task_id: query.id("task_id")?,
        test_id: query.id("test_id")?,
        task_type: query.text("task_type")?.map(std::borrow::Cow::into_owned),
        agent_id: query.id("agent_id")?,
    };
    query.end()?;
    // An id that this server has not made up is one of another server, or of an earlier run.
    let after = headers
        .get(LAST_EVENT_ID)
        .map(|id| id.to_str().ok().and_then(|id| id.parse().ok()).unwrap_or_else(EventId::unknown));
    let Some(watcher) = app.event_log.watch(after) else {
        return Err(ApiError::TryAgain("too many clients watch the events".to_owned()));
    };
    let events = Events {
        chunk: format!("retry: {RETRY}\nid: {}\n\n", watcher.id()),
        watcher,
        filter,
        stop: app.stop.clone(),
    };
    let chunks = stream::unfold(events, |mut events| async {
        let chunk = events.next_chunk().await?;
        Some((Ok::<_, Infallible>(chunk), events))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // nginx would keep events until there are enough of them.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

/// Which changes a client wants to see.
struct Filter {
    task_id: Option<Uuid>,
    test_id: Option<Uuid>,
    task_type: Option<String>,
    agent_id: Option<Uuid>,
}

impl Filter {
    fn wants(&self, change: &Transition) -> bool {
        self.task_id.is_none_or(|id| id == change.task_id)
            && self.test_id.is_none_or(|id| id == change.test_id)
            && self.task_type.as_ref().is_none_or(|task_type| *task_type == change.task_type)
            && self.agent_id.is_none_or(|id| Some(id) == change.agent_id)
    }
}

/// The events that are sent to one client.
struct Events {
    /// What is to be sent first.
    chunk: String,
    watcher: Watcher,
    filter: Filter,
    stop: CancellationToken,
}

impl Events {
    /// Waits for something to send; `None` when the server stops.
    async fn next_chunk(&mut self) -> Option<Bytes> {
        while self.chunk.is_empty() {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                watched = self.watcher.next() => self.write(&watched),
                () = tokio::time::sleep(COMMENT_AFTER) => {
                    // The id goes with it, so that a client whose filter lets nothing through can read on.
                    self.chunk = format!(": nothing new\nid: {}\n\n", self.watcher.id());
                }
            }
            while self.chunk.len() < CHUNK
                && let Some(watched) = self.watcher.read()
            {
                self.write(&watched);
            }
        }
        Some(std::mem::take(&mut self.chunk).into())
    }

    fn write(&mut self, watched: &Watched) {
        match watched {
            Watched::Change(change, id) if self.filter.wants(change) => {
                let data = serde_json::to_string(&describe(change));
                self.write_event("task", id, data);
            }
            Watched::Change(..) => {}
            Watched::Missed(missed, id) => {
                let data = serde_json::to_string(&EventsMissed { missed: *missed });
                self.write_event("missed", id, data);
            }
        }
    }

    fn write_event(&mut self, name: &str, id: &EventId, data: serde_json::Result<String>) {
        // JSON has no line breaks within, and these cannot fail to be written.
        let data = data.unwrap_or_default();
        let _ = write!(self.chunk, "event: {name}\nid: {id}\ndata: {data}\n\n");
    }
}

fn describe(change: &Transition) -> TaskChanged<'_> {
    TaskChanged {
        task_id: change.task_id,
        test_id: change.test_id,
        task_type: &change.task_type,
        task_version: change.task_version,
        from: change.from.map(StateName::as_str),
        to: change.to.as_str(),
        attempt_ended: change.attempt_end.map(AttemptEndName::as_str),
        agent_id: change.agent_id,
        at: iso_time(change.at),
    }
}
