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
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;
use uuid::Uuid;

use super::query::Query;
use crate::dispatch::event_log::{EventId, Watched, Watcher};
use crate::http::app::{App, Routes};
use crate::http::error::ApiError;
use crate::http::peer::{self, Streaming};
use crate::http::schemas::Problem;

/// While nothing happens, a comment is sent this often, so that both sides notice when the other has gone.
const COMMENT_AFTER: Duration = Duration::from_secs(15);

/// A browser that has lost the connection comes back after this many milliseconds.
const RETRY: u32 = 2_000;

/// A stream of numbers looks no sooner again after this long where it was not told what it wants.
const UNWANTED_PAUSE: Duration = Duration::from_millis(100);

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

/// Says how many changes there were since the last event.
#[derive(Serialize, ToSchema)]
struct Changes {
    /// `null` where some were missed, so that nobody knows.
    changes: Option<u64>,
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
        ("every" = Option<u16>, Query, minimum = 1, maximum = 3_600,
            description = "Instead of each change, an event `changes` with their number, at most once in so many seconds"),
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
    let every = query.integer("every", 1..=3_600)?.map(Duration::from_secs);
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
        pace: every.map(|every| Pace { every, sent: None }),
        stop: app.stop.clone(),
        _streaming: peer::streams(),
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
    fn is_empty(&self) -> bool {
        self.task_id.is_none()
            && self.test_id.is_none()
            && self.task_type.is_none()
            && self.agent_id.is_none()
    }

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
    /// How often changes are counted for a client that is not told of each.
    pace: Option<Pace>,
    stop: CancellationToken,
    /// Its client is watched as long as this is there.
    _streaming: Streaming,
}

struct Pace {
    every: Duration,
    /// When a number of changes was last sent.
    sent: Option<Instant>,
}

