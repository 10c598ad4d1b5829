//! Keeps the latest changes of tasks for those who watch them.
//!
//! Each change has a number. A watcher reads on from the number that it read last; one that is too slow, or
//! comes back too late, is told how many changes it has missed. So what is kept has one bound for all
//! watchers together, and nobody waits for a slow one.
//!
//! While nobody watches, nothing is kept. With PostgreSQL, an AFM with watchers says so to the others, which
//! then publish their changes, too.

mod event_id;
mod outbox;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slamon_domain::Transition;
use slamon_store::{Published, Store, StoreEvent};
use tokio::sync::watch;
use tokio::time::Instant;

pub(crate) use self::event_id::EventId;
use self::outbox::Outbox;

/// This many changes are kept.
const KEPT: usize = 10_000;

/// Changes are kept for this long after the last watcher has left: it may come back and read on.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// So many may watch at the same time.
const MOST_WATCHERS: usize = 1_000;

/// An AFM with watchers says so this often.
const SAID_AGAIN: Duration = Duration::from_secs(5);

/// Other AFMs publish their changes for this long after an AFM has said that it is watched.
const PUBLISHED_FOR: Duration = Duration::from_secs(15);

/// Changes are published this long after the first one, together with those that have come since.
const PUBLISHED_AFTER: Duration = Duration::from_millis(100);

/// The latest changes of tasks. All clones are one.
#[derive(Clone, Debug)]
pub(crate) struct EventLog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Whether anything is kept or published; read before the lock is taken, since mostly nothing is.
    is_on: AtomicBool,
    kept: Mutex<Kept>,
    /// Changes when something was added, or when a first watcher has come.
    changed: watch::Sender<()>,
    /// Tells a log from that of another run.
    run: u32,
}

#[derive(Debug)]
struct Kept {
    /// The number of the first change that is kept.
    first: u64,
    /// Whoever has not read up to this number has missed changes, and nobody knows how many.
    lost_before: u64,
    changes: VecDeque<Arc<Transition>>,
    watchers: usize,
    /// When the last watcher has left.
    left_at: Option<Instant>,
    outbox: Outbox,
}

/// A watcher reads up to so many changes at once, since the log is locked meanwhile.
const READ_AT_ONCE: usize = 64;

/// What a watcher reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Watched {
    /// Changes, each with the id behind it.
    Changes(Vec<(Arc<Transition>, EventId)>),
    /// So many changes were missed, or (`None`) nobody knows how many.
    Missed(Option<u64>, EventId),
}

impl Default for EventLog {
    fn default() -> Self {
        let kept = Kept {
            first: 0,
            lost_before: 0,
            changes: VecDeque::new(),
            watchers: 0,
            left_at: None,
            outbox: Outbox::default(),
        };
        Self(Arc::new(Shared {
            is_on: AtomicBool::new(false),
            kept: Mutex::new(kept),
            changed: watch::Sender::new(()),
            run: EventId::random_run(),
        }))
    }
}

impl EventLog {
    /// Adds what a batch of this AFM has changed.
    pub(crate) fn add(&self, changes: Vec<Transition>) {
        if changes.is_empty() || !self.0.is_on.load(Ordering::Relaxed) {
            return;
        }
        let now = Instant::now();
        let mut kept = self.0.lock();
        let changes: Vec<Arc<Transition>> = changes.into_iter().map(Arc::new).collect();
        kept.outbox.add(&changes, now);
        kept.add(changes, now);
        self.0.note_whether_on(&mut kept, now);
        drop(kept);
        self.0.changed.send_replace(());
    }

    /// Adds what other AFMs have published.
    pub(crate) fn on_event(&self, event: &StoreEvent) {
        let now = Instant::now();
        let mut kept = self.0.lock();
        match event {
            StoreEvent::Changed(changes) => kept.add(changes.iter().cloned().map(Arc::new), now),
            // Whoever watches is told that there may be more.
            StoreEvent::EventsMissed | StoreEvent::NotListening | StoreEvent::ChangesMissed
                if kept.is_watched(now) =>
            {
                kept.first = kept.end() + 1;
                kept.lost_before = kept.first;
                kept.changes.clear();
            }
            StoreEvent::Watched => {
                kept.outbox.open_until(now + PUBLISHED_FOR);
                self.0.note_whether_on(&mut kept, now);
                return;
            }
            _ => return,
        }
        drop(kept);
        self.0.changed.send_replace(());
    }

    /// Begins to watch: from now on, or from what follows the change of this id on. Returns `None` if too many
    /// watch already.
    pub(crate) fn watch(&self, after: Option<EventId>) -> Option<Watcher> {
        let now = Instant::now();
        let mut kept = self.0.lock();
        if kept.watchers >= MOST_WATCHERS {
            return None;
        }
        let end = kept.end();
        let (next, is_lost) = match after {
            None => (end, false),
            Some(id) => match id.of_run(self.0.run) {
                Some(number) if kept.is_watched(now) && number <= end => (number, false),
                _ => (end, true),
            },
        };
        kept.watchers += 1;
        self.0.is_on.store(true, Ordering::Relaxed);
        let changed = self.0.changed.subscribe();
        drop(kept);
        self.0.changed.send_replace(());
        Some(Watcher { log: self.clone(), next, is_lost, changed })
    }

