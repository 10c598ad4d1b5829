//! What a PostgreSQL store is told when it is made.

use std::fmt;
use std::time::Duration;

/// How a [`PostgresStore`](crate::postgres::PostgresStore) connects.
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
