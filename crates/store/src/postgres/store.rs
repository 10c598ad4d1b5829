//! The [`Store`] in PostgreSQL: each call, and where it is answered.

use std::fmt;
use std::num::NonZero;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use slamon_domain::{
    Applied, Command, EndedAttempt, KindCursor, LateResult, Pauses, QueueDiagnostics, Task, WaitingKind,
};
use slamon_protocol::Capability;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::batch::BatchRunner;
use super::database::PostgresDatabase;
use super::listener::Listener;
use super::options::PostgresOptions;
use super::shared_state::SharedState;
use super::uri::UriError;
use super::{
    attempt_spans, backlog, fitness, fleet, listing, notifications, offers, outgoing_notifications, pauses,
    queue_diagnostics, read, rows, schema, waiting,
};
use crate::connections::Connections;
use crate::error::StoreError;
use crate::event::{Published, StoreEvent};
use crate::fleet::{AgentDetails, AgentQuery, ListedAgent, Page};
use crate::listing::{TaskPage, TaskPlace, TaskQuery};
use crate::offers::{OfferedType, OffersQuery};
use crate::reads::{ReadResult, Reads, SMALL_AT_ONCE};
use crate::store::{Backlog, Prepared, Store, TaskRead, WriteConcurrency};
use crate::views::{AttemptSpan, AttemptView, Counts, Overview};
use crate::waiting::{WaitingHead, WaitingPart};

/// How many batches may be under way: while one is written to the disk, or waits for the server, the
/// statements of the next can run.
const MAX_BATCHES: usize = 2;

/// The number of cores from which on two small batches at once are worth it: each costs the processors nearly
/// as much as a large one.
const CORES_FOR_SMALL_BATCHES: usize = 4;

/// How many commands another batch must have on fewer cores, unless these are half of all. So many also pay for
/// the statements of every kind of command.
const LARGE_BATCH: usize = 128;

/// How long creating, migrating and adopting tables may take: of the original's tables, every row is copied.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// Keeps tasks in a PostgreSQL database.
pub struct PostgresStore {
    database: PostgresDatabase,
    shared: SharedState,
    small_tasks: Reads<Uuid, TaskRead>,
    large_tasks: Reads<Uuid, Arc<Task>>,
    default_timeout: Option<Duration>,
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("fitness", &self.database.fitness).finish_non_exhaustive()
    }
}

impl PostgresStore {
    /// Connects when it is first used.
    ///
    /// # Errors
    /// Where the URI does not say what it should.
    pub fn new(options: &PostgresOptions) -> Result<Self, UriError> {
        Ok(Self {
            database: PostgresDatabase::new(options)?,
            shared: SharedState::new(),
            small_tasks: Reads::new(SMALL_AT_ONCE),
            large_tasks: Reads::new(1),
            default_timeout: None,
        })
    }

    /// Sets how long an attempt may take of a task that does not say. `None`, as it is at first, is for ever.
    #[must_use]
    pub fn with_default_timeout(self, default_timeout: Option<Duration>) -> Self {
        Self { default_timeout, ..self }
    }

    /// The way to the database.
    pub(super) fn database(&self) -> &PostgresDatabase {
        &self.database
    }

    async fn read_small_tasks(&self, ids: Vec<Uuid>) -> ReadResult<Uuid, TaskRead> {
        self.database
            .call(|session| {
                let ids = ids.clone();
                Box::pin(async move { read::small_tasks(session, &ids).await })
            })
            .await
    }

