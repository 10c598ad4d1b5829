//! A store whose calls fail as a test decides.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jiff::Timestamp;
use slamon_domain::{
    Applied, Command, EndedAttempt, KindCursor, LateResult, Locked, Pauses, QueueDiagnostics, Task,
    WaitingKind,
};
use slamon_protocol::Capability;
use slamon_store::{
    AgentCounts, AgentDetails, AgentFiguresStore, AgentOutcomes, AgentQuery, AttemptView, Backlog, Counts,
    ListedAgent, MinuteStatistics, OfferedType, OffersQuery, Overview, Page, PlacesPart, Prepared, Saved,
    SqliteStore, StatisticsStore, StatisticsUpdate, Store, StoreError, StoreEvent, TaskCounts, TaskPage,
    TaskPlace, TaskQuery, TaskRead, TraceContext, TraceStore, TypeCounts, WriteConcurrency,
};
use tokio::sync::{Semaphore, mpsc};
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
    pub(super) async fn new(concurrency: WriteConcurrency) -> Arc<Self> {
        let store = SqliteStore::new("sqlite://", false).unwrap();
        store.create_tables().await.unwrap();
        let may_end = Semaphore::new(Semaphore::MAX_PERMITS);
        Arc::new(Self {
            store,
            fates: Mutex::default(),
            concurrency,
            begun: Mutex::default(),
            may_end,
            refused: Mutex::default(),
            locked: Mutex::default(),
        })
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
impl Store for FatefulStore {
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

    async fn create_tables(&self) -> Result<Prepared, StoreError> {
        self.store.create_tables().await
    }
    async fn check(&self) -> Result<(), StoreError> {
        self.store.check().await
    }
    async fn drop_tables(&self) -> Result<bool, StoreError> {
        self.store.drop_tables().await
    }
    async fn small_task(&self, id: Uuid) -> Result<Option<TaskRead>, StoreError> {
        self.store.small_task(id).await
    }
    async fn large_task(&self, id: Uuid) -> Result<Option<Arc<Task>>, StoreError> {
        self.store.large_task(id).await
    }
    async fn attempts(&self, id: Uuid) -> Result<Vec<(EndedAttempt, Option<LateResult>)>, StoreError> {
        self.store.attempts(id).await
    }
    async fn past(&self, id: Uuid, result_bytes: u32) -> Result<Vec<AttemptView>, StoreError> {
        self.store.past(id, result_bytes).await
    }
    async fn queue_diagnostics(&self, task: &Task, since: Timestamp) -> Result<QueueDiagnostics, StoreError> {
        self.store.queue_diagnostics(task, since).await
    }
    async fn backlog(&self, after: Option<WaitingKind>, limit: u32) -> Result<Backlog, StoreError> {
        self.store.backlog(after, limit).await
    }

    async fn backlog_of(&self, kinds: Arc<[KindCursor]>, limit: u32) -> Result<Backlog, StoreError> {
        self.store.backlog_of(kinds, limit).await
    }
    async fn pauses(&self) -> Result<Pauses, StoreError> {
        Ok(Pauses::default())
    }
    async fn list_agents(&self, query: AgentQuery) -> Result<Page<ListedAgent>, StoreError> {
        self.store.list_agents(query).await
    }

    async fn list_offers(&self, query: OffersQuery) -> Result<Page<OfferedType>, StoreError> {
        self.store.list_offers(query).await
    }

    async fn offers_of(
        &self,
        types: Arc<[Capability]>,
        seen_since: Timestamp,
    ) -> Result<Vec<OfferedType>, StoreError> {
        self.store.offers_of(types, seen_since).await
    }

    async fn agent_details(&self, id: Uuid) -> Result<Option<AgentDetails>, StoreError> {
        self.store.agent_details(id).await
    }

    async fn counts(&self, since: Timestamp) -> Result<Counts, StoreError> {
        self.store.counts(since).await
    }
    async fn overview(&self, limit: u32, result_bytes: u32) -> Result<Overview, StoreError> {
        self.store.overview(limit, result_bytes).await
    }
    async fn list_tasks(&self, query: Arc<TaskQuery>) -> Result<TaskPage, StoreError> {
        self.store.list_tasks(query).await
    }
    async fn last_place(&self) -> Result<Option<TaskPlace>, StoreError> {
        self.store.last_place().await
    }
    async fn listen(&self, events: mpsc::Sender<StoreEvent>) {
        self.store.listen(events).await;
    }
    async fn time(&self) -> Result<Option<Timestamp>, StoreError> {
        self.store.time().await
    }
    async fn close(&self) {
        self.store.close().await;
    }
}

#[async_trait]
impl StatisticsStore for FatefulStore {
    fn is_shared(&self) -> bool {
        self.store.is_shared()
    }

    async fn save_statistics(&self, update: Arc<StatisticsUpdate>) -> Result<Saved, StoreError> {
        self.store.save_statistics(update).await
    }

    async fn recount_tasks(&self) -> Result<Saved, StoreError> {
        self.store.recount_tasks().await
    }

    async fn statistics(&self, since: Timestamp) -> Result<Vec<MinuteStatistics>, StoreError> {
        self.store.statistics(since).await
    }

    async fn task_counts(&self) -> Result<Option<TaskCounts>, StoreError> {
        self.store.task_counts().await
    }

    async fn counts_by_type(
        &self,
        limit: u32,
        after: Option<Capability>,
    ) -> Result<Vec<TypeCounts>, StoreError> {
        self.store.counts_by_type(limit, after).await
    }

    async fn counts_of_types(&self, types: Arc<[Capability]>) -> Result<Vec<TypeCounts>, StoreError> {
        self.store.counts_of_types(types).await
    }

    async fn purge_statistics(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.store.purge_statistics(before, limit).await
    }

    async fn count_agents(&self, seen_since: Timestamp, limit: u32) -> Result<AgentCounts, StoreError> {
        self.store.count_agents(seen_since, limit).await
    }
}

#[async_trait]
impl TraceStore for FatefulStore {
    async fn save_traces(&self, traces: Arc<[(Uuid, TraceContext)]>) -> Result<(), StoreError> {
        self.store.save_traces(traces).await
    }

    async fn traces_of(&self, tasks: Arc<[Uuid]>) -> Result<Vec<(Uuid, TraceContext)>, StoreError> {
        self.store.traces_of(tasks).await
    }

    async fn delete_traces(&self, tasks: Arc<[Uuid]>) -> Result<(), StoreError> {
        self.store.delete_traces(tasks).await
    }

    async fn purge_traces(
        &self,
        after: Option<Uuid>,
        ended_before: Timestamp,
        limit: u32,
    ) -> Result<Option<Uuid>, StoreError> {
        self.store.purge_traces(after, ended_before, limit).await
    }
}

#[async_trait]
impl AgentFiguresStore for FatefulStore {
    async fn save_outcomes(&self, instance: Uuid, outcomes: Arc<[AgentOutcomes]>) -> Result<(), StoreError> {
        self.store.save_outcomes(instance, outcomes).await
    }

    async fn outcomes_of(
        &self,
        agents: Arc<[Uuid]>,
        since: Timestamp,
    ) -> Result<Vec<(Uuid, AgentOutcomes)>, StoreError> {
        self.store.outcomes_of(agents, since).await
    }

    async fn purge_outcomes(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.store.purge_outcomes(before, limit).await
    }

    async fn count_places(
        &self,
        seen_since: Timestamp,
        after: Option<String>,
        limit: u32,
    ) -> Result<PlacesPart, StoreError> {
        self.store.count_places(seen_since, after, limit).await
    }
}
