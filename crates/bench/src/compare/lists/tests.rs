//! Every reading, against the real server on stores that were filled.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use slamon_afm::clock::Clock;
use slamon_afm::http::app::{App, Settings};
use slamon_afm::http::router::router;
use slamon_afm::http::server::{self, ServerLimits};
use slamon_store::{PostgresOptions, PostgresStore, SqliteStore, Store};
use slamon_testbed::PgCluster;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::super::fill::{Contents, fill_postgres, fill_sqlite};
use super::readings::{Reading, readings};
use crate::{Load, Stop};

const STORED: u64 = 10_000;

/// Far beyond what any machine needs; reached only when something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks a server on a store that is filled for everything.
async fn all_readings(store: Arc<dyn Store>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let settings = Settings {
        agent_return_time: PATIENCE,
        agent_active_threshold: PATIENCE,
        max_content_length: 1024 * 1024,
        limits: slamon_afm::config::Config::default().limits,
        request_timeout: PATIENCE,
        list_looks_for: PATIENCE,
    };
    let limits = ServerLimits {
        idle: PATIENCE,
        write: PATIENCE,
        shutdown: PATIENCE,
        connections: 16,
        memory: 64 * 1024 * 1024,
    };
    let stop = CancellationToken::new();
    let (app, work) = App::new(store, Clock::system(), settings, stop.clone());
    tokio::spawn(work);
    tokio::spawn(server::serve(vec![listener], router(app), limits, stop.clone(), stop));
    for reading in readings(STORED) {
        answered(address, &reading).await;
    }
}

async fn answered(address: SocketAddr, Reading { name, path, has, .. }: &Reading) {
    let address = address.to_string();
    let words = [&address, "--path", path, "--has", has, "--count", "2", "--quiet"];
    let load = crate::parse::<crate::read::Read>(&words).unwrap();
    let report = load.run(&Stop::default()).await.unwrap();
    assert!(report.errors.is_empty() && report.done == 2, "{name}, {path}:\n{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_found_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("afm.db");
    let uri = format!("sqlite:///{}", file.display());
    // Its connections would be in the way of the fill.
    let empty = SqliteStore::new(&uri, false).unwrap();
    empty.create_tables().await.unwrap();
    empty.close().await;
    fill_sqlite(&file, STORED, Contents::Varied, || Ok(())).unwrap();
    all_readings(Arc::new(SqliteStore::new(&uri, false).unwrap())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_found_in_postgresql() {
    let database = PgCluster::shared().create_database();
    let options = PostgresOptions {
        uri: database.uri(),
        pool_size: 5,
        pool_timeout: PATIENCE,
        statement_timeout: PATIENCE,
        echo: false,
    };
    let store = Arc::new(PostgresStore::new(&options).unwrap());
    store.create_tables().await.unwrap();
    fill_postgres(&database, STORED, Contents::Varied, || Ok(())).unwrap();
    all_readings(store).await;
}
