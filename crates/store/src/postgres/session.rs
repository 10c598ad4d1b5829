//! Connections of the pool, each lent for one call.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Pool;
use tokio::time::Instant;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};

use super::connection_limit::{ConnectionLimit, Permit};
use super::errors::Problem;
use super::pooling::Pooling;
use super::timeouts::milliseconds;
use crate::error::SchemaError;

/// A connection, lent for one call.
///
/// Dropped before [`Session::finish`] it is closed, and the server rolls back: a future that is dropped halfway
/// leaves neither half a change nor a connection that still waits for an answer.
pub(super) struct Session {
    client: Option<deadpool_postgres::Client>,
    pooling: Arc<Pooling>,
    deadline: Instant,
    bound: Duration,
    echo: bool,
    /// Whether anything is set on it that the next call must not meet.
    is_altered: bool,
    /// Given back after the connection.
    _permit: Permit,
}

impl Session {
    /// Takes a connection from the pool; what is done with it must end within `bound`.
    pub(super) async fn open(
        pool: &Pool,
        pooling: &Arc<Pooling>,
        limit: &ConnectionLimit,
        bound: Duration,
        echo: bool,
    ) -> Result<Self, Problem> {
        if pooling.is_shared() {
            if pooling.refuses() {
                return Err(SchemaError::Shared.into());
            }
            // Whether they are sessions now, only new ones can tell.
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

    /// Has every statement wait for locks as long as it may take, from the preparing of the first one on, which waits for the
    /// locks of its tables.
    pub(super) async fn wait_long(&mut self, lock_wait: Duration) -> Result<(), Problem> {
        self.is_altered = true;
        let set = format!("set lock_timeout = {}", milliseconds(lock_wait));
        self.bounded(self.script(&set)).await
    }

    /// How long a statement may take.
    pub(super) fn statement_timeout(&self) -> Duration {
        self.bound
    }

    /// Whether nobody has used the connection before.
    pub(super) fn is_new(&self) -> bool {
        self.client
            .as_ref()
            .is_some_and(|client| deadpool_postgres::Client::metrics(client).recycled.is_none())
    }

    fn client(&self) -> Result<&deadpool_postgres::Client, Problem> {
        self.client.as_ref().ok_or_else(|| Problem::Wrong("the connection is closed".to_owned()))
    }

    /// Runs `work` until the deadline of this session.
    pub(super) async fn bounded<T>(
        &self,
        work: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, Problem> {
        tokio::time::timeout_at(self.deadline, work).await.unwrap_or_else(|_| {
            self.pooling.met_silence();
            Err(Problem::Timeout)
        })
    }

    /// Prepares a statement, or finds it prepared.
    pub(super) async fn prepare(&self, sql: &str) -> Result<Statement, Problem> {
        if self.echo {
            tracing::debug!(sql, "statement");
        }
        Ok(self.client()?.prepare_cached(sql).await?)
    }

    /// [`Session::prepare`], of a statement that is needed only at times.
    pub(super) async fn prepare_if(&self, needed: bool, sql: &str) -> Result<Option<Statement>, Problem> {
        if needed { self.prepare(sql).await.map(Some) } else { Ok(None) }
    }

    /// Runs a prepared statement. The first poll of the future sends it.
    pub(super) async fn run(
        &self,
        statement: &Statement,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Problem> {
        Ok(self.client()?.query(statement, parameters).await?)
    }

    /// [`Session::run`], of a statement that is needed only at times.
    pub(super) async fn run_if(
        &self,
        statement: Option<&Statement>,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Problem> {
        let Some(statement) = statement else { return Ok(Vec::new()) };
        self.run(statement, parameters).await
    }

    /// Prepares and runs a statement.
    pub(super) async fn query(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Problem> {
        self.run(&self.prepare(sql).await?, parameters).await
    }

    /// Runs statements without parameters. The first poll of the future sends them.
    pub(super) async fn script(&self, sql: &str) -> Result<(), Problem> {
        if self.echo {
            tracing::debug!(sql, "statement");
        }
        Ok(self.client()?.batch_execute(sql).await?)
    }

    /// [`Session::script`], of one that is needed only at times.
    pub(super) async fn script_if(&self, sql: Option<&str>) -> Result<(), Problem> {
        match sql {
            Some(sql) => self.script(sql).await,
            None => Ok(()),
        }
    }

    /// Gives the connection back, which must not be in a transaction; closes it where it is not as the next call expects it.
    pub(super) fn finish(mut self) {
        // Of one that turned out not to be a session, nobody knows what is set on it.
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
