//! Errors of calls on PostgreSQL: what they mean to a caller, and whether another try may help.

use std::error::Error as _;
use std::io;

use deadpool_postgres::PoolError;
use slamon_protocol::excerpt;
use tokio_postgres::Error;
use tokio_postgres::error::{DbError, Severity, SqlState};

use super::tls;
use crate::error::{SchemaError, StoreError};

/// Why a call on a connection failed.
#[derive(Debug)]
pub(super) enum PgError {
    /// The server, or the connection to it, reported this error.
    Postgres(Error),
    /// No connection could be had in time.
    NoConnection(String),
    /// The server did not answer in time.
    Timeout,
    /// The database or its tables are not as they should be.
    Schema(SchemaError),
    /// The server takes no writes; the text says what to do about it.
    ReadOnly(String),
    /// A row that was there a moment ago has been deleted by another session.
    Deleted,
    /// A transaction whose commit was not answered is still under way.
    InDoubt,
    /// Notifications do not arrive, although they are sent.
    NotificationsLost,
    /// The queue of notifications is too full to be relied on.
    QueueFull,
    /// A pooler lets a new connection wait while this store has others.
    PoolerFull,
    /// The database holds or did something that contradicts what was asked for; the text says what.
    Unexpected(String),
}

impl From<Error> for PgError {
    fn from(error: Error) -> Self {
        Self::Postgres(error)
    }
}

impl From<SchemaError> for PgError {
    fn from(error: SchemaError) -> Self {
        Self::Schema(error)
    }
}

impl From<PoolError> for PgError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => Self::Postgres(error),
            PoolError::Timeout(_) => Self::NoConnection("could not connect in time".to_owned()),
            error => Self::NoConnection(error.to_string()),
        }
    }
}

impl PgError {
    pub(super) fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Postgres(error) => error.code(),
            _ => None,
        }
    }

    /// Whether the connection is gone or of no more use: the server shuts down or takes no more writes, or
    /// has forgotten statements, or these were prepared for tables that have changed since.
    pub(super) fn lost_connection(&self) -> bool {
        let Self::Postgres(error) = self else { return false };
        match error.code() {
            // The server has as many connections as it may have, and none of them is lost.
            Some(code) if *code == SqlState::TOO_MANY_CONNECTIONS => false,
            Some(code) => {
                if error.as_db_error().is_some_and(is_wrong_password) {
                    return false;
                }
                error.as_db_error().is_some_and(ends_connection)
                    || code.code().starts_with("08")
                    || code.code().starts_with("57P")
                    || *code == SqlState::READ_ONLY_SQL_TRANSACTION
                    || *code == SqlState::INVALID_SQL_STATEMENT_NAME
                    || *code == SqlState::DUPLICATE_PSTATEMENT
                    || *code == SqlState::INVALID_CURSOR_NAME
                    // A standby will not begin a transaction that writes; and what is "cached plan must not
                    // change result type" in English has to be prepared anew.
                    || *code == SqlState::FEATURE_NOT_SUPPORTED
            }
            None => error.is_closed() || io_error(error).is_some(),
        }
    }

    /// Whether transactions got into each other's way, so that the same one may succeed on the next try.
    pub(super) fn is_collision(&self) -> bool {
        matches!(self, Self::Deleted)
            || self.code().is_some_and(|code| {
                *code == SqlState::T_R_DEADLOCK_DETECTED || *code == SqlState::T_R_SERIALIZATION_FAILURE
            })
    }

    /// Whether the server refused a statement, over a connection that can still be used.
    pub(super) fn is_refused(&self) -> bool {
        self.code().is_some() && !self.lost_connection()
    }

    /// Whether a COMMIT may have failed because of the notifications that it sends.
    pub(super) fn may_be_of_notify(&self) -> bool {
        self.code()
            .is_some_and(|code| ["53", "54", "58", "XX"].iter().any(|class| code.code().starts_with(class)))
    }

    /// Whether a statement that notifies failed because the queue of notifications is full.
    pub(super) fn is_queue_full(&self) -> bool {
        self.code() == Some(&SqlState::PROGRAM_LIMIT_EXCEEDED)
    }

    /// Whether somebody on the way to the server reports that the connection broke.
    pub(super) fn is_of_connection(&self) -> bool {
        self.code().is_some_and(|code| code.code().starts_with("08"))
    }

    /// Whether a statement has failed by a text that is no number, as one does on purpose whose rows are too few.
    pub(super) fn is_failed_cast(&self) -> bool {
        self.code() == Some(&SqlState::INVALID_TEXT_REPRESENTATION)
    }

    /// Whether a statement has waited for a lock in vain.
    pub(super) fn waits_for_lock(&self) -> bool {
        self.code() == Some(&SqlState::LOCK_NOT_AVAILABLE)
    }

    /// Whether an insert has waited in vain for another that has inserted the same row, and not committed.
    pub(super) fn waits_for_insert(&self) -> bool {
        let Self::Postgres(error) = self else { return false };
        let context = error.as_db_error().and_then(DbError::where_).unwrap_or_default();
        self.waits_for_lock() && names_tuple(context)
    }

    /// Whether an error in answer to COMMIT says that nothing was committed.
    ///
    /// An error of severity FATAL does not: a server may end the connection after the commit record is
    /// written.
    pub(super) fn is_rolled_back(&self) -> bool {
        let Self::Postgres(error) = self else { return false };
        error.as_db_error().is_some_and(|error| error.parsed_severity() == Some(Severity::Error))
    }

    /// Whether there are as many connections as the role, the database or the server may have.
    pub(super) fn is_out_of_connections(&self) -> bool {
        matches!(self, Self::PoolerFull) || self.code() == Some(&SqlState::TOO_MANY_CONNECTIONS)
    }

    /// Whether the cause may be the server, the database or the user's rights, so that they are worth
    /// checking.
    pub(super) fn is_worth_a_look(&self) -> bool {
        self.code().is_some_and(|code| {
            [
                SqlState::INSUFFICIENT_PRIVILEGE,
                SqlState::READ_ONLY_SQL_TRANSACTION,
                SqlState::FEATURE_NOT_SUPPORTED,
            ]
            .contains(code)
        })
    }

    fn is_temporary(&self) -> bool {
        match self {
            Self::NoConnection(_)
            | Self::Timeout
            | Self::Deleted
            | Self::InDoubt
            | Self::NotificationsLost
            | Self::QueueFull
            | Self::PoolerFull => true,
            Self::Schema(_) | Self::ReadOnly(_) | Self::Unexpected(_) => false,
            Self::Postgres(error) => {
                self.lost_connection()
                    || self.is_collision()
                    || error.code().is_some_and(|code| {
                        // Disk full, out of memory, too many connections.
                        code.code().starts_with("53")
                            // The server cannot read or write its files just now.
                            || code.code().starts_with("58")
                            || *code == SqlState::LOCK_NOT_AVAILABLE
                            || *code == SqlState::QUERY_CANCELED
                    })
            }
        }
    }

    /// Describes the error without secrets: no part of the URI is in it.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Postgres(error) => {
                let mut text = error.as_db_error().map_or_else(
                    || error.to_string(),
                    |db| {
                        // Both may quote texts of clients, and are cut.
                        let detail = db.detail().map(|detail| format!(" ({})", excerpt(detail)));
                        let detail = detail.unwrap_or_default();
                        format!("{}{detail} [SQLSTATE {}]", excerpt(db.message()), db.code().code())
                    },
                );
                if error.as_db_error().is_none() {
                    let mut source = error.source();
                    while let Some(cause) = source {
                        text = format!("{text}: {cause}");
                        source = cause.source();
                    }
                    if text.contains("password missing") {
                        text = "the server asks for a password, and none is given: put it into the database \
                        URI (postgresql://USER:PASSWORD@HOST/NAME), PGPASSWORD or ~/.pgpass"
                            .to_owned();
                    }
                }
                text
            }
            Self::NoConnection(text) | Self::Unexpected(text) | Self::ReadOnly(text) => text.clone(),
            Self::Deleted => "a task was deleted while it was posted again".to_owned(),
            Self::InDoubt => "a commit that was cut short is still under way".to_owned(),
            Self::QueueFull => "the cluster's queue of notifications is at least half full".to_owned(),
            Self::PoolerFull => "a pooler lends no more connections".to_owned(),
            Self::NotificationsLost => "a pooler or proxy loses notifications".to_owned(),
            Self::Timeout => "the server did not answer in time".to_owned(),
            Self::Schema(error) => error.to_string(),
        }
    }
}

