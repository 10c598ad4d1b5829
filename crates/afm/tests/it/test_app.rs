//! The AFM in this process, on a port of its own, with a clock that only tests move.

mod answer;
mod body;
mod client;
mod clock;
mod connection;
mod gate;
mod place;
mod running;

use std::ops::Deref;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use slamon_afm::app::{App, Settings};
use slamon_afm::committer::Committer;
use slamon_afm::routes;
use slamon_afm::server::{self, Limits};
use slamon_store::Store;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) use answer::Answer;
pub(crate) use body::{Body, id};
pub(crate) use client::Client;
pub(crate) use clock::TestClock;
pub(crate) use connection::Connection;
pub(crate) use gate::Gate;
pub(crate) use place::Place;
use running::Running;

/// Far beyond what any machine needs; reached only when something hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How an AFM differs from the usual one.
pub(crate) struct Setup {
    pub(crate) place: Place,
    pub(crate) settings: Settings,
    pub(crate) limits: Limits,
}

impl Default for Setup {
    /// In memory, with the default configuration; nothing runs out while a test is being patient.
    fn default() -> Self {
        Self {
            place: Place::Memory,
            settings: Settings {
                agent_return_time: Duration::from_secs(60),
                agent_active_threshold: Duration::from_secs(300),
                max_content_length: 1024 * 1024,
                request_timeout: 10 * PATIENCE,
            },
            limits: Limits { idle: 10 * PATIENCE, shutdown: 10 * PATIENCE },
        }
    }
}

impl Setup {
    #[track_caller]
    pub(crate) fn start(self) -> TestApp {
        let store = self.place.store();
        self.start_with(store, None)
    }

    /// As [`Setup::start`], with a gate in front of the store.
    #[track_caller]
    pub(crate) fn start_gated(self) -> (TestApp, Gate) {
        let gate = Gate::default();
        let store = gate.before(self.place.store());
        (self.start_with(store, Some(gate.clone())), gate)
    }

    #[track_caller]
    fn start_with(self, store: Arc<dyn Store>, gate: Option<Gate>) -> TestApp {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("threads can be started");
        runtime.block_on(store.create_tables()).expect("tables can be created");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let clock = TestClock::default();
        let (committer, work) = Committer::new(Arc::clone(&store), clock.clock());
        runtime.spawn(work);
        let app = App { committer, store, clock: clock.clock(), settings: self.settings };
        let running = Running::default();
        let router = running.count(routes::router(app));
        let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
        let serving =
            runtime.spawn(server::serve(listener, router, self.limits, stop.clone(), abort.clone()));
        TestApp {
            client: Client::new(address),
            clock,
            running,
            stop,
            abort,
            gate,
            serving: Some(serving),
            runtime: Some(runtime),
            _place: self.place,
        }
    }
}

/// A running AFM, and a client of it.
pub(crate) struct TestApp {
    client: Client,
    pub(crate) clock: TestClock,
    /// Requests that are being answered.
    pub(crate) running: Running,
    /// The first signal.
    pub(crate) stop: CancellationToken,
    /// The second signal.
    pub(crate) abort: CancellationToken,
    gate: Option<Gate>,
    serving: Option<JoinHandle<()>>,
    runtime: Option<Runtime>,
    _place: Place,
}

impl TestApp {
    /// One with nothing unusual.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Setup::default().start()
    }

    /// Waits until the server has ended.
    #[track_caller]
    pub(crate) fn wait_until_stopped(&mut self) {
        let serving = self.serving.take().expect("it was running");
        let runtime = self.runtime.as_ref().expect("it has a runtime");
        let ended = runtime.block_on(async { tokio::time::timeout(PATIENCE, serving).await });
        ended.expect("it stops").expect("it does not panic");
    }
}

impl Deref for TestApp {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        if let Some(gate) = &self.gate {
            gate.open();
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Tries again until `done`, for what has no event to wait for.
#[track_caller]
pub(crate) fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "never came: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
