//! Sessions: connections of the pool, each lent for one call.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Pool;
use tokio::time::Instant;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};

use super::connection_limit::{ConnectionLimit, Permit};
use super::errors::PgError;
use super::pooling::Pooling;
use super::timeouts::milliseconds;
use crate::error::SchemaError;

/// A connection that is lent for one call.
///
/// If it is dropped before [`Session::finish`], the connection is closed and the server rolls back: a future
/// that is dropped halfway leaves neither half a change nor a connection that still waits for an answer.
pub(super) struct Session {
    client: Option<deadpool_postgres::Client>,
    pooling: Arc<Pooling>,
    deadline: Instant,
    bound: Duration,
    echo: bool,
    /// Whether a setting of the connection was changed, which the next call must not meet.
    is_altered: bool,
    /// Given back after the connection, because fields are dropped in their order.
    _permit: Permit,
}

impl Session {
    /// Takes a connection from the pool. What is done on it must end within `bound`.
    pub(super) async fn open(
        pool: &Pool,
        pooling: &Arc<Pooling>,
        limit: &ConnectionLimit,
        bound: Duration,
        echo: bool,
    ) -> Result<Self, PgError> {
        if pooling.is_shared() {
            if pooling.refuses() {
                return Err(SchemaError::Shared.into());
            }
            // Only new connections can tell whether they are sessions by now.
            pool.retain(|_, _| false);
        }
        let (client, permit) = match limit.take_from(pool).await {
            Err(_) if pooling.is_shared() => return Err(SchemaError::Shared.into()),
            taken => taken?,
        };
        let pooling = Arc::clone(pooling);
        let deadline = Instant::now() + bound;
        Ok(Self { client: Some(client), pooling, deadline, bound, echo, is_altered: false, _permit: permit })
    }

    /// Has every statement wait for locks for `lock_wait`. It is set for the session, because preparing a
    /// statement already waits for the locks of its tables.
    pub(super) async fn wait_long(&mut self, lock_wait: Duration) -> Result<(), PgError> {
        self.is_altered = true;
        let set = format!("set lock_timeout = {}", milliseconds(lock_wait));
        self.bounded(self.script(&set)).await
    }

    /// How long a statement may take on this connection.
    pub(super) fn statement_timeout(&self) -> Duration {
        self.bound
    }

    /// Whether no call has used the connection before.
    pub(super) fn is_new(&self) -> bool {
        self.client
            .as_ref()
            .is_some_and(|client| deadpool_postgres::Client::metrics(client).recycled.is_none())
    }

    fn client(&self) -> Result<&deadpool_postgres::Client, PgError> {
        self.client.as_ref().ok_or_else(|| PgError::Unexpected("the connection is closed".to_owned()))
    }

    /// Runs `work`, and gives it up at the deadline of this session.
    pub(super) async fn bounded<T>(
        &self,
        work: impl Future<Output = Result<T, PgError>>,
    ) -> Result<T, PgError> {
        tokio::time::timeout_at(self.deadline, work).await.unwrap_or_else(|_| {
            self.pooling.met_silence();
            Err(PgError::Timeout)
        })
    }

    /// The connection itself.
    pub(super) fn connection(&self) -> Result<&tokio_postgres::Client, PgError> {
        Ok(self.client()?)
    }

    /// Prepares a statement on this connection, unless that was done before.
    pub(super) async fn prepare(&self, sql: &str) -> Result<Statement, PgError> {
        if self.echo {
            tracing::debug!(sql, "statement");
        }
        Ok(self.client()?.prepare_cached(sql).await?)
    }

    /// Prepares a statement as [`Session::prepare`] does, if it is `needed`.
    pub(super) async fn prepare_if(&self, needed: bool, sql: &str) -> Result<Option<Statement>, PgError> {
        if needed { self.prepare(sql).await.map(Some) } else { Ok(None) }
    }

    /// Runs a prepared statement. It is sent with the first poll of the future, so that futures that are
    /// joined send theirs together, in their order.
    pub(super) async fn run(
        &self,
        statement: &Statement,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, PgError> {
        Ok(self.client()?.query(statement, parameters).await?)
    }

    /// Runs a statement as [`Session::run`] does, if there is one; else there are no rows.
    pub(super) async fn run_if(
        &self,
        statement: Option<&Statement>,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, PgError> {
        let Some(statement) = statement else { return Ok(Vec::new()) };
        self.run(statement, parameters).await
    }

    /// Prepares and runs a statement.
    pub(super) async fn query(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, PgError> {
        self.run(&self.prepare(sql).await?, parameters).await
    }

    /// Runs statements without parameters. They are sent with the first poll of the future.
    pub(super) async fn script(&self, sql: &str) -> Result<(), PgError> {
        if self.echo {
            tracing::debug!(sql, "statement");
        }
        Ok(self.client()?.batch_execute(sql).await?)
    }

    /// Runs statements as [`Session::script`] does, if there are any.
    pub(super) async fn script_if(&self, sql: Option<&str>) -> Result<(), PgError> {
        match sql {
            Some(sql) => self.script(sql).await,
            None => Ok(()),
        }
    }

    /// Gives the connection back to the pool, which must not be in a transaction. One whose settings were
    /// changed is closed instead.
    pub(super) fn finish(mut self) {
        // Nobody knows what is set on a connection that turned out to be shared.
        if !self.is_altered && !self.pooling.is_shared() {
            self.client = None;
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            drop(deadpool_postgres::Client::take(client));
        }
    }
}
