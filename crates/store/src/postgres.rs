//! Tasks in PostgreSQL (13 or newer), which any number of AFMs may share.

mod apply;
mod backlog;
mod batch;
mod claiming;
mod connection;
mod connection_limit;
mod doubts;
mod errors;
mod fitness;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzed;
mod hearing;
mod kinds;
mod leftovers;
mod listening;
mod memory;
mod notices;
mod notifications;
mod pooling;
mod quiet;
mod read;
mod rows;
mod schema;
mod session;
mod surroundings;
mod timeouts;
mod tls;
mod uri;

use std::fmt;
use std::num::NonZero;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use deadpool_postgres::Pool;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::{RwLock, mpsc};
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use self::connection::Connector;
use self::connection_limit::ConnectionLimit;
use self::errors::Problem;
use self::fitness::Fitness;
use self::listening::Ear;
use self::memory::Memory;
use self::session::Session;
pub use self::uri::UriError;
use crate::reads::{Found, SMALL_AT_ONCE};
use crate::{
    Applied, AttemptView, Backlog, Command, Counts, EndedAttempt, Hint, KindCursor, Lanes, LateResult,
    Overview, Prepared, Reads, Store, StoreError, Surroundings, Task, TaskRead, WaitingKind,
};

/// How often a transaction is tried that others get in the way of, or whose connection turns out to be dead.
const TRIES: u32 = 4;

/// While one batch is written to the disk, or waits for the server, the statements of the next can run.
const LANES: usize = 2;

/// But two at once are smaller, and each costs the processors nearly as much as a large one. On fewer cores than this they
/// are slower than one after the other, unless they are large.
const CORES_FOR_SMALL_BATCHES: usize = 4;

/// What large is, in commands.
const LARGE: usize = 128;

/// How long creating, migrating and adopting tables may take: of the original's tables, every row is copied.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// How a [`PostgresStore`] connects.
#[derive(Clone)]
pub struct PostgresOptions {
    /// `postgresql://…`, as SQLAlchemy 1.3 and libpq take it; what it does not say is as for libpq.
    pub uri: String,
    /// How many connections there may be at once.
    pub pool_size: usize,
    /// How long a call waits for a connection.
    pub pool_timeout: Duration,
    /// How long a statement may run, and how long a call may take once it has its connection.
    pub statement_timeout: Duration,
    /// Whether every statement is logged.
    pub echo: bool,
}

/// Without the URI, which may hold a password.
impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("pool_size", &self.pool_size)
            .field("pool_timeout", &self.pool_timeout)
            .field("statement_timeout", &self.statement_timeout)
            .field("echo", &self.echo)
            .finish_non_exhaustive()
    }
}

/// Keeps tasks in PostgreSQL.
pub struct PostgresStore {
    pool: Pool,
    /// For the connection that listens, which is none of the pool's.
    connector: Connector,
    limit: ConnectionLimit,
    memory: Arc<Memory>,
    small_tasks: Reads<Uuid, TaskRead>,
    large_tasks: Reads<Uuid, Arc<Task>>,
    /// Held by the large read that runs: all others leave the connections to small reads and to changes.
    large_turn: tokio::sync::Mutex<()>,
    /// Every call holds this to read, [`Store::close`] to write.
    running: RwLock<()>,
    fitness: Arc<Fitness>,
    statement_timeout: Duration,
    echo: bool,
    default_timeout: Option<Duration>,
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("fitness", &self.fitness).finish_non_exhaustive()
    }
}

impl PostgresStore {
    /// Connects when it is first used.
    ///
    /// # Errors
    /// Where the URI does not say what it should.
    pub fn new(options: &PostgresOptions) -> Result<Self, UriError> {
        let environment = |name: &str| std::env::var(name).ok();
        let target = uri::Target::parse(&options.uri, &environment, options.pool_timeout)?;
        let connector = Connector::new(&target, options);
        Ok(Self {
            pool: connection::pool(connector.clone(), options),
            connector,
            limit: ConnectionLimit::new(options.pool_size.max(1), options.pool_timeout),
            memory: Arc::new(Memory::new()),
            small_tasks: Reads::new(SMALL_AT_ONCE),
            large_tasks: Reads::new(1),
            large_turn: tokio::sync::Mutex::default(),
            running: RwLock::new(()),
            fitness: Arc::new(Fitness::new(target.user, target.database)),
            statement_timeout: options.statement_timeout,
            echo: options.echo,
            default_timeout: None,
        })
    }

