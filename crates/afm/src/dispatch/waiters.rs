//! Holds requests open: polls until there is a task for them, reads until a task has ended.
//!
//! A task that comes to wait wakes one poll that could take it, not all of them; `poll_queue` chooses which.
//! If that poll is gone before it was answered, the next one is woken.
//!
//! A task that this AFM is about to store is handed to a poll directly, without the poll asking for it.
//!
//! An agent has one held poll at most. A newer one ends it, since the client of the older one may have
//! vanished without closing its connection.

mod held_poll;
mod long_poll;
mod poll_queue;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use slamon_domain::{Applied, Pauses, WaitingKind};
use slamon_protocol::{Capability, PollRequest, PostTask};
use slamon_store::StoreEvent;
use tokio::time::Instant;
use uuid::Uuid;

pub use self::held_poll::HandOff;
use self::held_poll::{HeldPoll, PollPosition};
use self::poll_queue::PollQueue;
use super::sync::{AtomicUsize, Mutex, MutexGuard, Notify};

/// Polls of up to this many bytes are bounded by the number of connections alone.
const SMALL_POLL: usize = 8 * 1024;

/// Larger held polls may take this many bytes together beyond that.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// All requests that are held open. All clones are one.
#[derive(Debug, Clone, Default)]
pub struct Waiters(Arc<SharedWaiters>);

#[derive(Debug, Default)]
struct SharedWaiters {
    state: Mutex<WaitersState>,
    /// How many polls are held. If there are none, polls that do not wait need not take the lock.
    held: AtomicUsize,
}

#[derive(Debug, Default)]
struct WaitersState {
    polls: HashMap<Capability, PollQueue>,
    /// The held poll of each agent.
    agents: HashMap<Uuid, Arc<HeldPoll>>,
    /// How many polls there have been.
    begun: u64,
    /// How many bytes the large ones among the held polls take.
    bytes: usize,
    reads: HashMap<Uuid, Vec<Arc<Notify>>>,
    /// What is paused, if anything is: such polls and tasks are left alone.
    pauses: Option<Arc<Pauses>>,
}

impl Waiters {
    /// Gives a poll its place in the queues of its capabilities, until the result is dropped. Ends the older
    /// poll of its agent. Returns `None` if the poll is large and held polls take too much memory already.
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

    /// Ends the held poll of an agent, which has sent another one that does not wait. Returns when the older
    /// one began, if there was one.
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

    /// Returns how many polls, and how many reads, are held open.
    pub(crate) fn held(&self) -> (usize, usize) {
        let state = self.lock();
        (state.agents.len(), state.reads.values().map(Vec::len).sum())
    }

    /// Says of each of these agents whether a poll of it is held open.
    #[must_use]
    pub fn are_held(&self, agents: &[Uuid]) -> Vec<bool> {
        let state = self.lock();
        agents.iter().map(|agent_id| state.agents.contains_key(agent_id)).collect()
    }

    /// Says whether a poll of this agent waits and is not about to ask.
    #[must_use]
    pub fn is_waiting(&self, agent_id: Uuid) -> bool {
        self.lock().agents.get(&agent_id).is_some_and(|poll| poll.is_idle())
    }

    /// Waits for the end of a task, until the result is dropped.
    #[must_use]
    pub fn read(&self, task_id: Uuid) -> WaitingRead {
        let notify = Arc::new(Notify::new());
        self.lock().reads.entry(task_id).or_default().push(Arc::clone(&notify));
        WaitingRead { waiters: self.clone(), task_id, notify }
    }

    /// Wakes requests for what another AFM has done.
    pub fn on_event(&self, event: &StoreEvent) {
        match event {
            StoreEvent::TaskWaiting(waiting) => self.tasks_wait(&waiting.kind),
            StoreEvent::TaskEnded(task_id) => self.task_ended(*task_id),
            StoreEvent::CancellationPending(agent_id) => self.lock().cancellation_pending(*agent_id),
            StoreEvent::ListeningStopped
            | StoreEvent::Changed(_)
            | StoreEvent::ChangesMissed
            | StoreEvent::Watched
            | StoreEvent::PausesChanged => {}
            StoreEvent::EventsMissed | StoreEvent::NotListening => self.wake_all(),
        }
    }

    /// Wakes requests for what a batch has done.
    pub fn on_batch(&self, applied: &Applied) {
        let Applied { waiting, ended, pending_cancellations, .. } = applied;
        if waiting.is_empty() && ended.is_empty() && pending_cancellations.is_empty() {
            return;
        }
        let mut state = self.lock();
        for waiting in waiting {
            state.tasks_wait(&waiting.kind);
        }
        for task_id in ended {
            state.task_ended(*task_id);
        }
        for agent_id in pending_cancellations {
            state.cancellation_pending(*agent_id);
        }
    }

    /// Wakes the next poll that could take a task of this kind.
    pub fn tasks_wait(&self, kind: &WaitingKind) {
        self.lock().tasks_wait(kind);
    }

