//! Tasks that were claimed for an agent that never got them.

use std::borrow::Borrow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use slamon_store::{Command, Outcome, Polled};
use tokio::sync::{Notify, oneshot};
use uuid::Uuid;

use super::{Answer, CommitError};
use crate::peer::{self, Outstanding};

/// Releases of what was claimed for, or told to, somebody who never got it. As many as there are requests, at most.
#[derive(Debug, Default)]
pub(super) struct Undelivered {
    releases: Mutex<Vec<Command>>,
    added: Notify,
}

impl Undelivered {
    pub(super) fn add(&self, releases: impl IntoIterator<Item = Command>) {
        self.lock().extend(releases);
        self.added.notify_one();
    }

    /// The tasks of a poll, and what it told, if it brought any.
    pub(super) fn add_polled(&self, agent_id: Uuid, claimed_at: Timestamp, polled: &Polled) {
        self.add(release(agent_id, claimed_at, polled));
    }

    /// Has the tasks of a poll go back if its answer does not get to whoever asked.
    fn watch(self: &Arc<Self>, agent_id: Uuid, claimed_at: Timestamp, polled: &Polled) {
        if let Some(release) = release(agent_id, claimed_at, polled) {
            peer::current(|peer| {
                let undelivered = Arc::clone(self);
                peer.carries(Outstanding::new(move || undelivered.add([release])));
            });
        }
    }

    pub(super) fn take(&self) -> Vec<Command> {
        std::mem::take(&mut *self.lock())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Returns when something was added.
    pub(super) async fn added(&self) {
        self.added.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Command>> {
        self.releases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn release(agent_id: Uuid, claimed_at: Timestamp, polled: &Polled) -> Option<Command> {
    let task_ids: Vec<Uuid> = polled.tasks.iter().map(|task| task.task_id).collect();
    let cancelled = polled.cancelled.clone();
    let is_empty = task_ids.is_empty() && cancelled.is_empty();
    (!is_empty).then_some(Command::Release { agent_id, claimed_at, task_ids, cancelled })
}

/// Waits for an answer. If it is dropped with the answer in it, what that answer brings goes back. It also does if
/// the answer is given to a request whose connection ends before its client can have got it.
pub(super) struct Awaited<U: Borrow<Arc<Undelivered>>> {
    answered: oneshot::Receiver<Answer>,
    agent_id: Option<Uuid>,
    undelivered: U,
}

impl<U: Borrow<Arc<Undelivered>>> Awaited<U> {
    pub(super) fn new(answered: oneshot::Receiver<Answer>, agent_id: Option<Uuid>, undelivered: U) -> Self {
        Self { answered, agent_id, undelivered }
    }

    pub(super) async fn answer(&mut self) -> Answer {
        let answer = (&mut self.answered).await.unwrap_or(Err(CommitError::Unavailable));
        if let (Ok((Outcome::Poll(polled), claimed_at)), Some(agent_id)) = (&answer, self.agent_id) {
            self.undelivered.borrow().watch(agent_id, *claimed_at, polled);
        }
        answer
    }
}

impl<U: Borrow<Arc<Undelivered>>> Drop for Awaited<U> {
    fn drop(&mut self) {
        self.answered.close();
        if let (Ok(Ok((Outcome::Poll(polled), claimed_at))), Some(agent_id)) =
            (self.answered.try_recv(), self.agent_id)
        {
            self.undelivered.borrow().add_polled(agent_id, claimed_at, &polled);
        }
    }
}