impl Events {
    /// Waits for something to send; `None` when the server stops.
    async fn next_chunk(&mut self) -> Option<Bytes> {
        if self.pace.is_some() && self.chunk.is_empty() {
            return self.next_number().await;
        }
        let quiet_until = Instant::now() + COMMENT_AFTER;
        while self.chunk.is_empty() {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                // Before changes, of which there may be no end that this client does not want to see.
                () = tokio::time::sleep_until(quiet_until) => self.chunk = self.comment(),
                watched = self.watcher.next() => self.write(&watched),
            }
            while self.chunk.len() < CHUNK
                && let Some(watched) = self.watcher.read()
            {
                self.write(&watched);
            }
        }
        Some(std::mem::take(&mut self.chunk).into())
    }

    /// Waits until there is a number of changes to send; `None` when the server stops.
    async fn next_number(&mut self) -> Option<Bytes> {
        let quiet_until = Instant::now() + COMMENT_AFTER;
        let due = self.pace.as_ref().and_then(|pace| Some(pace.sent? + pace.every));
        let mut changes = Some(0);
        while changes == Some(0) {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                () = tokio::time::sleep_until(quiet_until) => return Some(self.comment().into()),
                watched = self.watcher.next() => count(&mut changes, &self.filter, &watched),
            }
            // What comes meanwhile is counted, too, and wakes nobody.
            let wanted = changes != Some(0);
            let look_again = if wanted { due } else { Some(Instant::now() + UNWANTED_PAUSE) };
            if let Some(time) = look_again {
                tokio::select! {
                    biased;
                    () = self.stop.cancelled() => return None,
                    () = tokio::time::sleep_until(time) => {}
                }
            }
            if self.filter.is_empty() {
                changes = changes.zip(self.watcher.pass_over()).map(|(counted, passed)| counted + passed);
            } else {
                while let Some(watched) = self.watcher.read() {
                    count(&mut changes, &self.filter, &watched);
                }
            }
        }
        if let Some(pace) = &mut self.pace {
            pace.sent = Some(Instant::now());
        }
        let id = self.watcher.id();
        self.write_event("changes", &id, serde_json::to_string(&Changes { changes }));
        Some(std::mem::take(&mut self.chunk).into())
    }

    /// Writes a comment. The id goes with it, so that a client whose filter lets nothing through can read on.
    fn comment(&self) -> String {
        format!(": nothing new\nid: {}\n\n", self.watcher.id())
    }

    fn write(&mut self, watched: &Watched) {
        match watched {
            Watched::Changes(changes) => {
                for (change, id) in changes {
                    if self.filter.wants(change) {
                        self.write_event("task", id, serde_json::to_string(&describe(change)));
                    }
                }
            }
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

/// Counts the changes that a client wants to see.
fn count(changes: &mut Option<u64>, filter: &Filter, watched: &Watched) {
    match watched {
        Watched::Changes(read) => {
            let wanted = read.iter().filter(|(change, _)| filter.wants(change)).count() as u64;
            *changes = changes.map(|n| n + wanted);
        }
        Watched::Missed(..) => *changes = None,
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

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::dispatch::event_log::EventLog;

    fn change(n: u128) -> Transition {
        Transition::of(Uuid::from_u128(n), None, StateName::Pending, Timestamp::UNIX_EPOCH)
    }

    fn events(log: &EventLog, task_id: Option<u128>, every: Option<u64>) -> Events {
        let task_id = task_id.map(Uuid::from_u128);
        Events {
            chunk: String::new(),
            watcher: log.watch(None).unwrap(),
            filter: Filter { task_id, test_id: None, task_type: None, agent_id: None },
            pace: every.map(|every| Pace { every: Duration::from_secs(every), sent: None }),
            stop: CancellationToken::new(),
            _streaming: peer::streams(),
        }
    }

    /// Adds changes of task 1 for ever, ten a second.
    async fn keep_changing(log: &EventLog) {
        loop {
            log.add(vec![change(1)]);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn next(events: &mut Events) -> String {
        String::from_utf8(events.next_chunk().await.unwrap().to_vec()).unwrap()
    }

    fn number(text: &str) -> Option<u64> {
        let (_, data) = text.split_once("event: changes\n").unwrap().1.split_once("data: ").unwrap();
        serde_json::from_str::<serde_json::Value>(data).unwrap()["changes"].as_u64()
    }

    #[tokio::test(start_paused = true)]
    async fn comments_come_also_while_others_change() {
        let log = EventLog::default();
        for every in [None, Some(1)] {
            let mut events = events(&log, Some(2), every);
            let began = Instant::now();
            let text = tokio::select! {
                text = next(&mut events) => text,
                () = keep_changing(&log) => unreachable!("it changes for ever"),
            };
            assert!(text.starts_with(": nothing new\nid: "), "{text}");
            assert!(began.elapsed() <= COMMENT_AFTER + 2 * UNWANTED_PAUSE, "{:?}", began.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn numbers_come_at_most_once_in_a_while_and_count_all() {
        let log = EventLog::default();
        for task_id in [None, Some(1)] {
            let mut events = events(&log, task_id, Some(7));
            let mut counted = 0;
            let reading = async {
                counted += number(&next(&mut events).await).unwrap();
                let first = Instant::now();
                counted += number(&next(&mut events).await).unwrap();
                assert_eq!(first.elapsed().as_secs(), 7);
            };
            tokio::select! {
                () = reading => {}
                () = keep_changing(&log) => unreachable!("it changes for ever"),
            }
            assert!((70..=72).contains(&counted), "{counted}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn numbers_of_what_was_missed_are_not_known() {
        let log = EventLog::default();
        for task_id in [None, Some(1)] {
            let mut events = events(&log, task_id, Some(1));
            log.add(vec![change(1)]);
            log.on_event(&slamon_store::StoreEvent::EventsMissed);
            log.add(vec![change(1)]);
            assert_eq!(number(&next(&mut events).await), None);
            log.add(vec![change(1), change(1)]);
            assert_eq!(number(&next(&mut events).await), Some(2));
        }
    }
}