    /// Hands each task to the next waiting poll that could take it: the poll gets what `claim` returns.
    pub fn hand_off<'t>(
        &self,
        tasks: impl Iterator<Item = &'t PostTask>,
        mut claim: impl FnMut(&PollRequest, WaitingKind) -> HandOff,
    ) {
        let mut state = self.lock();
        // Most agents do not hold polls open.
        if state.polls.is_empty() {
            return;
        }
        let now = Instant::now();
        for task in tasks {
            let kind = WaitingKind::of(task);
            let WaitersState { polls, pauses, .. } = &mut *state;
            let Some(queue) = queue_of(polls, pauses.as_deref(), &kind) else { continue };
            let takes = |poll: &HeldPoll| {
                poll.is_idle() && !is_paused(pauses.as_deref(), poll) && poll.could_take(&kind)
            };
            if let Some(poll) = queue.next(now, takes) {
                poll.hand_off(claim(&poll.request, kind));
            }
        }
    }

    /// Wakes the requests that wait for the end of a task.
    pub fn task_ended(&self, task_id: Uuid) {
        self.lock().task_ended(task_id);
    }

    /// Notes what is paused, and wakes the polls that may be handed tasks which were paused until now.
    pub fn set_pauses(&self, pauses: Option<Arc<Pauses>>) {
        let mut state = self.lock();
        let before = std::mem::replace(&mut state.pauses, pauses);
        let (Some(before), after) = (before, state.pauses.clone()) else { return };
        for agent_id in before.agents.keys() {
            if let Some(poll) = state.agents.get(agent_id)
                && !is_paused(after.as_deref(), poll)
            {
                poll.wake();
            }
        }
        if before.has_types() {
            let is_resumed = |capability: &Capability| {
                before.of_version(capability).is_some()
                    && after.as_ref().is_none_or(|after| after.of_version(capability).is_none())
            };
            for (_, queue) in state.polls.iter().filter(|(capability, _)| is_resumed(capability)) {
                queue.all().for_each(HeldPoll::wake);
            }
        }
    }

    /// Wakes everybody, since events may have been missed.
    fn wake_all(&self) {
        let state = self.lock();
        for poll in state.agents.values() {
            poll.wake();
        }
        for notify in state.reads.values().flatten() {
            notify.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, WaitersState> {
        self.0.state.lock()
    }
}

/// Returns the polls that offer a kind, unless its tasks are paused.
fn queue_of<'p>(
    polls: &'p mut HashMap<Capability, PollQueue>,
    pauses: Option<&Pauses>,
    kind: &WaitingKind,
) -> Option<&'p mut PollQueue> {
    let is_paused = pauses.is_some_and(|pauses| pauses.pauses_kind(kind));
    polls.get_mut(&kind.capability).filter(|_| !is_paused)
}

/// Whether the agent of a poll is paused.
fn is_paused(pauses: Option<&Pauses>, poll: &HeldPoll) -> bool {
    pauses.is_some_and(|pauses| pauses.pauses_agent(poll.request.agent_id))
}

impl WaitersState {
    /// Wakes the poll of an agent that is to be told that a task of it was cancelled.
    fn cancellation_pending(&self, agent_id: Uuid) {
        if let Some(poll) = self.agents.get(&agent_id) {
            poll.wake();
        }
    }

    fn tasks_wait(&mut self, kind: &WaitingKind) {
        let pauses = self.pauses.as_deref();
        if let Some(queue) = queue_of(&mut self.polls, pauses, kind) {
            queue.next(Instant::now(), |poll| !is_paused(pauses, poll) && poll.wake_for(kind));
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

/// A poll that has a place in the queues.
#[derive(Debug)]
pub struct WaitingPoll {
    waiters: Waiters,
    poll: Arc<HeldPoll>,
    /// How many bytes it takes of the memory for large polls.
    bytes: usize,
    older_began: Option<Instant>,
}

impl WaitingPoll {
    /// Returns when the older poll of the agent began, if this one has ended one: nobody got what that was
    /// given.
    #[must_use]
    pub fn older_began(&self) -> Option<Instant> {
        self.older_began
    }

    /// Waits until there may be a task, or for `at_most`. The caller then takes what it is handed or, if that
    /// is nothing, asks. If it finds nothing, it calls [`WaitingPoll::found_nothing`] and may wait again.
    pub async fn woken(&self, at_most: Duration) -> Option<HandOff> {
        self.poll.woken(at_most).await
    }

    /// Waits until a newer poll of the agent has ended this one.
    pub async fn ended(&self) {
        self.poll.ended().await;
    }

    /// Notes that the poll has brought nothing: the task that it was woken for has gone to somebody else.
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
        // A newer poll of the agent may have taken its place.
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

/// A request that waits for the end of a task.
#[derive(Debug)]
pub struct WaitingRead {
    waiters: Waiters,
    task_id: Uuid,
    notify: Arc<Notify>,
}

impl WaitingRead {
    /// Waits until the task may have ended.
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
