//! The way to a database: opens sessions and runs calls on them, again where that may help.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Pool;
use futures_util::future::BoxFuture;
use tokio::sync::{Mutex, RwLock, RwLockReadGuard};
use tokio_postgres::error::SqlState;

use super::connection::{self, Connector};
use super::connection_limit::ConnectionLimit;
use super::errors::PgError;
use super::fitness::{self, Fitness};
use super::options::PostgresOptions;
use super::session::Session;
use super::uri::{ConnectionTarget, UriError};
use crate::error::StoreError;

/// How often a transaction is tried that collides with others, or whose connection turns out to be dead.
const TRIES: u32 = 4;

/// A database that calls are made to.
pub(super) struct PostgresDatabase {
    pub(super) pool: Pool,
    /// Makes the connection that listens, which is none of the pool's.
    pub(super) connector: Connector,
    pub(super) limit: ConnectionLimit,
    pub(super) fitness: Arc<Fitness>,
    pub(super) statement_timeout: Duration,
    /// Held by the large read that runs: all others leave the connections to small reads and to changes.
    large_turn: Mutex<()>,
    /// Every call holds this to read, and [`PostgresDatabase::close`] to write.
    running: RwLock<()>,
    echo: bool,
}

impl PostgresDatabase {
    /// Connects when it is first used.
    ///
    /// # Errors
    /// Where the URI does not say what it should.
    pub(super) fn new(options: &PostgresOptions) -> Result<Self, UriError> {
        let environment = |name: &str| std::env::var(name).ok();
        let target = ConnectionTarget::parse(&options.uri, &environment, options.pool_timeout)?;
        let connector = Connector::new(&target, options);
        Ok(Self {
            pool: connection::pool(connector.clone(), options),
            connector,
            limit: ConnectionLimit::new(options.pool_size.max(1), options.pool_timeout),
            fitness: Arc::new(Fitness::new(target.user, target.database)),
            statement_timeout: options.statement_timeout,
            large_turn: Mutex::default(),
            running: RwLock::new(()),
            echo: options.echo,
        })
    }

    /// Gives a guard to hold for one call: [`PostgresDatabase::close`] waits for it.
    pub(super) async fn begin_call(&self) -> RwLockReadGuard<'_, ()> {
        self.running.read().await
    }

    /// A session whose connection is fit to be used. What is done on it must end within `bound`.
    pub(super) async fn open(&self, bound: Duration) -> Result<Session, PgError> {
        let session =
            Session::open(&self.pool, &self.connector.pooling, &self.limit, bound, self.echo).await?;
        if session.is_new() {
            session.bounded(self.fitness.look(&session)).await?;
        }
        Ok(session)
    }

    /// Whether to try again after `problem`, which came before anything was committed, on try number `tried`.
    pub(super) fn another_try(&self, problem: &PgError, tried: u32) -> bool {
        if problem.lost_connection() {
            // What cut one connection has often cut them all, and the pool does not know yet.
            self.pool.retain(|_, _| false);
            return tried < 2;
        }
        problem.is_collision() && tried < TRIES
    }

    /// Runs `work`, which changes all that it changes or nothing, on a session; again where transactions got
    /// into each other's way, a connection was lost, or a lock was not had within the short wait. Each try
    /// must end within `bound`.
    pub(super) async fn call_within<T>(
        &self,
        bound: Duration,
        work: impl for<'a> Fn(&'a Session) -> BoxFuture<'a, Result<T, PgError>> + Send + Sync,
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
        work: impl for<'a> Fn(&'a Session) -> BoxFuture<'a, Result<T, PgError>>,
    ) -> Result<T, PgError> {
        let _call = self.begin_call().await;
        let mut session = self.open(bound).await?;
        if waits_long {
            session.wait_long(self.statement_timeout).await?;
        }
        let value = session.bounded(work(&session)).await?;
        session.finish();
        Ok(value)
    }

    /// The error that a caller gets. Where the server or a right has to be mended, it says how.
    pub(super) async fn explain(&self, problem: PgError) -> StoreError {
        if problem.is_worth_a_look()
            && let Err(found @ (PgError::Schema(_) | PgError::ReadOnly(_))) = self.look_at_rights().await
        {
            return found.into();
        }
        let PgError::Postgres(error) = &problem else { return problem.into() };
        let message = error.as_db_error().map(|error| error.message().to_owned()).unwrap_or_default();
        if error.code() == Some(&SqlState::UNDEFINED_OBJECT) && message.contains("plan_cache_mode") {
            return fitness::too_old("11 or older").into();
        }
        if error.code() != Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
            return problem.into();
        }
        self.fitness.denied(&message).into()
    }

    /// Checks what is lacking, so that it is reported as at the start.
    async fn look_at_rights(&self) -> Result<(), PgError> {
        let session = self.open(self.statement_timeout).await?;
        session.bounded(self.fitness.look_at_rights(&session)).await?;
        session.finish();
        Ok(())
    }

    /// Runs `work` once, or again, as [`PostgresDatabase::call_within`]; it may take as long as a statement.
    pub(super) async fn call<T>(
        &self,
        work: impl for<'a> Fn(&'a Session) -> BoxFuture<'a, Result<T, PgError>> + Send + Sync,
    ) -> Result<T, StoreError> {
        self.call_within(self.statement_timeout, work).await
    }

    /// Runs a read that may take long or bring much: one at a time.
    pub(super) async fn read_large<T>(
        &self,
        work: impl for<'a> Fn(&'a Session) -> BoxFuture<'a, Result<T, PgError>> + Send + Sync,
    ) -> Result<T, StoreError> {
        let _turn = self.large_turn.lock().await;
        self.call_within(self.statement_timeout, work).await
    }

    /// Waits for the calls that run, no longer than a statement may take, and closes the connections.
    pub(super) async fn close(&self) {
        // A migration may run for longer than anyone waits; it ends with the process, and changes nothing
        // then.
        let _all = tokio::time::timeout(self.statement_timeout, self.running.write()).await;
        self.pool.close();
    }
}
