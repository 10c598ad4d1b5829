//! A store that tests can hold up or break at any moment.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use slamon_domain::{
    Applied, Command, EndedAttempt, KindCursor, LateResult, Pauses, QueueDiagnostics, Task, WaitingKind,
};
use slamon_protocol::Capability;
use slamon_store::{
    AgentCounts, AgentDetails, AgentFiguresStore, AgentOutcomes, AgentQuery, AttemptView, Backlog, Counts,
    ListedAgent, MinuteStatistics, OfferedType, OffersQuery, Overview, Page, PlacesPart, Prepared, Saved,
    StatisticsStore, StatisticsUpdate, Store, StoreError, StoreEvent, TaskCounts, TaskPage, TaskPlace,
    TaskQuery, TaskRead, TraceContext, TraceStore, TypeCounts,
};
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use super::PATIENCE;

/// The gate in front of a store, which is open at first.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Inner>);

struct Inner {
    state: watch::Sender<State>,
    /// How many calls wait at the closed gate.
    waiting: watch::Sender<usize>,
    /// How often a task was read, or its past.
    reads: watch::Sender<usize>,
    /// How often a large read was begun: of a large task, of counts or of lists.
    large_reads: watch::Sender<usize>,
    /// The agents whose polls were answered, one entry a poll.
    polls: watch::Sender<Vec<Uuid>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The gate is closed: calls wait.
    Closed,
    /// One call may pass before the gate is closed.
    ClosedAfterOne,
    /// Calls fail as if the database was away.
    Away,
}

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(Inner {
            state: watch::Sender::new(State::Open),
            waiting: watch::Sender::default(),
            reads: watch::Sender::default(),
            large_reads: watch::Sender::default(),
            polls: watch::Sender::default(),
        }))
    }
}

impl Gate {
    pub(super) fn before(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        Arc::new(GatedStore { store, gate: self.clone() })
    }

    pub(crate) fn open(&self) {
        self.0.state.send_replace(State::Open);
    }

    pub(crate) fn close(&self) {
        self.0.state.send_replace(State::Closed);
    }

    /// Lets one call pass the closed gate, and waits until it has.
    #[track_caller]
    pub(crate) fn let_one_pass(&self) {
        self.0.state.send_replace(State::ClosedAfterOne);
        wait_until(&self.0.state, |state| *state == State::Closed);
    }

    /// From now on, calls fail as if the database could not be reached.
    pub(crate) fn take_database_away(&self) {
        self.0.state.send_replace(State::Away);
    }

    /// Waits until a call of the store waits at the closed gate.
    #[track_caller]
    pub(crate) fn wait_until_reached(&self) {
        self.wait_until_reached_by(1);
    }

    /// Waits until this many calls of the store wait at the closed gate.
    #[track_caller]
    pub(crate) fn wait_until_reached_by(&self, calls: usize) {
        wait_until(&self.0.waiting, |waiting| *waiting >= calls);
    }

    /// Returns how often a task was read.
    pub(crate) fn reads(&self) -> usize {
        *self.0.reads.borrow()
    }

    /// How often a large read was begun: of a large task, of counts or of lists.
    pub(crate) fn large_reads(&self) -> usize {
        *self.0.large_reads.borrow()
    }

    /// Waits until a task was read `times` in all.
    #[track_caller]
    pub(crate) fn wait_until_read(&self, times: usize) {
        wait_until(&self.0.reads, |reads| *reads >= times);
    }

    /// Returns how many polls of an agent were answered.
    pub(crate) fn polls(&self, agent_id: Uuid) -> usize {
        count(&self.0.polls.borrow(), agent_id)
    }

    /// Waits until `times` polls of an agent were answered in all.
    #[track_caller]
    pub(crate) fn wait_until_polled(&self, agent_id: Uuid, times: usize) {
        wait_until(&self.0.polls, |polls| count(polls, agent_id) >= times);
    }

    fn fail_if_away(&self) -> Result<(), StoreError> {
        if *self.0.state.borrow() == State::Away {
            return Err(StoreError::Unavailable(std::io::Error::other("taken away").into()));
        }
        Ok(())
    }

    async fn pass(&self) -> Result<(), StoreError> {
        self.0.waiting.send_modify(|n| *n += 1);
        let _left = Left(&self.0.waiting);
        let mut state = self.0.state.subscribe();
        loop {
            let seen = *state.wait_for(|state| *state != State::Closed).await.expect("the sender is ours");
            let passes = match seen {
                State::Away => {
                    return Err(StoreError::Unavailable(std::io::Error::other("taken away").into()));
                }
                State::Open | State::Closed => true,
                State::ClosedAfterOne => self.0.state.send_if_modified(|state| {
                    let is_first = *state == State::ClosedAfterOne;
                    if is_first {
                        *state = State::Closed;
                    }
                    is_first
                }),
            };
            if passes {
                return Ok(());
            }
        }
    }
}

