//! The real server, on each of its stores.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use slamon_afm::clock::Clock;
use slamon_afm::http::access::AccessSettings;
use slamon_afm::http::app::{App, Settings};
use slamon_afm::http::router::router;
use slamon_afm::http::server::{self, ServerLimits};
use slamon_store::{PostgresOptions, PostgresStore, SqliteStore, Store};
use slamon_testbed::{PgCluster, TestDatabase};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// Far beyond what any machine needs; reached only when something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running AFM, gone with this value.
pub(crate) struct Afm {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    runtime: Option<Runtime>,
    _place: Place,
}

/// Where it keeps its tasks.
pub(crate) enum Place {
    Memory,
    File(TempDir),
    Postgres(TestDatabase),
}

impl Afm {
    /// One after the other, one for each store.
    pub(crate) fn on_every_store() -> impl Iterator<Item = Self> {
        let places: [fn() -> Place; 3] = [
            || Place::Memory,
            || Place::File(TempDir::new().expect("a temporary folder")),
            || Place::Postgres(PgCluster::shared().create_database()),
        ];
        places.into_iter().map(|place| Self::start(place()))
    }

    /// One after the other, one for each store that outlives its connections, after `fill` has put tasks there.
    pub(crate) fn on_filled_stores(fill: impl Fn(&Place)) -> impl Iterator<Item = Self> {
        let places: [fn() -> Place; 2] = [
            || Place::File(TempDir::new().expect("a temporary folder")),
            || Place::Postgres(PgCluster::shared().create_database()),
        ];
        places.into_iter().map(move |place| {
            let place = place();
            let store = place.store();
            let runtime = runtime();
            runtime.block_on(store.create_tables()).expect("tables can be created");
            // Its connections would be in the way.
            runtime.block_on(store.close());
            drop((store, runtime));
            fill(&place);
            Self::start(place)
        })
    }

    #[track_caller]
    fn start(place: Place) -> Self {
        let store = place.store();
        let runtime = runtime();
        runtime.block_on(store.create_tables()).expect("tables can be created");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let settings = Settings {
            agent_return_time: Duration::from_secs(60),
            agent_active_threshold: Duration::from_secs(300),
            max_content_length: 1024 * 1024,
            limits: slamon_afm::config::Config::default().limits,
            request_timeout: PATIENCE,
            access: AccessSettings::default(),
            list_looks_for: PATIENCE,
        };
        let limits = ServerLimits {
            idle: PATIENCE,
            write: PATIENCE,
            shutdown: PATIENCE,
            connections: 4_096,
            memory: 64 * 1024 * 1024,
        };
        let stop = CancellationToken::new();
        let (app, work) = App::new(store, Clock::system(), settings, stop.clone());
        runtime.spawn(work);
        runtime.spawn(server::serve(vec![listener], router(app), limits, stop.clone(), stop));
        Self { name: place.name(), address, runtime: Some(runtime), _place: place }
    }
}

#[track_caller]
fn runtime() -> Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("threads can be started")
}

impl Place {
    fn name(&self) -> &'static str {
        match self {
            Self::Memory => "SQLite in memory",
            Self::File(_) => "SQLite file",
            Self::Postgres(_) => "PostgreSQL",
        }
    }

    fn store(&self) -> Arc<dyn Store> {
        let sqlite = |uri: &str| Arc::new(SqliteStore::new(uri, false).expect("a store"));
        match self {
            Self::Memory => sqlite("sqlite://"),
            Self::File(folder) => sqlite(&format!("sqlite:///{}", file(folder).display())),
            Self::Postgres(database) => {
                let options = PostgresOptions {
                    uri: database.uri(),
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

/// The file in which an AFM keeps its tasks in a folder.
pub(crate) fn file(folder: &TempDir) -> PathBuf {
    folder.path().join("afm.db")
}

impl Drop for Afm {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