    /// How long an attempt may take of a task that does not say; `None`, as it is at first: for ever.
    #[must_use]
    pub fn with_default_timeout(self, default_timeout: Option<Duration>) -> Self {
        Self { default_timeout, ..self }
    }

    async fn open(&self, bound: Duration) -> Result<Session, Problem> {
        let session =
            Session::open(&self.pool, &self.connector.pooling, &self.limit, bound, self.echo).await?;
        if session.is_new() {
            session.bounded(self.fitness.look(&session)).await?;
        }
        Ok(session)
    }

    /// Whether to try again after `problem`, which came before anything was committed.
    fn another_try(&self, problem: &Problem, tried: u32) -> bool {
        if problem.lost_connection() {
            // What cut one connection has often cut them all, and the pool does not know yet.
            self.pool.retain(|_, _| false);
            return tried < 2;
        }
        problem.is_collision() && tried < TRIES
    }

    /// Runs `work`, which changes nothing unless as a whole, again if need be.
    async fn with_session<T>(
        &self,
        bound: Duration,
        work: impl for<'a> Fn(&'a Session) -> BoxFuture<'a, Result<T, Problem>> + Send + Sync,
    ) -> Result<T, StoreError> {
        let (mut tried, mut waits_long) = (0, false);
        loop {
            tried += 1;
            match self.try_once(bound, waits_long, &work).await {
                Ok(value) => return Ok(value),
                Err(problem) if problem.waits_for_lock() && !waits_long => (tried, waits_long) = (0, true),
                Err(problem) if self.another_try(&problem, tried) => {}
                Err(problem) => return Err(self.explain(problem).await),
            }
        }
    }

    async fn try_once<T>(
        &self,
        bound: Duration,
        waits_long: bool,
        work: impl for<'a> Fn(&'a Session) -> BoxFuture<'a, Result<T, Problem>>,
    ) -> Result<T, Problem> {
        let _running = self.running.read().await;
        let mut session = self.open(bound).await?;
        if waits_long {
            session.wait_long(self.statement_timeout).await?;
        }
        let value = session.bounded(work(&session)).await?;
        session.finish();
        Ok(value)
    }

    /// The error that a caller gets; where somebody has to mend the server or a right, with what to do about it.
    async fn explain(&self, problem: Problem) -> StoreError {
        if problem.is_worth_a_look()
            && let Err(found @ (Problem::Schema(_) | Problem::ReadOnly(_))) = self.look_at_rights().await
        {
            return found.into();
        }
        let Problem::Postgres(error) = &problem else { return problem.into() };
        let message = error.as_db_error().map(|error| error.message().to_owned()).unwrap_or_default();
        if error.code() == Some(&SqlState::UNDEFINED_OBJECT) && message.contains("plan_cache_mode") {
            return fitness::too_old("11 or older").into();
        }
        if error.code() != Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
            return problem.into();
        }
        self.fitness.denied(&message).into()
    }

    /// Looks for what is lacking, so that it is told as at the start.
    async fn look_at_rights(&self) -> Result<(), Problem> {
        let session = self.open(self.statement_timeout).await?;
        session.bounded(self.fitness.look_at_rights(&session)).await?;
        session.finish();
        Ok(())
    }

    /// Runs a read that is small.
    async fn read<T>(
        &self,
        work: impl for<'a> Fn(&'a Session) -> BoxFuture<'a, Result<T, Problem>> + Send + Sync,
    ) -> Result<T, StoreError> {
        self.with_session(self.statement_timeout, work).await
    }

    /// Runs a read that may take long or bring much, when it is its turn.
    async fn read_large<T>(
        &self,
        work: impl for<'a> Fn(&'a Session) -> BoxFuture<'a, Result<T, Problem>> + Send + Sync,
    ) -> Result<T, StoreError> {
        let _turn = self.large_turn.lock().await;
        self.with_session(self.statement_timeout, work).await
    }

    async fn read_small_tasks(&self, ids: Vec<Uuid>) -> Found<Uuid, TaskRead> {
        self.read(|session| {
            let ids = ids.clone();
            Box::pin(async move { read::small_tasks(session, &ids).await })
        })
        .await
    }

    async fn read_large_tasks(&self, ids: Vec<Uuid>) -> Found<Uuid, Arc<Task>> {
        self.read_large(|session| {
            let ids = ids.clone();
            Box::pin(async move { read::tasks(session, &ids).await })
        })
        .await
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn create_tables(&self) -> Result<Prepared, StoreError> {
        self.with_session(MIGRATION_TIMEOUT, |session| Box::pin(schema::create(session))).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.with_session(self.statement_timeout, |session| {
            let fitness = Arc::clone(&self.fitness);
            Box::pin(async move {
                schema::check(session).await?;
                fitness.look_at_rights(session).await?;
                fitness::try_to_write(session).await
            })
        })
        .await
    }

    async fn drop_tables(&self) -> Result<bool, StoreError> {
        let dropped =
            self.with_session(self.statement_timeout, |session| Box::pin(schema::drop_ours(session))).await;
        self.memory.clear();
        dropped
    }

    async fn apply(&self, batch: Arc<[Command]>, now: Timestamp) -> Result<Applied, StoreError> {
        if batch.is_empty() {
            return Ok(Applied::default());
        }
        self.commit(&batch, rows::as_stored(now)).await
    }

    fn lanes(&self) -> Lanes {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        Lanes { most: LANES, worth: if cores < CORES_FOR_SMALL_BATCHES { LARGE } else { 1 } }
    }

    async fn small_task(&self, id: Uuid) -> Result<Option<TaskRead>, StoreError> {
        self.small_tasks.get(id, |ids| Box::pin(self.read_small_tasks(ids))).await
    }

    async fn large_task(&self, id: Uuid) -> Result<Option<Arc<Task>>, StoreError> {
        self.large_tasks.get(id, |ids| Box::pin(self.read_large_tasks(ids))).await
    }

    async fn attempts(&self, id: Uuid) -> Result<Vec<(EndedAttempt, Option<LateResult>)>, StoreError> {
        self.read(|session| Box::pin(read::attempts(session, id))).await
    }

    async fn past(&self, id: Uuid, result_bytes: u32) -> Result<Vec<AttemptView>, StoreError> {
        self.read(|session| Box::pin(read::past(session, id, result_bytes))).await
    }

    async fn surroundings(&self, task: &Task, seen_since: Timestamp) -> Result<Surroundings, StoreError> {
        let task = Arc::new(task.clone());
        self.with_session(self.statement_timeout, |session| {
            let task = Arc::clone(&task);
            Box::pin(async move { surroundings::of(session, &task, seen_since).await })
        })
        .await
    }

    async fn backlog(&self, after: Option<WaitingKind>, limit: u32) -> Result<Backlog, StoreError> {
        self.with_session(self.statement_timeout, |session| {
            let after = after.clone();
            Box::pin(async move { backlog::read(session, after.as_ref(), limit).await })
        })
        .await
    }

    async fn backlog_of(&self, kinds: Arc<[KindCursor]>, limit: u32) -> Result<Backlog, StoreError> {
        self.with_session(self.statement_timeout, |session| {
            let kinds = Arc::clone(&kinds);
            Box::pin(async move { backlog::read_of(session, &kinds, limit).await })
        })
        .await
    }

    async fn counts(&self, seen_since: Timestamp) -> Result<Counts, StoreError> {
        self.read_large(|session| Box::pin(read::counts(session, seen_since))).await
    }

    async fn overview(&self, limit: u32, result_bytes: u32) -> Result<Overview, StoreError> {
        self.read_large(|session| Box::pin(read::overview(session, limit, result_bytes))).await
    }

    async fn listen(&self, hints: mpsc::Sender<Hint>) {
        let (connector, pool, limit, memory) = (&self.connector, &self.pool, &self.limit, &*self.memory);
        Ear { connector, pool, limit, memory, problem: Mutex::default() }.listen(&hints).await;
    }

    async fn time(&self) -> Result<Option<Timestamp>, StoreError> {
        self.with_session(self.statement_timeout, |session| Box::pin(read::time(session))).await.map(Some)
    }

    async fn close(&self) {
        // A migration may run for longer than anyone waits; it ends with the process, and changes nothing then.
        let _all = tokio::time::timeout(self.statement_timeout, self.running.write()).await;
        self.pool.close();
    }
}