impl From<PgError> for StoreError {
    fn from(problem: PgError) -> Self {
        if let PgError::Schema(error) = problem {
            return Self::Schema(error);
        }
        if let PgError::ReadOnly(text) = problem {
            return Self::ReadOnly(anyhow::Error::msg(text));
        }
        if problem.code() == Some(&SqlState::UNDEFINED_TABLE) {
            return Self::Schema(SchemaError::Missing);
        }
        let error = anyhow::Error::msg(problem.describe());
        if problem.is_temporary() { Self::Unavailable(error) } else { Self::Failed(error) }
    }
}

/// Whether the context of an error reads `while inserting index tuple (0,1) in relation "task"`, in any
/// language. The context of a lock on a table is empty, and that of a trigger names a function.
fn names_tuple(context: &str) -> bool {
    let place = context.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(place, _)| place);
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    !context.contains('\n')
        && ["task", "attempt", "agent"].iter().any(|table| context.contains(table))
        && place
            .and_then(|place| place.split_once(','))
            .is_some_and(|(page, at)| is_number(page) && is_number(at))
}

/// Whether the server ended the connection because of a shutdown, a time limit or a crash. A connection that
/// it refused because of what was asked for (classes 22, 28, 3D and 42: a setting, a password, a database, a
/// right) is refused on every try.
fn ends_connection(error: &DbError) -> bool {
    let is_fatal = matches!(error.parsed_severity(), Some(Severity::Fatal | Severity::Panic));
    let class = error.code().code().get(..2).unwrap_or_default();
    is_fatal && !["22", "28", "3D", "42"].contains(&class)
}

/// Whether PgBouncer refused the password. It has one code for all that it refuses, and writes in one
/// language.
fn is_wrong_password(error: &DbError) -> bool {
    *error.code() == SqlState::PROTOCOL_VIOLATION && error.message().ends_with("authentication failed")
}

/// The I/O error behind `error`, except one that comes again on every try, as of a certificate that is not
/// trusted or a file that cannot be read.
fn io_error(error: &Error) -> Option<&io::Error> {
    let cause = match tls::TlsFailure::of(error) {
        Some(tls::TlsFailure::Broken(cause)) => cause,
        Some(_) => return None,
        None => error.source()?.downcast_ref::<io::Error>()?,
    };
    (!matches!(cause.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput)).then_some(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_for_an_insert_is_told_from_others() {
        assert!(names_tuple(r#"while inserting index tuple (0,1) in relation "task""#));
        assert!(names_tuple("beim Einfügen von Indextupel (12,34) in Relation »agent_pkey«"));
        for context in [
            "",
            r#"while inserting index tuple (0,1) in relation "orders""#,
            "PL/pgSQL function task(integer,integer) line 3 at PERFORM",
            "SQL statement \"select (0,1) from task\"\nPL/pgSQL function f() line 3 at PERFORM",
        ] {
            assert!(!names_tuple(context), "{context}");
        }
    }
}
