//! Makes spans of changes, each once the span of the task's poster is known.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use opentelemetry_sdk::trace::SpanData;
use slamon_domain::Transition;
use slamon_store::Store;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::exporter::{BATCH, Exporter};
use super::inbox::{Change, Inbox, QUEUED};
use super::poster::PosterSpan;
use super::recent::Recent;
use super::sampler::Sampler;
use super::spans::{self, Life};
use crate::logging::failure_log::ShouldLog;

/// Changes are taken together that come within this time.
const COLLECTED: Duration = Duration::from_millis(100);

/// Spans are made of a change after this long, so that another AFM has saved the span of the poster meanwhile.
const HELD: Duration = Duration::from_secs(1);

/// What is kept of a task is deleted this long after its last span, since another AFM may still have to send one.
const KEPT: Duration = Duration::from_secs(10);

/// The lives of so many tasks are remembered. What belongs to others is read from the store. As many tasks at most
/// wait for what is kept of them to be deleted.
const LIVES: usize = 100_000;

/// Makes spans and queues them to be sent.
pub(crate) struct Worker {
    inbox: Arc<Inbox>,
    changes: mpsc::Receiver<Change>,
    store: Arc<dyn Store>,
    stop: CancellationToken,
    exporter: Exporter,
    sampler: Sampler,
    lives: Recent<Life>,
    /// The changes that wait for their time.
    held: VecDeque<(Instant, Transition)>,
    /// The tasks of which nothing needs to be kept any more, and since when.
    done: VecDeque<(Instant, Uuid)>,
    /// How many spans there was no room for, as the log has said.
    no_room_logged: u64,
}

impl Worker {
    pub(super) fn new(
        inbox: Arc<Inbox>,
        changes: mpsc::Receiver<Change>,
        store: Arc<dyn Store>,
        stop: CancellationToken,
        exporter: Exporter,
        sampler: Sampler,
    ) -> Self {
        Self {
            inbox,
            changes,
            store,
            stop,
            exporter,
            sampler,
            lives: Recent::new(LIVES),
            held: VecDeque::new(),
            done: VecDeque::new(),
            no_room_logged: 0,
        }
    }

    /// Makes spans until the tracer is stopped, and sends those that are left then.
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
            self.log_no_room();
        }
        self.begin(&mut received).await;
        self.finish_until(Some(Instant::now())).await;
        self.exporter.finish().await;
    }

    /// Takes changes that have come, and saves the spans of posters for others.
    async fn begin(&mut self, received: &mut Vec<Change>) {
        while self.held.len() + received.len() < QUEUED
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
            self.inbox.failed("could not save the spans of posters", &error);
        }
    }

    /// Makes the spans of what had come by this time, and queues them.
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
            if let Some(mut life) = self.lives.remove(id) {
                spans.extend(spans::ended(&change, &mut life, self.sampler));
                if !change.to.is_end() {
                    self.lives.insert(id, life);
                } else if life.poster.is_some() {
                    self.done.push_back((Instant::now(), id));
                }
            } else if not_known.contains(&id) {
                // Where the store did not say to which trace it belongs, it would be in a wrong one.
                self.inbox.counts.not_known.fetch_add(1, Ordering::Relaxed);
            } else {
                spans.extend(spans::ended(&change, &mut Life::default(), self.sampler));
            }
            if spans.len() >= BATCH {
                self.queue(std::mem::take(&mut spans)).await;
            }
        }
        if !spans.is_empty() {
            self.queue(spans).await;
        }
    }

    /// Queues spans to be sent. Only at the end it waits for room.
    async fn queue(&self, spans: Vec<SpanData>) {
        if self.stop.is_cancelled() {
            self.exporter.wait_and_queue(spans).await;
        } else {
            self.exporter.queue(spans);
        }
    }

    /// Deletes what is kept of the tasks that were done by this time. What is left over is purged later.
    async fn delete_done(&mut self, time: Option<Instant>) {
        let due = time.map_or(0, |time| self.done.partition_point(|(at, _)| *at <= time));
        let too_many = self.done.len().saturating_sub(LIVES);
        if due.max(too_many) == 0 {
            return;
        }
        let ids: Arc<[Uuid]> = self.done.drain(..due.max(too_many)).map(|(_, id)| id).collect();
        if let Err(error) = self.store.delete_traces(ids).await {
            self.inbox.failed("could not delete the spans of posters", &error);
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
            Err(error) => self.inbox.failed("could not read the spans of posters", &error),
        }
        unknown
    }

    /// Says in the log, once a minute, that spans were dropped for want of room.
    fn log_no_room(&mut self) {
        let no_room = self.inbox.counts.no_room.load(Ordering::Relaxed);
        if no_room > self.no_room_logged
            && let ShouldLog::Yes { .. } = self.inbox.failures.note("no room")
        {
            let dropped = no_room - self.no_room_logged;
            tracing::warn!(dropped, "spans were dropped: more come than the collector takes");
            self.no_room_logged = no_room;
        }
    }
}
