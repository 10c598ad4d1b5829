//! A store whose calls fail as a test decides.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jiff::Timestamp;
use slamon_domain::{Applied, Command, Locked, Pauses};
use slamon_store::testing::{Layer, Layered};
use slamon_store::{SqliteStore, Store, StoreError, WriteConcurrency};
use tokio::sync::Semaphore;
use uuid::Uuid;

/// What becomes of the next calls of `apply`, the first one first; after that they succeed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fate {
    /// The batch is committed, but nobody sees that.
    InDoubt,
    /// Nothing is committed.
    Away,
    /// It is committed, but no post has a reply.
    Unreplied,
}

pub(super) struct FatefulStore {
    store: SqliteStore,
    fates: Mutex<Vec<Fate>>,
    concurrency: WriteConcurrency,
    /// The number of commands of each batch that was begun.
    pub(super) begun: Mutex<Vec<usize>>,
    /// How many batches may end.
    may_end: Semaphore,
    /// Tasks that the database does not take.
    refused: Mutex<HashSet<Uuid>>,
    /// Tasks that another session has locked.
    locked: Mutex<HashSet<Uuid>>,
}

impl FatefulStore {
    pub(super) async fn new(concurrency: WriteConcurrency) -> Arc<Layered<Self>> {
        let store = SqliteStore::new("sqlite://", false).unwrap();
        store.create_tables().await.unwrap();
        let may_end = Semaphore::new(Semaphore::MAX_PERMITS);
        Arc::new(Layered(Self {
            store,
            fates: Mutex::default(),
            concurrency,
            begun: Mutex::default(),
            may_end,
            refused: Mutex::default(),
            locked: Mutex::default(),
        }))
    }

    pub(super) fn refuse(&self, ids: impl IntoIterator<Item = u128>) {
        *self.refused.lock().unwrap() = ids.into_iter().map(Uuid::from_u128).collect();
    }

    pub(super) fn lock(&self, ids: impl IntoIterator<Item = u128>) {
        *self.locked.lock().unwrap() = ids.into_iter().map(Uuid::from_u128).collect();
    }

    /// Applies all commands but those that need a locked row.
    async fn apply_unlocked(&self, batch: &[Command], now: Timestamp) -> Result<Applied, StoreError> {
        let locked = self.locked.lock().unwrap().clone();
        let is_locked =
            |command: &Command| matches!(command, Command::Submit(task) if locked.contains(&task.task_id));
        let free = batch.iter().filter(|command| !is_locked(command)).cloned().collect();
        let mut applied = self.store.apply(free, now).await?;
        let mut free = std::mem::take(&mut applied.replies.submits).into_iter();
        let submits = batch.iter().filter(|command| matches!(command, Command::Submit(_)));
        let reply = |command| if is_locked(command) { Some(Err(Locked)) } else { free.next() };
        applied.replies.submits = submits.filter_map(reply).collect();
        Ok(applied)
    }

    /// Keeps batches from ending.
    pub(super) fn hold(&self) {
        self.may_end.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// Lets all batches end.
    pub(super) fn let_go(&self) {
        self.may_end.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    /// Lets other tasks run, and returns the sizes of the batches that were begun by then.
    pub(super) async fn begun(&self) -> Vec<usize> {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        self.begun.lock().unwrap().clone()
    }

    pub(super) fn comes(&self, fates: &[Fate]) {
        *self.fates.lock().unwrap() = fates.iter().rev().copied().collect();
    }
}

#[async_trait]
impl Layer for FatefulStore {
    fn below(&self) -> &dyn Store {
        &self.store
    }

    async fn apply(&self, batch: Arc<[Command]>, now: Timestamp) -> Result<Applied, StoreError> {
        self.begun.lock().unwrap().push(batch.len());
        self.may_end.acquire().await.unwrap().forget();
        let lost = || anyhow::anyhow!("the connection is lost");
        let fate = self.fates.lock().unwrap().pop();
        if let Some(Fate::Away) = fate {
            return Err(StoreError::Unavailable(lost()));
        }
        let is_refused = |command: &Command| matches!(command, Command::Submit(task) if self.refused.lock().unwrap().contains(&task.task_id));
        if batch.iter().any(is_refused) {
            return Err(StoreError::Failed(anyhow::anyhow!("one of them is refused")));
        }
        let mut applied = self.apply_unlocked(&batch, now).await?;
        if let Some(Fate::Unreplied) = fate {
            applied.replies.submits.clear();
            return Ok(applied);
        }
        if fate.is_none() {
            return Ok(applied);
        }
        let polls = || {
            let polls = batch.iter().filter_map(Command::poll).zip(&applied.replies.polls);
            polls.map(|(poll, reply)| (poll.agent_id, reply.as_ref().unwrap()))
        };
        let claims = polls()
            .map(|(agent_id, polled)| (agent_id, polled.tasks.iter().map(|task| task.task_id).collect()));
        let cancelled = polls()
            .filter(|(_, polled)| !polled.cancelled.is_empty())
            .map(|(agent_id, polled)| (agent_id, polled.cancelled.clone()));
        Err(StoreError::InDoubt {
            cause: lost(),
            claimed_at: now,
            claims: claims.collect(),
            cancelled: cancelled.collect(),
        })
    }

    fn write_concurrency(&self) -> WriteConcurrency {
        self.concurrency
    }

    /// They are not read, which would let other tasks run in between.
    async fn pauses(&self) -> Result<Pauses, StoreError> {
        Ok(Pauses::default())
    }
}
