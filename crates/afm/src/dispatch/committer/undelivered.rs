//! Releases tasks that were claimed for an agent that never got them.

use std::borrow::Borrow;
use std::sync::Arc;

use jiff::Timestamp;
use slamon_domain::{Command, Polled};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::commit_error::CommitError;
use super::queued::PolledAt;
use crate::dispatch::claimed::Claimed;
use crate::dispatch::sync::{Mutex, MutexGuard, Notify};

/// The releases that are to be applied: of tasks that were claimed for agents, and of cancellations that were
/// told to them, which did not arrive. There are at most as many as requests.
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

    /// Releases what a poll has brought, if it has brought anything.
    pub(super) fn add_polled(&self, agent_id: Uuid, claimed_at: Timestamp, polled: &Polled) {
        if let Some(release) = release(agent_id, claimed_at, polled) {
            self.add([release]);
        }
    }

    /// Returns what a poll has brought, with the way to release it.
    fn claimed(self: &Arc<Self>, agent_id: Uuid, claimed_at: Timestamp, polled: Polled) -> Claimed {
        let Some(release) = release(agent_id, claimed_at, &polled) else { return polled.into() };
        let undelivered = Arc::clone(self);
        Claimed::new(polled, move || undelivered.add([release]))
    }

    pub(super) fn take(&self) -> Vec<Command> {
        std::mem::take(&mut *self.lock())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Waits until something was added.
    pub(super) async fn added(&self) {
        self.added.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Command>> {
        self.releases.lock()
    }
}

fn release(agent_id: Uuid, claimed_at: Timestamp, polled: &Polled) -> Option<Command> {
    let task_ids: Vec<Uuid> = polled.tasks.iter().map(|task| task.task_id).collect();
    let cancelled = polled.cancelled.clone();
    let is_empty = task_ids.is_empty() && cancelled.is_empty();
    (!is_empty).then_some(Command::Release { agent_id, claimed_at, task_ids, cancelled })
}

/// Waits for what a poll brings. If this is dropped with the reply in it, what that brings is released.
pub(super) struct Awaited<U: Borrow<Arc<Undelivered>>> {
    reply: oneshot::Receiver<Result<PolledAt, CommitError>>,
    agent_id: Uuid,
    undelivered: U,
}

impl<U: Borrow<Arc<Undelivered>>> Awaited<U> {
    pub(super) fn new(
        reply: oneshot::Receiver<Result<PolledAt, CommitError>>,
        agent_id: Uuid,
        undelivered: U,
    ) -> Self {
        Self { reply, agent_id, undelivered }
    }

    pub(super) async fn claimed(&mut self) -> Result<Claimed, CommitError> {
        let (polled, claimed_at) = (&mut self.reply).await.unwrap_or(Err(CommitError::Unavailable))?;
        Ok(self.undelivered.borrow().claimed(self.agent_id, claimed_at, polled))
    }
}

impl<U: Borrow<Arc<Undelivered>>> Drop for Awaited<U> {
    fn drop(&mut self) {
        self.reply.close();
        if let Ok(Ok((polled, claimed_at))) = self.reply.try_recv() {
            self.undelivered.borrow().add_polled(self.agent_id, claimed_at, &polled);
        }
    }
}