fn count(polls: &[Uuid], agent_id: Uuid) -> usize {
    polls.iter().filter(|id| **id == agent_id).count()
}

#[track_caller]
fn wait_until<T>(seen: &watch::Sender<T>, enough: impl Fn(&T) -> bool) {
    let mut seen = seen.subscribe();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let reached = async { tokio::time::timeout(PATIENCE, seen.wait_for(|seen| enough(seen))).await.is_ok() };
    assert!(runtime.expect("a runtime").block_on(reached), "the store was not asked");
}

/// Counts a call out again when it is dropped, however the call ends.
struct Left<'a>(&'a watch::Sender<usize>);

impl Drop for Left<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|n| *n -= 1);
    }
}

struct GatedStore {
    store: Arc<dyn Store>,
    gate: Gate,
}

#[async_trait]
impl Store for GatedStore {
    async fn create_tables(&self) -> Result<Prepared, StoreError> {
        self.store.create_tables().await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.gate.pass().await?;
        self.store.check().await
    }

    async fn drop_tables(&self) -> Result<bool, StoreError> {
        self.store.drop_tables().await
    }

    async fn apply(&self, batch: Arc<[Command]>, now: Timestamp) -> Result<Applied, StoreError> {
        self.gate.pass().await?;
        let applied = self.store.apply(Arc::clone(&batch), now).await?;
        let polls = batch.iter().filter_map(|command| Some(command.poll()?.agent_id));
        self.gate.0.polls.send_modify(|seen| seen.extend(polls));
        Ok(applied)
    }

    async fn small_task(&self, id: Uuid) -> Result<Option<TaskRead>, StoreError> {
        self.gate.pass().await?;
        let task = self.store.small_task(id).await;
        self.gate.0.reads.send_modify(|n| *n += 1);
        task
    }

    async fn large_task(&self, id: Uuid) -> Result<Option<Arc<Task>>, StoreError> {
        self.gate.0.large_reads.send_modify(|n| *n += 1);
        self.gate.pass().await?;
        self.store.large_task(id).await
    }

    async fn attempts(&self, id: Uuid) -> Result<Vec<(EndedAttempt, Option<LateResult>)>, StoreError> {
        self.gate.pass().await?;
        self.store.attempts(id).await
    }

    async fn past(&self, id: Uuid, result_bytes: u32) -> Result<Vec<AttemptView>, StoreError> {
        self.gate.pass().await?;
        self.gate.0.reads.send_modify(|n| *n += 1);
        self.store.past(id, result_bytes).await
    }

    async fn queue_diagnostics(
        &self,
        task: &Task,
        seen_since: Timestamp,
    ) -> Result<QueueDiagnostics, StoreError> {
        self.gate.pass().await?;
        self.store.queue_diagnostics(task, seen_since).await
    }

    async fn backlog(&self, after: Option<WaitingKind>, limit: u32) -> Result<Backlog, StoreError> {
        self.gate.pass().await?;
        self.store.backlog(after, limit).await
    }

    async fn backlog_of(&self, kinds: Arc<[KindCursor]>, limit: u32) -> Result<Backlog, StoreError> {
        self.gate.pass().await?;
        self.store.backlog_of(kinds, limit).await
    }

    /// Does not wait at the gate, since the first poll reads the pauses once.
    async fn pauses(&self) -> Result<Pauses, StoreError> {
        self.gate.fail_if_away()?;
        self.store.pauses().await
    }

    async fn list_agents(&self, query: AgentQuery) -> Result<Page<ListedAgent>, StoreError> {
        self.gate.pass().await?;
        self.store.list_agents(query).await
    }

    async fn list_offers(&self, query: OffersQuery) -> Result<Page<OfferedType>, StoreError> {
        self.gate.pass().await?;
        self.store.list_offers(query).await
    }

    async fn offers_of(
        &self,
        types: Arc<[Capability]>,
        seen_since: Timestamp,
    ) -> Result<Vec<OfferedType>, StoreError> {
        self.gate.pass().await?;
        self.store.offers_of(types, seen_since).await
    }