    /// Publishes changes to other AFMs, and tells them when somebody watches here, for as long as the server
    /// runs.
    pub(crate) async fn keep_published(self, store: Arc<dyn Store>) {
        let mut changed = self.0.changed.subscribe();
        let mut said_at: Option<Instant> = None;
        loop {
            let (is_watched, published) = {
                let now = Instant::now();
                let mut kept = self.0.lock();
                self.0.note_whether_on(&mut kept, now);
                (kept.watchers > 0, kept.outbox.take(now))
            };
            // What cannot be published is missed: every watcher looks for itself from time to time.
            if let Some(published) = published
                && let Err(error) = store.publish(published).await
            {
                tracing::debug!(%error, "could not publish changes of tasks to other AFMs");
            }
            if is_watched && said_at.is_none_or(|at| at.elapsed() >= SAID_AGAIN) {
                said_at = Some(Instant::now());
                if let Err(error) = store.publish(Published::Watched).await {
                    tracing::debug!(%error, "could not tell other AFMs that changes are watched here");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(SAID_AGAIN) => {}
                _ = changed.changed() => tokio::time::sleep(PUBLISHED_AFTER).await,
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes whether there is anybody for whom to keep or to publish changes.
    fn note_whether_on(&self, kept: &mut Kept, now: Instant) {
        if !kept.is_watched(now) {
            kept.first = kept.end();
            kept.changes = VecDeque::new();
        }
        self.is_on.store(kept.is_watched(now) || kept.outbox.is_open(now), Ordering::Relaxed);
    }
}

impl Kept {
    /// Whether somebody watches, or did a moment ago.
    fn is_watched(&self, now: Instant) -> bool {
        self.watchers > 0 || self.left_at.is_some_and(|at| now.duration_since(at) < KEPT_FOR)
    }

    /// The number of the next change.
    fn end(&self) -> u64 {
        self.first + self.changes.len() as u64
    }

    fn add(&mut self, changes: impl IntoIterator<Item = Arc<Transition>>, now: Instant) {
        if !self.is_watched(now) {
            return;
        }
        self.changes.extend(changes);
        let surplus = self.changes.len().saturating_sub(KEPT);
        self.changes.drain(..surplus);
        self.first += surplus as u64;
    }
}

/// Reads changes in their order.
#[derive(Debug)]
pub(crate) struct Watcher {
    log: EventLog,
    /// The number of the change that is read next.
    next: u64,
    /// Whether it is not known how many changes came before.
    is_lost: bool,
    changed: watch::Receiver<()>,
}

impl Watcher {
    /// The id with which to begin anew behind what was read so far.
    pub(crate) fn id(&self) -> EventId {
        EventId::new(self.log.0.run, self.next)
    }

    /// Waits for what comes next.
    pub(crate) async fn next(&mut self) -> Watched {
        loop {
            self.changed.mark_unchanged();
            if let Some(watched) = self.read() {
                return watched;
            }
            // The sender is never dropped, since this has the log.
            let _ = self.changed.changed().await;
        }
    }

    /// Passes over all that is there. Returns how many changes these are, if that is known.
    pub(crate) fn pass_over(&mut self) -> Option<u64> {
        let kept = self.log.0.lock();
        let is_known = !std::mem::take(&mut self.is_lost) && self.next >= kept.lost_before;
        let passed = kept.end() - self.next;
        self.next = kept.end();
        is_known.then_some(passed)
    }

    /// What comes next, if it is there.
    pub(crate) fn read(&mut self) -> Option<Watched> {
        if std::mem::take(&mut self.is_lost) {
            return Some(Watched::Missed(None, self.id()));
        }
        let kept = self.log.0.lock();
        if let Some(missed) = kept.first.checked_sub(self.next).filter(|missed| *missed > 0) {
            let is_known = self.next >= kept.lost_before;
            self.next = kept.first;
            drop(kept);
            return Some(Watched::Missed(is_known.then_some(missed), self.id()));
        }
        let place = usize::try_from(self.next - kept.first).ok()?;
        let changes: Vec<Arc<Transition>> =
            kept.changes.range(place..).take(READ_AT_ONCE).map(Arc::clone).collect();
        drop(kept);
        if changes.is_empty() {
            return None;
        }
        let with_id = |change| {
            self.next += 1;
            (change, EventId::new(self.log.0.run, self.next))
        };
        Some(Watched::Changes(changes.into_iter().map(with_id).collect()))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut kept = self.log.0.lock();
        kept.watchers -= 1;
        if kept.watchers == 0 {
            kept.left_at = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests;