    async fn read_large_tasks(&self, ids: Vec<Uuid>) -> ReadResult<Uuid, Arc<Task>> {
        self.database
            .read_large(|session| {
                let ids = ids.clone();
                Box::pin(async move { read::tasks(session, &ids).await })
            })
            .await
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn create_tables(&self) -> Result<Prepared, StoreError> {
        self.database.call_within(MIGRATION_TIMEOUT, |session| Box::pin(schema::create(session))).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.database
            .call(|session| {
                let fitness = Arc::clone(&self.database.fitness);
                Box::pin(async move {
                    schema::check(session).await?;
                    fitness.look_at_rights(session).await?;
                    fitness::try_to_write(session).await
                })
            })
            .await
    }

    async fn drop_tables(&self) -> Result<bool, StoreError> {
        let dropped = self.database.call(|session| Box::pin(schema::drop_ours(session))).await;
        self.shared.clear();
        dropped
    }

    async fn apply(&self, batch: Arc<[Command]>, now: Timestamp) -> Result<Applied, StoreError> {
        if batch.is_empty() {
            return Ok(Applied::default());
        }
        let runner = BatchRunner {
            database: &self.database,
            shared: &self.shared,
            default_timeout: self.default_timeout,
        };
        runner.commit(&batch, rows::as_stored(now)).await
    }

    fn write_concurrency(&self) -> WriteConcurrency {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        WriteConcurrency {
            max: MAX_BATCHES,
            min_batch: if cores < CORES_FOR_SMALL_BATCHES { LARGE_BATCH } else { 1 },
            one_kind_below: LARGE_BATCH,
        }
    }

    async fn small_task(&self, id: Uuid) -> Result<Option<TaskRead>, StoreError> {
        self.small_tasks.get(id, |ids| Box::pin(self.read_small_tasks(ids))).await
    }

    async fn large_task(&self, id: Uuid) -> Result<Option<Arc<Task>>, StoreError> {
        self.large_tasks.get(id, |ids| Box::pin(self.read_large_tasks(ids))).await
    }

    async fn attempts(&self, id: Uuid) -> Result<Vec<(EndedAttempt, Option<LateResult>)>, StoreError> {
        self.database.call(|session| Box::pin(read::attempts(session, id))).await
    }

    async fn past(&self, id: Uuid, result_bytes: u32) -> Result<Vec<AttemptView>, StoreError> {
        self.database.call(|session| Box::pin(read::past(session, id, result_bytes))).await
    }

    async fn attempt_spans(&self, tasks: Arc<[Uuid]>, most: u32) -> Result<Vec<AttemptSpan>, StoreError> {
        self.database
            .call(|session| {
                let tasks = Arc::clone(&tasks);
                Box::pin(async move { attempt_spans::read(session, &tasks, most).await })
            })
            .await
    }

    async fn queue_diagnostics(
        &self,
        task: &Task,
        seen_since: Timestamp,
    ) -> Result<QueueDiagnostics, StoreError> {
        let task = Arc::new(task.clone());
        self.database
            .call(|session| {
                let task = Arc::clone(&task);
                Box::pin(async move { queue_diagnostics::of(session, &task, seen_since).await })
            })
            .await
    }

    async fn backlog(&self, after: Option<WaitingKind>, limit: u32) -> Result<Backlog, StoreError> {
        self.database
            .call(|session| {
                let after = after.clone();
                Box::pin(async move { backlog::read(session, after.as_ref(), limit).await })
            })
            .await
    }

    async fn backlog_of(&self, kinds: Arc<[KindCursor]>, limit: u32) -> Result<Backlog, StoreError> {
        self.database
            .call(|session| {
                let kinds = Arc::clone(&kinds);
                Box::pin(async move { backlog::read_of(session, &kinds, limit).await })
            })
            .await
    }

    async fn waiting_heads(
        &self,
        after: Option<WaitingHead>,
        seen_since: Timestamp,
        limit: u32,
    ) -> Result<WaitingPart, StoreError> {
        self.database
            .read_large(|session| {
                let after = after.clone();
                Box::pin(async move { waiting::heads(session, after.as_ref(), seen_since, limit).await })
            })
            .await
    }

    async fn pauses(&self) -> Result<Pauses, StoreError> {
        self.database.call(|session| Box::pin(pauses::read(session))).await
    }

    async fn list_agents(&self, query: AgentQuery) -> Result<Page<ListedAgent>, StoreError> {
        let query = Arc::new(query);
        self.database
            .call(|session| {
                let query = Arc::clone(&query);
                Box::pin(async move { fleet::list(session, &query).await })
            })
            .await
    }

    async fn list_offers(&self, query: OffersQuery) -> Result<Page<OfferedType>, StoreError> {
        self.database
            .call(|session| {
                let query = query.clone();
                Box::pin(async move { offers::list(session, &query).await })
            })
            .await
    }

    async fn offers_of(
        &self,
        types: Arc<[Capability]>,
        seen_since: Timestamp,
    ) -> Result<Vec<OfferedType>, StoreError> {
        self.database
            .call(|session| {
                let types = Arc::clone(&types);
                Box::pin(async move { offers::of_types(session, &types, seen_since).await })
            })
            .await
    }

    async fn agent_details(&self, id: Uuid) -> Result<Option<AgentDetails>, StoreError> {
        self.database.call(|session| Box::pin(fleet::agent(session, id))).await
    }

    async fn counts(&self, seen_since: Timestamp) -> Result<Counts, StoreError> {
        self.database.read_large(|session| Box::pin(read::counts(session, seen_since))).await
    }

    async fn overview(&self, limit: u32, result_bytes: u32) -> Result<Overview, StoreError> {
        self.database.read_large(|session| Box::pin(read::overview(session, limit, result_bytes))).await
    }

    async fn list_tasks(&self, query: Arc<TaskQuery>) -> Result<TaskPage, StoreError> {
        self.database
            .read_large(|session| {
                let query = Arc::clone(&query);
                Box::pin(async move { listing::list(session, &query).await })
            })
            .await
    }

    async fn last_place(&self) -> Result<Option<TaskPlace>, StoreError> {
        self.database.call(|session| Box::pin(listing::last_place(session))).await
    }

    async fn listen(&self, events: mpsc::Sender<StoreEvent>) {
        let PostgresDatabase { connector, pool, limit, .. } = &self.database;
        Listener { connector, pool, limit, shared: &self.shared, problem: Mutex::default() }
            .listen(&events)
            .await;
    }

    async fn publish(&self, published: Published) -> Result<(), StoreError> {
        let payloads = notifications::published_payloads(self.shared.instance, &published);
        self.database
            .call(|session| {
                let payloads = payloads.clone();
                Box::pin(async move { outgoing_notifications::publish(session, &payloads).await })
            })
            .await
    }

    async fn time(&self) -> Result<Option<Timestamp>, StoreError> {
        self.database.call(|session| Box::pin(read::time(session))).await.map(Some)
    }

    fn connections(&self) -> Connections {
        self.database.limit.look_at(&self.database.pool)
    }

    async fn close(&self) {
        self.database.close().await;
    }
}
