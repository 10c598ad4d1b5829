//! The store that a database URI names.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use slamon_store::{PostgresOptions, PostgresStore, SqliteStore, Store};

use crate::config::Config;

/// How long a statement may take.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);

const SUPPORTED: &str =
    "supported are sqlite:///file.db, sqlite:// (in memory) and postgresql://user@host/name";

/// A store, and what kind it is.
pub(crate) struct Database {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) kind: Kind,
}

/// Where tasks are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
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
    pub(crate) fn open(config: &Config) -> Result<Self, String> {
        let uri = config.database_uri.expose();
        match dialect(uri) {
            "sqlite" => {
                let store = SqliteStore::new(uri, config.echo).map_err(|problem| named(&problem))?;
                let kind = match store.file() {
                    None => Kind::Memory,
                    Some(file) => {
                        Kind::File(std::path::absolute(file).unwrap_or_else(|_| file.into()).into())
                    }
                };
                Ok(Self { store: Arc::new(store), kind })
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
                Ok(Self { store: Arc::new(store), kind: Kind::Postgres })
            }
            "" => Err(named(&format!("is not a URI; {SUPPORTED}"))),
            other => Err(named(&format!("dialect `{other}` is not supported; {SUPPORTED}"))),
        }
    }
}

/// What says how to talk to the database; empty in what is no URI, of which any part may be a password.
fn dialect(uri: &str) -> &str {
    let scheme = uri.split_once("://").map_or("", |(scheme, _)| scheme);
    let dialect = scheme.split('+').next().unwrap_or_default();
    if dialect.bytes().all(|b| b.is_ascii_alphanumeric()) { dialect } else { "" }
}

fn named(problem: &str) -> String {
    format!("SQLALCHEMY_DATABASE_URI: {problem}")
}