    async fn agent_details(&self, id: Uuid) -> Result<Option<AgentDetails>, StoreError> {
        self.gate.pass().await?;
        self.store.agent_details(id).await
    }

    async fn counts(&self, seen_since: Timestamp) -> Result<Counts, StoreError> {
        self.gate.0.large_reads.send_modify(|n| *n += 1);
        self.gate.pass().await?;
        self.store.counts(seen_since).await
    }

    async fn overview(&self, limit: u32, result_bytes: u32) -> Result<Overview, StoreError> {
        self.gate.0.large_reads.send_modify(|n| *n += 1);
        self.gate.pass().await?;
        self.store.overview(limit, result_bytes).await
    }

    async fn list_tasks(&self, query: Arc<TaskQuery>) -> Result<TaskPage, StoreError> {
        self.gate.0.large_reads.send_modify(|n| *n += 1);
        self.gate.pass().await?;
        self.store.list_tasks(query).await
    }

    async fn last_place(&self) -> Result<Option<TaskPlace>, StoreError> {
        self.gate.pass().await?;
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
impl StatisticsStore for GatedStore {
    fn is_shared(&self) -> bool {
        self.store.is_shared()
    }

    async fn save_statistics(&self, update: Arc<StatisticsUpdate>) -> Result<Saved, StoreError> {
        self.gate.pass().await?;
        self.store.save_statistics(update).await
    }

    async fn recount_tasks(&self) -> Result<Saved, StoreError> {
        self.gate.pass().await?;
        self.store.recount_tasks().await
    }

    async fn statistics(&self, since: Timestamp) -> Result<Vec<MinuteStatistics>, StoreError> {
        self.gate.pass().await?;
        self.store.statistics(since).await
    }

    async fn task_counts(&self) -> Result<Option<TaskCounts>, StoreError> {
        self.gate.pass().await?;
        self.store.task_counts().await
    }

    async fn counts_by_type(
        &self,
        limit: u32,
        after: Option<Capability>,
    ) -> Result<Vec<TypeCounts>, StoreError> {
        self.gate.pass().await?;
        self.store.counts_by_type(limit, after).await
    }

    async fn counts_of_types(&self, types: Arc<[Capability]>) -> Result<Vec<TypeCounts>, StoreError> {
        self.gate.pass().await?;
        self.store.counts_of_types(types).await
    }

    async fn purge_statistics(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.gate.pass().await?;
        self.store.purge_statistics(before, limit).await
    }

    async fn count_agents(&self, seen_since: Timestamp, limit: u32) -> Result<AgentCounts, StoreError> {
        self.gate.pass().await?;
        self.store.count_agents(seen_since, limit).await
    }
}

#[async_trait]
impl TraceStore for GatedStore {
    async fn save_traces(&self, traces: Arc<[(Uuid, TraceContext)]>) -> Result<(), StoreError> {
        self.gate.pass().await?;
        self.store.save_traces(traces).await
    }

    async fn traces_of(&self, tasks: Arc<[Uuid]>) -> Result<Vec<(Uuid, TraceContext)>, StoreError> {
        self.gate.pass().await?;
        self.store.traces_of(tasks).await
    }

    async fn delete_traces(&self, tasks: Arc<[Uuid]>) -> Result<(), StoreError> {
        self.gate.pass().await?;
        self.store.delete_traces(tasks).await
    }

    async fn purge_traces(
        &self,
        after: Option<Uuid>,
        ended_before: Timestamp,
        limit: u32,
    ) -> Result<Option<Uuid>, StoreError> {
        self.gate.pass().await?;
        self.store.purge_traces(after, ended_before, limit).await
    }
}

#[async_trait]
impl AgentFiguresStore for GatedStore {
    async fn save_outcomes(&self, instance: Uuid, outcomes: Arc<[AgentOutcomes]>) -> Result<(), StoreError> {
        self.gate.pass().await?;
        self.store.save_outcomes(instance, outcomes).await
    }

    async fn outcomes_of(
        &self,
        agents: Arc<[Uuid]>,
        since: Timestamp,
    ) -> Result<Vec<(Uuid, AgentOutcomes)>, StoreError> {
        self.gate.pass().await?;
        self.store.outcomes_of(agents, since).await
    }

    async fn purge_outcomes(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.gate.pass().await?;
        self.store.purge_outcomes(before, limit).await
    }

    async fn count_places(
        &self,
        seen_since: Timestamp,
        after: Option<String>,
        limit: u32,
    ) -> Result<PlacesPart, StoreError> {
        self.gate.pass().await?;
        self.store.count_places(seen_since, after, limit).await
    }
}
