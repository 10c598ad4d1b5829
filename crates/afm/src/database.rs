//! Opens the store that a database URI names.

pub(crate) mod health;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use slamon_store::{PostgresOptions, PostgresStore, SqliteStore, Store, StoreError};

use crate::config::Loaded;

/// A statement may take this long.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);

const SUPPORTED: &str =
    "supported are sqlite:///file.db, sqlite:// (in memory) and postgresql://user@host/name";

/// A store, its kind, and the name of the setting it comes from.
pub(crate) struct Database {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) kind: DatabaseKind,
    name: String,
}

/// The kind of a store: where it keeps tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DatabaseKind {
    /// Tasks are kept in this process, and are gone with it.
    Memory,
    /// Tasks are kept in this file.
    File(Box<Path>),
    /// Tasks are kept on a server, which may be away for a while.
    Postgres,
}

impl Database {
    /// Opens the store that the configuration names, without any I/O yet.
    ///
    /// # Errors
    /// Fails with one line that says what is wrong with the URI, without its secrets.
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

    /// Returns the error with which the program ends, together with the name of the setting.
    pub(crate) fn unusable(&self, error: StoreError) -> anyhow::Error {
        anyhow::Error::from(error).context(self.name.clone())
    }
}

/// Returns the dialect of a URI, such as `sqlite`. It is empty if the text is no URI, since any part of it
/// may be a password.
fn dialect(uri: &str) -> &str {
    let scheme = uri.split_once("://").map_or("", |(scheme, _)| scheme);
    let dialect = scheme.split('+').next().unwrap_or_default();
    if dialect.bytes().all(|b| b.is_ascii_alphanumeric()) { dialect } else { "" }
}
