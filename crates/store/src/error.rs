//! The errors of a store.

use jiff::Timestamp;
use uuid::Uuid;

/// Why a store did not do what it was asked to. The message includes the causes, so that none is a `source`:
/// printing the chain of an error would print them twice.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, is locked or full: the same call may succeed later. Nothing was
    /// changed.
    #[error("the database is not available: {0:#}")]
    Unavailable(anyhow::Error),
    /// Another session has locked a row that some command of the batch needs, and the store does not know
    /// which one. Nothing was changed.
    #[error("a row is locked by somebody else: {0:#}")]
    Locked(anyhow::Error),
    /// The connection was lost while the batch was committed: it may have been committed, or not.
    ///
    /// Submits and reports can be repeated. Claims cannot: the caller has to release them.
    #[error("the database went away during a commit: {cause:#}")]
    InDoubt {
        /// What went wrong.
        cause: anyhow::Error,
        /// When the tasks of the batch were claimed, if they were.
        claimed_at: Timestamp,
        /// The claims of the batch: agents and their tasks.
        claims: Vec<(Uuid, Vec<Uuid>)>,
        /// The cancellations that agents would have been told of, by the ids that they know.
        cancelled: Vec<(Uuid, Vec<Uuid>)>,
    },
    /// The database can be read and not written, as a standby, or a file without the right to write it. The
    /// same call succeeds once that is mended. Nothing was changed.
    #[error("the database takes no writes: {0:#}")]
    ReadOnly(anyhow::Error),
    /// The database or its tables are not as they should be.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// Any other error: the same call would fail again.
    #[error("the database refused: {0:#}")]
    Failed(anyhow::Error),
}

impl StoreError {
    /// Whether the log has this error already, from where it was found out.
    #[must_use]
    pub fn is_said(&self) -> bool {
        matches!(self, Self::Schema(SchemaError::Shared))
    }

    /// The same error, for another caller that asked for the same.
    pub(crate) fn again(&self) -> Self {
        let told = |error: &anyhow::Error| anyhow::Error::msg(format!("{error:#}"));
        match self {
            Self::Unavailable(error) => Self::Unavailable(told(error)),
            Self::Locked(error) => Self::Locked(told(error)),
            Self::ReadOnly(error) => Self::ReadOnly(told(error)),
            Self::Failed(error) => Self::Failed(told(error)),
            Self::Schema(error) => Self::Schema(error.clone()),
            Self::InDoubt { cause, claimed_at, claims, cancelled } => Self::InDoubt {
                cause: told(cause),
                claimed_at: *claimed_at,
                claims: claims.clone(),
                cancelled: cancelled.clone(),
            },
        }
    }
}

/// What is wrong with the database or its tables; the message says what to run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// There are no tables.
    #[error("the database has no tables: run `slamon-afm create-tables`, or set AUTO_CREATE = True")]
    Missing,
    /// The tables are those of slamon-afm 1.1.0.
    #[error(
        "the database holds the tables of slamon-afm 1.1.0: run `slamon-afm create-tables` to adopt them, \
         or set AUTO_CREATE = True"
    )]
    Original,
    /// The tables are of an earlier version.
    #[error(
        "the tables are at version {found}, this slamon-afm needs {needed}: run `slamon-afm create-tables`, \
         or set AUTO_CREATE = True"
    )]
    Behind {
        /// The version of the tables.
        found: i64,
        /// The version that this program needs.
        needed: i64,
    },
    /// The tables are of a later version.
    #[error("the tables are at version {found}, this slamon-afm knows only {known}: run a newer slamon-afm")]
    Ahead {
        /// The version of the tables.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// The user lacks a right that is needed.
    #[error("{0}")]
    Denied(String),
    /// A pooler lends its connections for less than a session.
    #[error(
        "the database is behind a pooler in transaction or statement mode, which loses LISTEN, prepared \
         statements and settings: set pool_mode = session for this database in the pooler, or connect to \
         PostgreSQL directly"
    )]
    Shared,
    /// The database cannot keep tasks as it is: its server is too old, or its encoding is not UTF-8, or the
    /// user's search path names no schema that exists.
    #[error("{0}")]
    Unusable(String),
}

/// Logged before tables of an earlier version are migrated: with a million tasks that takes some ten seconds.
pub(crate) const MIGRATING: &str = "migrating the tables, which takes a while where there are many tasks";

/// Logged at start where slamon-afm 1.1.0 was started again on a database that is ours.
pub(crate) const ORIGINAL_BESIDE: &str = "beside our tables there are tables of slamon-afm 1.1.0 again: \
    it was started on this database after ours, and tasks that it took there are not known here";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_told_once() {
        let cause = || anyhow::anyhow!("no route to host").context("connecting");
        let at = Timestamp::UNIX_EPOCH;
        for (error, text) in [
            (StoreError::Unavailable(cause()), "the database is not available: connecting: no route to host"),
            (StoreError::Failed(cause()), "the database refused: connecting: no route to host"),
            (StoreError::ReadOnly(cause()), "the database takes no writes: connecting: no route to host"),
            (
                StoreError::InDoubt {
                    cause: cause(),
                    claimed_at: at,
                    claims: Vec::new(),
                    cancelled: Vec::new(),
                },
                "the database went away during a commit: connecting: no route to host",
            ),
        ] {
            assert_eq!(error.to_string(), text);
            assert_eq!(format!("{:#}", anyhow::Error::from(error)), text);
        }
    }
}
