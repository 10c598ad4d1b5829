//! The store that a database URI names.

pub(crate) mod health;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use slamon_store::{PostgresOptions, PostgresStore, SqliteStore, Store, StoreError};

use crate::config::Loaded;

/// How long a statement may take.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);

const SUPPORTED: &str =
    "supported are sqlite:///file.db, sqlite:// (in memory) and postgresql://user@host/name";

/// A store, what kind it is, and how it was named.
pub(crate) struct Database {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) kind: DatabaseKind,
    name: String,
}

/// Where tasks are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DatabaseKind {
    /// In this process, and gone with it.
    Memory,
    /// In a file.
    File(Box<Path>),
    /// On a server, which may be away for a while.
    Postgres,
}

impl Database {
    /// Opens the store that the configuration names, without any I/O yet.
    ///
    /// # Errors
    /// One line that says what is wrong with the URI, without its secrets.
    pub(crate) fn open(loaded: &Loaded) -> Result<Self, String> {
        let config = &loaded.config;
        let uri = config.database_uri.expose();
        let named = |problem: &str| format!("{}: {problem}", loaded.database_uri_name);
        let name = named(&config.database_uri.to_string());
        match dialect(uri) {
            "sqlite" => {
                let store = SqliteStore::new(uri, config.echo).map_err(|problem| named(&problem))?;
                let kind = match store.file() {
                    None => DatabaseKind::Memory,
                    Some(file) => {
                        DatabaseKind::File(std::path::absolute(file).unwrap_or_else(|_| file.into()).into())
                    }
                };
                let store = store.with_default_timeout(config.task_timeout_default);
                Ok(Self { store: Arc::new(store), kind, name })
            }
            "postgresql" | "postgres" => {
                let options = PostgresOptions {
                    uri: uri.to_owned(),
                    pool_size: config.pool_size,
                    pool_timeout: config.pool_timeout,
                    statement_timeout: STATEMENT_TIMEOUT,
                    echo: config.echo,
                };
                let store = PostgresStore::new(&options).map_err(|error| named(&error.to_string()))?;
                let store = store.with_default_timeout(config.task_timeout_default);
                Ok(Self { store: Arc::new(store), kind: DatabaseKind::Postgres, name })
            }
            "" => Err(named(&format!("is not a URI; {SUPPORTED}"))),
            other => Err(named(&format!("dialect `{other}` is not supported; {SUPPORTED}"))),
        }
    }

    /// Why the program cannot go on with this database, together with who named it.
    pub(crate) fn unusable(&self, error: StoreError) -> anyhow::Error {
        anyhow::Error::from(error).context(self.name.clone())
    }
}

/// What says how to talk to the database; empty in what is no URI, of which any part may be a password.
fn dialect(uri: &str) -> &str {
    let scheme = uri.split_once("://").map_or("", |(scheme, _)| scheme);
    let dialect = scheme.split('+').next().unwrap_or_default();
    if dialect.bytes().all(|b| b.is_ascii_alphanumeric()) { dialect } else { "" }
}
