//! Traces: the life of each task as spans, sent to a collector of OpenTelemetry.
//!
//! The commit loop gives each change of a task's state to the [`Tracer`], which only queues it. A worker makes spans
//! of what has ended and sends them. Nobody waits for it: where the collector is away or slow, spans are dropped and
//! counted.

mod exporter;
mod poster;
mod recent;
mod spans;

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::SignedDuration;
use opentelemetry_sdk::trace::SpanData;
use slamon_domain::Transition;
use slamon_store::{Store, StoreError};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::clock::Clock;
use exporter::Exporter;
pub(crate) use poster::PosterSpan;
use recent::Recent;
use spans::Life;

/// So many changes may wait for the worker, and so many more for their time.
const QUEUED: usize = 16_384;

/// Changes are taken together that come within this time.
const COLLECTED: Duration = Duration::from_millis(100);

/// Spans are made of a change after this long, so that another AFM has saved the span of the poster meanwhile.
const HELD: Duration = Duration::from_secs(1);

/// What is kept of a task is deleted this long after its last span, since another AFM may still have to send one.
const KEPT: Duration = Duration::from_secs(10);

/// So many spans are sent at once.
const BATCH: usize = 512;

/// The lives of so many tasks are remembered. What belongs to others is read from the store.
const LIVES: usize = 100_000;

/// So many posts with a span may be on their way.
const POSTERS: usize = 20_000;

/// What is kept of tasks that have ended is looked for once in this long, so many at once. This AFM or another one
/// may still send the last span of a task that ended less than this ago.
const PURGE_AGAIN: Duration = Duration::from_secs(60);
const PURGE_STEP: u32 = 500;
const PURGED_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// Takes the changes of tasks of which spans are made. All clones are one; the default takes none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tracer(Option<Arc<Inbox>>);

#[derive(Debug)]
struct Inbox {
    changes: mpsc::Sender<Change>,
    /// The spans of those who are about to post these tasks.
    posters: Mutex<Recent<PosterSpan>>,
    counts: SpanCounts,
}

/// A change, with the span of who posted the task, if it was posted by this change.
#[derive(Debug)]
struct Change {
    transition: Transition,
    poster: Option<PosterSpan>,
}

/// What became of spans since the start.
#[derive(Debug, Default)]
struct SpanCounts {
    sent: AtomicU64,
    dropped: AtomicU64,
}

impl Tracer {
    /// Creates a tracer, and the worker that sends spans to `endpoint` until `stop` is cancelled.
    ///
    /// # Errors
    /// Fails with one line if nothing can ever be sent there.
    pub(crate) fn start(
        endpoint: &str,
        store: Arc<dyn Store>,
        stop: CancellationToken,
    ) -> Result<(Self, Worker), String> {
        let exporter = Exporter::start(endpoint)?;
        let (sender, changes) = mpsc::channel(QUEUED);
        let (posters, counts) = (Mutex::new(Recent::new(POSTERS)), SpanCounts::default());
        let inbox = Arc::new(Inbox { changes: sender, posters, counts });
        let worker = Worker {
            inbox: Arc::clone(&inbox),
            changes,
            store,
            stop,
            exporter,
            lives: Recent::new(LIVES),
            held: VecDeque::new(),
            done: VecDeque::new(),
            lost: None,
        };
        Ok((Self(Some(inbox)), worker))
    }

