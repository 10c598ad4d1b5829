//! Wakes requests that are held open: polls until there is a task for them, reads until a task has ended.
//!
//! A hint is of one task, and wakes the poll that has waited longest and could take it, not all of them. If that
//! poll is gone before it could ask, the hint is the next one's.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slamon_protocol::{Capability, PollRequest};
use slamon_store::{Hint, WaitingKind};
use tokio::sync::Notify;
use uuid::Uuid;

/// Who waits for what. All clones are one.
#[derive(Debug, Clone, Default)]
pub struct Wakeups(Arc<Mutex<Waiters>>);

#[derive(Debug, Default)]
struct Waiters {
    polls: HashMap<Capability, VecDeque<Arc<Poll>>>,
    reads: HashMap<Uuid, Vec<Arc<Notify>>>,
}

#[derive(Debug)]
struct Poll {
    request: PollRequest,
    notify: Notify,
    /// For what it was woken, while it has not asked again since.
    woken_for: Mutex<Option<WaitingKind>>,
}

impl Poll {
    fn woken_for(&self) -> MutexGuard<'_, Option<WaitingKind>> {
        self.woken_for.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wakeups {
    /// Holds a poll's place in the queues for its capabilities, until it is dropped.
    #[must_use]
    pub fn poll(&self, request: &PollRequest) -> WaitingPoll {
        let poll =
            Arc::new(Poll { request: request.clone(), notify: Notify::new(), woken_for: Mutex::new(None) });
        let mut waiters = self.lock();
        for capability in &request.agent_capabilities {
            waiters.polls.entry(capability.clone()).or_default().push_back(Arc::clone(&poll));
        }
        WaitingPoll { wakeups: self.clone(), poll }
    }

    /// Waits for the end of a task, until it is dropped.
    #[must_use]
    pub fn read(&self, task_id: Uuid) -> WaitingRead {
        let notify = Arc::new(Notify::new());
        self.lock().reads.entry(task_id).or_default().push(Arc::clone(&notify));
        WaitingRead { wakeups: self.clone(), task_id, notify }
    }

    /// Passes on what this or another process has done.
    pub fn hint(&self, hint: &Hint) {
        match hint {
            Hint::Waiting(kind) => self.tasks_wait(kind),
            Hint::Ended(task_id) => self.task_ended(*task_id),
            Hint::Anything => self.anything(),
        }
    }

    /// Wakes the first poll that could take a task of this kind.
    pub fn tasks_wait(&self, kind: &WaitingKind) {
        let waiters = self.lock();
        let Some(queue) = waiters.polls.get(&kind.capability) else { return };
        let could_take = |poll: &&Arc<Poll>| {
            let agent = &poll.request;
            poll.woken_for().is_none()
                && kind.agent_filter.matches(agent.agent_id, &agent.agent_name, agent.agent_location.as_ref())
        };
        if let Some(poll) = queue.iter().find(could_take) {
            *poll.woken_for() = Some(kind.clone());
            poll.notify.notify_one();
        }
    }

    /// Wakes whoever waits for the end of a task.
    pub fn task_ended(&self, task_id: Uuid) {
        for notify in self.lock().reads.get(&task_id).into_iter().flatten() {
            notify.notify_one();
        }
    }

    /// Hints may have been missed: everybody looks for themselves.
    fn anything(&self) {
        let waiters = self.lock();
        for poll in waiters.polls.values().flatten() {
            poll.notify.notify_one();
        }
        for notify in waiters.reads.values().flatten() {
            notify.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A poll's place in the queues.
#[derive(Debug)]
pub struct WaitingPoll {
    wakeups: Wakeups,
    poll: Arc<Poll>,
}

impl WaitingPoll {
    /// Returns when there may be a task. Whoever sees this asks, and may then wait again.
    pub async fn woken(&self) {
        self.poll.notify.notified().await;
        *self.poll.woken_for() = None;
    }
}

impl Drop for WaitingPoll {
    fn drop(&mut self) {
        let mut waiters = self.wakeups.lock();
        for capability in &self.poll.request.agent_capabilities {
            if let Some(queue) = waiters.polls.get_mut(capability) {
                queue.retain(|poll| !Arc::ptr_eq(poll, &self.poll));
                if queue.is_empty() {
                    waiters.polls.remove(capability);
                }
            }
        }
        drop(waiters);
        if let Some(kind) = self.poll.woken_for().take() {
            self.wakeups.tasks_wait(&kind);
        }
    }
}

/// Somebody who waits for the end of a task.
#[derive(Debug)]
pub struct WaitingRead {
    wakeups: Wakeups,
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
        let mut waiters = self.wakeups.lock();
        if let Some(waiting) = waiters.reads.get_mut(&self.task_id) {
            waiting.retain(|notify| !Arc::ptr_eq(notify, &self.notify));
            if waiting.is_empty() {
                waiters.reads.remove(&self.task_id);
            }
        }
    }
}
