//! Traces: the life of each task as spans, sent to a collector of OpenTelemetry.
//!
//! The commit loop gives each change of a task's state to the [`Tracer`], which only queues it. A worker makes spans
//! of what has ended and queues them for a thread that sends them. Nobody waits for either: where the collector is
//! away or slow, spans are dropped and counted.

mod client;
mod exporter;
mod inbox;
mod poster;
mod recent;
mod sampler;
mod spans;
mod worker;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::SignedDuration;
use slamon_domain::Transition;
use slamon_store::Store;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::clock::Clock;
use crate::logging::failure_log::FailureLog;
use exporter::Exporter;
use inbox::{Change, Inbox, QUEUED, SpanCounts};
pub(crate) use poster::PosterSpan;
use recent::Recent;
pub(crate) use sampler::Sampler;
pub(crate) use worker::Worker;

/// So many posts with a span may be on their way.
const POSTERS: usize = 20_000;

/// What is kept of tasks that have ended is looked for once in this long, and this long after a step that has not
/// come to the end. This AFM or another one may still send the last span of a task that ended a short time ago.
const PURGE_AGAIN: Duration = Duration::from_secs(60);
const NEXT_PURGE_STEP: Duration = Duration::from_secs(1);
const PURGE_STEP: u32 = 1_000;
const PURGED_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// Takes the changes of tasks of which spans are made. All clones are one; the default takes none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tracer(Option<Arc<Inbox>>);

impl Tracer {
    /// Creates a tracer, and the worker that sends the spans that `sampler` chooses to `endpoint` until `stop` is
    /// cancelled.
    ///
    /// # Errors
    /// Fails with one line if nothing can ever be sent there.
    pub(crate) fn start(
        endpoint: &str,
        sampler: Sampler,
        store: Arc<dyn Store>,
        stop: CancellationToken,
    ) -> Result<(Self, Worker), String> {
        let counts = Arc::new(SpanCounts::default());
        let exporter = Exporter::start(endpoint, Arc::clone(&counts))?;
        let (sender, changes) = mpsc::channel(QUEUED);
        let inbox = Arc::new(Inbox {
            changes: sender,
            posters: Mutex::new(Recent::new(POSTERS)),
            counts,
            failures: FailureLog::default(),
        });
        let worker = Worker::new(Arc::clone(&inbox), changes, store, stop, exporter, sampler);
        Ok((Self(Some(inbox)), worker))
    }

    /// Whether spans are made.
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// How many spans a collector has taken, and how many were dropped. A change that is dropped counts as one.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let Some(inbox) = &self.0 else { return (0, 0) };
        let SpanCounts { sent, refused, no_room, not_known } = &*inbox.counts;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(sent), read(refused) + read(no_room) + read(not_known))
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
                inbox.counts.no_room_for(1);
            }
        }
    }

    /// Deletes what is left of tasks that ended where nobody makes spans, or before a stop, for ever.
    pub(crate) async fn keep_purged(self, store: Arc<dyn Store>, clock: Clock) {
        let Some(inbox) = &self.0 else { return };
        let mut after = None;
        loop {
            tokio::time::sleep(if after.is_some() { NEXT_PURGE_STEP } else { PURGE_AGAIN }).await;
            let Ok(ended_before) = clock.now().checked_sub(PURGED_AFTER) else { continue };
            match store.purge_traces(after, ended_before, PURGE_STEP).await {
                Ok(last) => after = last,
                Err(error) => {
                    inbox.failed("could not delete the spans of posters", &error);
                    after = None;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
