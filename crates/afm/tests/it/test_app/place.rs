//! The databases in which tests keep tasks.

use std::sync::Arc;

use slamon_store::{PostgresOptions, PostgresStore, SqliteStore, Store};
use slamon_testbed::{PgCluster, TestDatabase};
use tempfile::TempDir;

use super::PATIENCE;

/// A database for one test, which is removed with this value.
pub(crate) enum Place {
    Memory,
    File(TempDir),
    Postgres(TestDatabase),
    /// The PostgreSQL database of another AFM, which owns it.
    Shared(String),
}

impl Place {
    /// Creates a new SQLite file.
    pub(crate) fn file() -> Self {
        Self::File(TempDir::new().expect("a temporary folder"))
    }

    /// Creates a new PostgreSQL database.
    #[track_caller]
    pub(crate) fn postgres() -> Self {
        Self::Postgres(PgCluster::shared().create_database())
    }

    /// Returns the URI for `--database-uri`.
    pub(crate) fn uri(&self) -> String {
        match self {
            Self::Memory => "sqlite://".to_owned(),
            Self::File(folder) => format!("sqlite:///{}", folder.path().join("afm.db").display()),
            Self::Postgres(database) => database.uri(),
            Self::Shared(uri) => uri.clone(),
        }
    }

    /// Runs SQL in a PostgreSQL of its own, and returns what it prints.
    #[track_caller]
    pub(crate) fn sql(&self, sql: &str) -> String {
        match self {
            Self::Postgres(database) => database.sql(sql),
            Self::Memory | Self::File(_) | Self::Shared(_) => panic!("it is no PostgreSQL of its own"),
        }
    }

    pub(super) fn store(&self) -> Arc<dyn Store> {
        let uri = self.uri();
        match self {
            Self::Memory | Self::File(_) => Arc::new(SqliteStore::new(&uri, false).expect("a store")),
            Self::Postgres(_) | Self::Shared(_) => {
                let options = PostgresOptions {
                    uri,
                    pool_size: 5,
                    pool_timeout: PATIENCE,
                    statement_timeout: PATIENCE,
                    echo: false,
                };
                Arc::new(PostgresStore::new(&options).expect("a store"))
            }
        }
    }
}
