//! What is compared.

use serde::{Deserialize, Serialize};

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// An axum route without anything behind it.
    Bare,
    /// Ours, in memory.
    Memory,
    /// Ours, in an SQLite file, `synchronous=FULL`.
    File,
    /// Ours, in PostgreSQL, `synchronous_commit=on`.
    Postgres,
    /// slamon-afm 1.1.0, its development server, in an SQLite file.
    Development,
    /// slamon-afm 1.1.0 under gunicorn with 4 workers, in PostgreSQL.
    Gunicorn,
    /// A task's life as four statements, without any server.
    Pgbench,
}

/// Ours, on every store.
pub(crate) const OURS: [Kind; 3] = [Kind::Memory, Kind::File, Kind::Postgres];

impl Kind {
    /// How tables and plots call it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Bare => "bare axum route",
            Self::Memory => "ours, SQLite in memory",
            Self::File => "ours, SQLite file",
            Self::Postgres => "ours, PostgreSQL",
            Self::Development => "1.1.0, development server, SQLite file",
            Self::Gunicorn => "1.1.0, gunicorn, 4 workers, PostgreSQL",
            Self::Pgbench => "pgbench, four statements",
        }
    }
}
