//! A PostgreSQL of the test's own, in a folder that goes with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use slamon_store::{PostgresOptions, PostgresStore};
use slamon_testbed::{PgCluster, PgOptions, Stop};

pub(crate) struct Cluster {
    inner: PgCluster,
}

impl Cluster {
    /// Makes a cluster that anyone may use as anyone, and starts it.
    pub(crate) fn start() -> Self {
        let options = PgOptions { locale: "C".to_owned(), open: true, ..PgOptions::default() };
        Self { inner: PgCluster::start(&options).unwrap() }
    }

    /// A connection of somebody else.
    pub(crate) async fn connect(&self) -> tokio_postgres::Client {
        let uri = self.uri("postgres", "postgres", "");
        let (client, connection) = tokio_postgres::connect(&uri, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    pub(crate) fn folder(&self) -> &Path {
        self.inner.folder()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder().join("data")
    }

    /// Adds a line to the configuration, for the next start.
    pub(crate) fn set(&self, line: &str) {
        let path = self.data().join("postgresql.conf");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, format!("{text}{line}\n")).unwrap();
    }

    pub(crate) fn serve(&self) {
        self.inner.start_again();
    }

    pub(crate) fn stop(&self) {
        self.inner.stop(Stop::Fast);
    }

    /// Where the database is; `rest` is what comes after it, such as `?sslmode=disable`.
    pub(crate) fn uri(&self, user: &str, database: &str, rest: &str) -> String {
        format!("postgresql://{user}@127.0.0.1:{}/{database}{rest}", self.inner.way_in())
    }

    /// The port of the server itself.
    pub(crate) fn port(&self) -> u16 {
        self.inner.port()
    }

    /// The port that stores use, which may be that of a pooler.
    pub(crate) fn way_in(&self) -> u16 {
        self.inner.way_in()
    }

    /// A store in the database `postgres`.
    pub(crate) fn store(&self) -> PostgresStore {
        store(&self.uri("postgres", "postgres", ""))
    }

    /// Runs SQL as a superuser and gives what it prints, columns parted by `|`.
    #[track_caller]
    pub(crate) fn sql(&self, sql: &str) -> String {
        self.inner.sql("postgres", sql)
    }

    /// Waits until the SQL prints `expected`.
    #[track_caller]
    pub(crate) fn wait_for(&self, sql: &str, expected: &str) {
        for _ in 0..600 {
            if self.sql(sql) == expected {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{sql}\nnever gave {expected}, but {}", self.sql(sql));
    }
}

#[track_caller]
pub(crate) fn store(uri: &str) -> PostgresStore {
    PostgresStore::new(&PostgresOptions {
        uri: uri.to_owned(),
        pool_size: 4,
        pool_timeout: Duration::from_secs(20),
        statement_timeout: Duration::from_secs(20),
        echo: false,
    })
    .unwrap()
}

/// Runs a command to its end.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}\n{err}", output.status);
    output
}
