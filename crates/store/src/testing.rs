//! A store for tests that passes calls on to another one, and first does what a test wants.

use std::ops::Deref;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use slamon_domain::{
    Applied, Command, EndedAttempt, KindCursor, LateResult, Pauses, QueueDiagnostics, Task, Token,
    WaitingKind,
};
use slamon_protocol::Capability;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::agent_figures::{AgentFiguresStore, AgentOutcomes, PlacesPart};
use crate::census::{Census, CensusStore, OfferPlace};
use crate::connections::Connections;
use crate::error::StoreError;
use crate::event::{Published, StoreEvent};
use crate::fleet::{AgentDetails, AgentQuery, ListedAgent, Page};
use crate::listing::{TaskPage, TaskPlace, TaskQuery};
use crate::offers::{OfferedType, OffersQuery};
use crate::statistics::{
    AgentCounts, MinuteStatistics, Saved, StatisticsStore, StatisticsUpdate, TaskCounts, TypeCounts,
};
use crate::store::{Backlog, Prepared, Store, TaskRead, WriteConcurrency};
use crate::tokens::{ChangedTokens, TokenStore};
use crate::traces::{TraceContext, TraceStore};
use crate::views::{AttemptSpan, AttemptView, Counts, Overview};
use crate::waiting::{WaitingHead, WaitingPart};

/// What a test does with the calls of a store. Calls are known by the names of their methods.
#[async_trait]
pub trait Layer: Send + Sync + 'static {
    /// The store that calls are passed on to.
    fn below(&self) -> &dyn Store;

    /// Comes before each call that may fail. An error is that of the call.
    async fn before(&self, _call: &'static str) -> Result<(), StoreError> {
        Ok(())
    }

    /// Comes after each such call that was passed on.
    fn after(&self, _call: &'static str) {}

    /// Applies a batch.
    async fn apply(&self, batch: Arc<[Command]>, now: Timestamp) -> Result<Applied, StoreError> {
        self.below().apply(batch, now).await
    }

    /// How many batches the store gains from being given at the same time.
    fn write_concurrency(&self) -> WriteConcurrency {
        WriteConcurrency::ONE
    }

    /// Reads all pauses.
    async fn pauses(&self) -> Result<Pauses, StoreError> {
        self.below().pauses().await
    }
}

/// The store that a layer makes of the one below.
pub struct Layered<L>(pub L);

impl<L> Deref for Layered<L> {
    type Target = L;

    fn deref(&self) -> &L {
        &self.0
    }
}

impl<L> Layered<L>
where
    L: Layer,
{
    async fn pass<T>(
        &self,
        call: &'static str,
        passed: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.0.before(call).await?;
        let result = passed.await;
        self.0.after(call);
        result
    }
}

/// Implements a trait by passing the calls on that are named, and in its own words the others.
macro_rules! pass_on {
    ($store:ident { $($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)* } $($others:tt)*) => {
        #[async_trait]
        impl<L: Layer> $store for Layered<L> {
            $(
                async fn $name(&self, $($argument: $type),*) -> Result<$result, StoreError> {
                    self.pass(stringify!($name), self.0.below().$name($($argument),*)).await
                }
            )*
            $($others)*
        }
    };
}