    /// Whether spans are made.
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// How many spans a collector has taken, and how many were dropped. A change that is dropped counts as one.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        self.0.as_ref().map_or((0, 0), |inbox| (read(&inbox.counts.sent), read(&inbox.counts.dropped)))
    }

    /// Notes the span in which this task is about to be posted.
    pub(crate) fn note_poster(&self, task_id: Uuid, poster: Option<PosterSpan>) {
        if let (Some(inbox), Some(poster)) = (&self.0, poster) {
            inbox.posters.lock().unwrap_or_else(PoisonError::into_inner).insert(task_id, poster);
        }
    }

    /// Notes what a batch has changed.
    pub(crate) fn note(&self, transitions: &[Transition]) {
        let Some(inbox) = &self.0 else { return };
        if transitions.is_empty() {
            return;
        }
        let mut posters = inbox.posters.lock().unwrap_or_else(PoisonError::into_inner);
        for transition in transitions {
            let poster = if transition.from.is_none() { posters.remove(transition.task_id) } else { None };
            let change = Change { transition: transition.clone(), poster };
            if inbox.changes.try_send(change).is_err() {
                inbox.counts.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Deletes what is left of tasks that ended where nobody makes spans, or before a stop, for ever.
    pub(crate) async fn keep_purged(self, store: Arc<dyn Store>, clock: Clock) {
        let mut after = None;
        while self.is_on() {
            tokio::time::sleep(PURGE_AGAIN).await;
            let Ok(ended_before) = clock.now().checked_sub(PURGED_AFTER) else { continue };
            match store.purge_traces(after, ended_before, PURGE_STEP).await {
                Ok(last) => after = last,
                Err(error) => failed("could not delete the spans of posters", &error),
            }
        }
    }
}

/// Makes spans and sends them.
pub(crate) struct Worker {
    inbox: Arc<Inbox>,
    changes: mpsc::Receiver<Change>,
    store: Arc<dyn Store>,
    stop: CancellationToken,
    exporter: Exporter,
    lives: Recent<Life>,
    /// The changes that wait for their time.
    held: VecDeque<(Instant, Transition)>,
    /// The tasks of which nothing needs to be kept any more, and since when.
    done: VecDeque<(Instant, Uuid)>,
    /// How many spans were dropped when the collector ceased to take them; `None` while it takes them.
    lost: Option<u64>,
}

impl Worker {
    /// Sends spans until the tracer is stopped, and then those that are left.
    pub(crate) async fn run(mut self) {
        let stop = self.stop.clone();
        let mut received = Vec::new();
        while !stop.is_cancelled() {
            let held = self.held.front().map(|(at, _)| *at + HELD);
            let done = self.done.front().map(|(at, _)| *at + KEPT);
            let due = held.into_iter().chain(done).min();
            let is_due = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            let room = QUEUED.saturating_sub(self.held.len());
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = is_due => {}
                _ = self.changes.recv_many(&mut received, room), if room > 0 => {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep(COLLECTED) => {}
                    }
                }
            }
            self.begin(&mut received).await;
            self.finish_until(Instant::now().checked_sub(HELD)).await;
            self.delete_done(Instant::now().checked_sub(KEPT)).await;
        }
        self.begin(&mut received).await;
        self.finish_until(Some(Instant::now())).await;
    }

    /// Takes changes that have come, and saves the spans of posters for others.
    async fn begin(&mut self, received: &mut Vec<Change>) {
        while received.len() < QUEUED
            && let Ok(change) = self.changes.try_recv()
        {
            received.push(change);
        }
        let now = Instant::now();
        let mut posters = Vec::new();
        for Change { transition, poster } in received.drain(..) {
            if transition.from.is_none() {
                self.lives.insert(transition.task_id, Life::of(poster));
                posters.extend(poster.map(|poster| (transition.task_id, poster.as_stored())));
            }
            self.held.push_back((now, transition));
        }
        if !posters.is_empty()
            && let Err(error) = self.store.save_traces(posters.into()).await
        {
            failed("could not save the spans of posters", &error);
        }
    }

    /// Sends the spans of what had come by this time.
    async fn finish_until(&mut self, time: Option<Instant>) {
        let Some(time) = time else { return };
        let due = self.held.partition_point(|(at, _)| *at <= time);
        if due == 0 {
            return;
        }
        let changes: Vec<Transition> = self.held.drain(..due).map(|(_, change)| change).collect();
        let not_known = self.read_lives(&changes).await;
        let mut spans = Vec::new();
        for change in changes {
            let id = change.task_id;
            let Some(mut life) = self.lives.remove(id) else {
                // Where the store did not say to which trace it belongs, it would be in a wrong one.
                if not_known.contains(&id) {
                    self.inbox.counts.dropped.fetch_add(1, Ordering::Relaxed);
                } else {
                    spans.extend(spans::ended(&change, &mut Life::default()));
                }
                continue;
            };
            spans.extend(spans::ended(&change, &mut life));
            if !change.to.is_end() {
                self.lives.insert(id, life);
            } else if life.poster.is_some() && self.done.len() < LIVES {
                self.done.push_back((Instant::now(), id));
            }
        }
        while !spans.is_empty() {
            let rest = spans.split_off(spans.len().min(BATCH));
            self.send(spans).await;
            spans = rest;
        }
    }

    /// Deletes what is kept of the tasks that were done by this time. What is left over is purged later.
    async fn delete_done(&mut self, time: Option<Instant>) {
        let Some(time) = time else { return };
        let due = self.done.partition_point(|(at, _)| *at <= time);
        if due == 0 {
            return;
        }
        let ids: Arc<[Uuid]> = self.done.drain(..due).map(|(_, id)| id).collect();
        if let Err(error) = self.store.delete_traces(ids).await {
            failed("could not delete the spans of posters", &error);
        }
    }

    /// Reads the spans of the posters of tasks that are not remembered. Returns the tasks of which they could not
    /// be read.
    async fn read_lives(&mut self, changes: &[Transition]) -> HashSet<Uuid> {
        let ids = changes.iter().map(|change| change.task_id);
        let mut unknown: HashSet<Uuid> = ids.filter(|id| !self.lives.contains(*id)).collect();
        if unknown.is_empty() {
            return unknown;
        }
        match self.store.traces_of(unknown.iter().copied().collect()).await {
            Ok(found) => {
                for id in unknown.drain() {
                    self.lives.insert(id, Life::default());
                }
                for (id, context) in found {
                    self.lives.insert(id, Life::of(Some(PosterSpan::stored(context))));
                }
            }
            Err(error) => failed("could not read the spans of posters", &error),
        }
        unknown
    }

    async fn send(&mut self, spans: Vec<SpanData>) {
        let (number, counts) = (spans.len() as u64, &self.inbox.counts);
        match self.exporter.send(spans).await {
            Ok(()) => {
                counts.sent.fetch_add(number, Ordering::Relaxed);
                if let Some(before) = self.lost.take() {
                    let dropped = counts.dropped.load(Ordering::Relaxed) - before;
                    tracing::info!(dropped, "the collector takes spans again");
                }
            }
            Err(error) => {
                let before = counts.dropped.fetch_add(number, Ordering::Relaxed);
                if self.lost.is_none() {
                    self.lost = Some(before);
                    tracing::warn!(error, "the collector takes no spans: they are dropped until it does");
                }
            }
        }
    }
}

fn failed(what: &str, error: &StoreError) {
    tracing::debug!(error = format!("{error:#}"), "{what}");
}

#[cfg(test)]
mod tests;
