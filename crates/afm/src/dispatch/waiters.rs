//! Requests that are held open: polls until there is a task for them, reads until a task has ended.
//!
//! A hint is of one task, and wakes one poll that could take it, not all of them: which one, `queue` says. If that
//! poll is gone before it was answered, the hint is the next one's.
//!
//! What this AFM is about to store is handed to a poll without that poll asking for it.
//!
//! An agent has one poll held open: a newer one ends it, since the client of the older one may have vanished without
//! closing its connection.

mod held_poll;
mod long_poll;
mod poll_queue;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slamon_protocol::{Capability, PollRequest, PostTask};
use slamon_store::{Applied, StoreEvent, WaitingKind};
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

pub use self::held_poll::HandOff;
use self::held_poll::{HeldPoll, PollPosition};
use self::poll_queue::PollQueue;

/// Polls that take no more than this are bounded by the number of connections alone, in bytes.
const SMALL_POLL: usize = 8 * 1024;

/// What the larger ones that are held open may take together beyond that, in bytes.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// Who waits for what. All clones are one.
#[derive(Debug, Clone, Default)]
pub struct Waiters(Arc<SharedWaiters>);

#[derive(Debug, Default)]
struct SharedWaiters {
    state: Mutex<WaitersState>,
    /// How many polls are held open, so that polls that are not find out without the lock that there are none.
    held: AtomicUsize,
}

#[derive(Debug, Default)]
struct WaitersState {
    polls: HashMap<Capability, PollQueue>,
    /// The poll that each agent holds open.
    agents: HashMap<Uuid, Arc<HeldPoll>>,
    /// How many polls there were.
    begun: u64,
    /// What the large ones among those that are held open take, in bytes.
    bytes: usize,
    reads: HashMap<Uuid, Vec<Arc<Notify>>>,
}

impl Waiters {
    /// Holds a poll's place in the queues for its capabilities, until it is dropped. Ends the older poll of its agent.
    /// `None`: it is large, and those that are held take too much memory already.
    #[must_use]
    pub fn poll(&self, request: &PollRequest) -> Option<WaitingPoll> {
        let bytes = held_poll::bytes(request).saturating_sub(SMALL_POLL);
        let mut state = self.lock();
        if bytes > 0 && state.bytes.saturating_add(bytes) > MOST_BYTES {
            return None;
        }
        state.bytes += bytes;
        state.begun += 1;
        let place = PollPosition { began: Instant::now(), number: state.begun };
        let poll = Arc::new(HeldPoll::new(request.clone(), place));
        for capability in &request.agent_capabilities {
            state.polls.entry(capability.clone()).or_default().add(Arc::clone(&poll));
        }
        let older = state.agents.insert(request.agent_id, Arc::clone(&poll));
        self.0.held.store(state.agents.len(), Ordering::Relaxed);
        if let Some(older) = &older {
            state.forget(older);
        }
        drop(state);
        let older_began = older.map(|older| {
            older.end();
            older.place.began
        });
        Some(WaitingPoll { waiters: self.clone(), poll, bytes, older_began })
    }

    /// Ends the poll that an agent holds open, if it does: the agent has come again, with a poll that does not wait.
    /// When the one that was ended began.
    pub fn end_older(&self, agent_id: Uuid) -> Option<Instant> {
        if self.0.held.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut state = self.lock();
        let older = state.agents.remove(&agent_id)?;
        self.0.held.store(state.agents.len(), Ordering::Relaxed);
        state.forget(&older);
        drop(state);
        older.end();
        Some(older.place.began)
    }

    /// Whether a poll of this agent waits, and is not about to ask.
    #[must_use]
    pub fn is_waiting(&self, agent_id: Uuid) -> bool {
        self.lock().agents.get(&agent_id).is_some_and(|poll| poll.is_idle())
    }

    /// Waits for the end of a task, until it is dropped.
    #[must_use]
    pub fn read(&self, task_id: Uuid) -> WaitingRead {
        let notify = Arc::new(Notify::new());
        self.lock().reads.entry(task_id).or_default().push(Arc::clone(&notify));
        WaitingRead { waiters: self.clone(), task_id, notify }
    }

    /// Passes on what this or another process has done.
    pub fn hint(&self, hint: &StoreEvent) {
        match hint {
            StoreEvent::TaskWaiting(waiting) => self.tasks_wait(&waiting.kind),
            StoreEvent::TaskEnded(task_id) => self.task_ended(*task_id),
            StoreEvent::CancellationPending(_) | StoreEvent::ListeningStopped => {}
            StoreEvent::EventsMissed | StoreEvent::NotListening => self.anything(),
        }
    }