pass_on! {
    Store {
        create_tables() -> Prepared;
        check() -> ();
        drop_tables() -> bool;
        small_task(id: Uuid) -> Option<TaskRead>;
        large_task(id: Uuid) -> Option<Arc<Task>>;
        attempts(id: Uuid) -> Vec<(EndedAttempt, Option<LateResult>)>;
        past(id: Uuid, result_bytes: u32) -> Vec<AttemptView>;
        attempt_spans(tasks: Arc<[Uuid]>, most: u32) -> Vec<AttemptSpan>;
        backlog(after: Option<WaitingKind>, limit: u32) -> Backlog;
        backlog_of(kinds: Arc<[KindCursor]>, limit: u32) -> Backlog;
        waiting_heads(after: Option<WaitingHead>, seen_since: Timestamp, limit: u32) -> WaitingPart;
        list_agents(query: AgentQuery) -> Page<ListedAgent>;
        list_offers(query: OffersQuery) -> Page<OfferedType>;
        offers_of(types: Arc<[Capability]>, seen_since: Timestamp) -> Vec<OfferedType>;
        agent_details(id: Uuid) -> Option<AgentDetails>;
        counts(seen_since: Timestamp) -> Counts;
        overview(limit: u32, result_bytes: u32) -> Overview;
        list_tasks(query: Arc<TaskQuery>) -> TaskPage;
        last_place() -> Option<TaskPlace>;
        publish(published: Published) -> ();
        time() -> Option<Timestamp>;
    }

    async fn apply(&self, batch: Arc<[Command]>, now: Timestamp) -> Result<Applied, StoreError> {
        self.pass("apply", self.0.apply(batch, now)).await
    }

    fn write_concurrency(&self) -> WriteConcurrency {
        self.0.write_concurrency()
    }

    async fn queue_diagnostics(
        &self,
        task: &Task,
        seen_since: Timestamp,
    ) -> Result<QueueDiagnostics, StoreError> {
        self.pass("queue_diagnostics", self.0.below().queue_diagnostics(task, seen_since)).await
    }

    async fn pauses(&self) -> Result<Pauses, StoreError> {
        self.pass("pauses", self.0.pauses()).await
    }

    async fn listen(&self, events: mpsc::Sender<StoreEvent>) {
        self.0.below().listen(events).await;
    }

    fn connections(&self) -> Connections {
        self.0.below().connections()
    }

    async fn close(&self) {
        self.0.below().close().await;
    }
}

pass_on! {
    StatisticsStore {
        save_statistics(update: Arc<StatisticsUpdate>) -> Saved;
        recount_tasks() -> Saved;
        statistics(since: Timestamp) -> Vec<MinuteStatistics>;
        task_counts() -> Option<TaskCounts>;
        counts_by_type(limit: u32, after: Option<Capability>) -> Vec<TypeCounts>;
        counts_of_types(types: Arc<[Capability]>) -> Vec<TypeCounts>;
        purge_statistics(before: Timestamp, limit: u32) -> u64;
        count_agents(seen_since: Timestamp, limit: u32) -> AgentCounts;
    }

    fn is_shared(&self) -> bool {
        self.0.below().is_shared()
    }
}

pass_on! {
    CensusStore {
        hold_census(instance: Uuid, now: Timestamp, free_before: Timestamp) -> bool;
        count_next_agents(after: Option<u128>, since: Timestamp, limit: u32) -> (AgentCounts, Option<u128>);
        count_next_offers(after: Option<OfferPlace>, since: Timestamp, limit: u32)
            -> (Vec<OfferedType>, Option<OfferPlace>);
        save_census(census: Arc<Census>) -> ();
        census() -> Option<AgentCounts>;
    }
}

pass_on! {
    AgentFiguresStore {
        save_outcomes(instance: Uuid, outcomes: Arc<[AgentOutcomes]>) -> ();
        outcomes_of(agents: Arc<[Uuid]>, since: Timestamp) -> Vec<(Uuid, AgentOutcomes)>;
        purge_outcomes(before: Timestamp, limit: u32) -> u64;
        count_places(seen_since: Timestamp, after: Option<String>, limit: u32) -> PlacesPart;
    }
}

pass_on! {
    TraceStore {
        save_traces(traces: Arc<[(Uuid, TraceContext)]>) -> ();
        traces_of(tasks: Arc<[Uuid]>) -> Vec<(Uuid, TraceContext)>;
        delete_traces(tasks: Arc<[Uuid]>) -> ();
        purge_traces(after: Option<Uuid>, ended_before: Timestamp, limit: u32) -> Option<Uuid>;
    }
}

pass_on! {
    TokenStore {
        add_token(token: Arc<Token>) -> ();
        changed_tokens(after: u64) -> ChangedTokens;
        revoke_tokens(ids: Arc<[Uuid]>, now: Timestamp) -> u64;
        bind_token(id: Uuid, agent_id: Uuid) -> Option<Uuid>;
        save_token_uses(uses: Arc<[(Uuid, Timestamp)]>) -> ();
    }
}