    /// Wakes those who wait for what a batch has done.
    pub fn tell(&self, applied: &Applied) {
        if applied.waiting.is_empty() && applied.ended.is_empty() {
            return;
        }
        let mut state = self.lock();
        for waiting in &applied.waiting {
            state.tasks_wait(&waiting.kind);
        }
        for task_id in &applied.ended {
            state.task_ended(*task_id);
        }
    }

    /// Wakes the next poll that could take a task of this kind.
    pub fn tasks_wait(&self, kind: &WaitingKind) {
        self.lock().tasks_wait(kind);
    }

    /// Of each task, hands the next poll that waits, and could take it, what `claim` makes of it.
    pub fn hand_off<'t>(
        &self,
        tasks: impl Iterator<Item = &'t PostTask>,
        mut claim: impl FnMut(&PollRequest, WaitingKind) -> HandOff,
    ) {
        let mut state = self.lock();
        // Most agents do not wait.
        if state.polls.is_empty() {
            return;
        }
        let now = Instant::now();
        for task in tasks {
            let kind = WaitingKind::of(task);
            let Some(queue) = state.polls.get_mut(&kind.capability) else { continue };
            if let Some(poll) = queue.next(now, |poll| poll.is_idle() && poll.could_take(&kind)) {
                poll.hand_off(claim(&poll.request, kind));
            }
        }
    }

    /// Wakes whoever waits for the end of a task.
    pub fn task_ended(&self, task_id: Uuid) {
        self.lock().task_ended(task_id);
    }

    /// WakeUps may have been missed: everybody looks for themselves.
    fn anything(&self) {
        let state = self.lock();
        for poll in state.agents.values() {
            poll.wake();
        }
        for notify in state.reads.values().flatten() {
            notify.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, WaitersState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WaitersState {
    fn tasks_wait(&mut self, kind: &WaitingKind) {
        if let Some(queue) = self.polls.get_mut(&kind.capability) {
            queue.next(Instant::now(), |poll| poll.wake_for(kind));
        }
    }

    fn task_ended(&self, task_id: Uuid) {
        for notify in self.reads.get(&task_id).into_iter().flatten() {
            notify.notify_one();
        }
    }

    /// Takes a poll out of the queues.
    fn forget(&mut self, poll: &HeldPoll) {
        for capability in &poll.request.agent_capabilities {
            if let Some(queue) = self.polls.get_mut(capability) {
                queue.remove(poll);
                if queue.is_empty() {
                    self.polls.remove(capability);
                }
            }
        }
    }
}

/// A poll's place in the queues.
#[derive(Debug)]
pub struct WaitingPoll {
    waiters: Waiters,
    poll: Arc<HeldPoll>,
    /// What it takes of the memory for large ones.
    bytes: usize,
    older_began: Option<Instant>,
}

impl WaitingPoll {
    /// When the poll of its agent began that this one has ended, if it has: what that one was given, nobody got.
    #[must_use]
    pub fn older_began(&self) -> Option<Instant> {
        self.older_began
    }

    /// Returns when there may be a task, after `at_most` in any case. Whoever sees this takes what it is handed or, where
    /// that is nothing, asks; says if it found nothing, and may then wait again.
    pub async fn woken(&self, at_most: Duration) -> Option<HandOff> {
        self.poll.woken(at_most).await
    }

    /// Returns when a newer poll of the agent has ended this one.
    pub async fn ended(&self) {
        self.poll.ended().await;
    }

    /// The poll brought nothing: what it was woken for is somebody else's.
    pub fn found_nothing(&self) {
        self.poll.found_nothing();
    }
}

impl Drop for WaitingPoll {
    fn drop(&mut self) {
        let mut state = self.waiters.lock();
        state.bytes -= self.bytes;
        state.forget(&self.poll);
        let agent_id = self.poll.request.agent_id;
        // A newer poll may have taken its place.
        if state.agents.get(&agent_id).is_some_and(|poll| Arc::ptr_eq(poll, &self.poll)) {
            state.agents.remove(&agent_id);
            self.waiters.0.held.store(state.agents.len(), Ordering::Relaxed);
        }
        drop(state);
        for kind in self.poll.unanswered() {
            self.waiters.tasks_wait(&kind);
        }
    }
}

/// Somebody who waits for the end of a task.
#[derive(Debug)]
pub struct WaitingRead {
    waiters: Waiters,
    task_id: Uuid,
    notify: Arc<Notify>,
}

impl WaitingRead {
    /// Returns when the task may have ended.
    pub async fn woken(&self) {
        self.notify.notified().await;
    }
}

impl Drop for WaitingRead {
    fn drop(&mut self) {
        let mut state = self.waiters.lock();
        if let Some(waiting) = state.reads.get_mut(&self.task_id) {
            waiting.retain(|notify| !Arc::ptr_eq(notify, &self.notify));
            if waiting.is_empty() {
                state.reads.remove(&self.task_id);
            }
        }
    }
}
