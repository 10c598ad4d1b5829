//! An AFM in this process, on a port of its own, with a clock that only tests move.

mod answer;
mod body;
mod client;
mod clock;
mod connection;
mod gate;
mod place;
mod running;

use std::ops::Deref;
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use slamon_afm::access::token_text;
use slamon_afm::dispatch::committer::CommitError;
use slamon_afm::http::access::AccessSettings;
use slamon_afm::http::app::{App, Settings};
use slamon_afm::http::router::router;
use slamon_afm::http::server::{self, ServerLimits};
use slamon_afm::maintenance::sweeper::{SweepPolicy, Sweeper};
use slamon_domain::{AgentBinding, Command, EndedAttempt, LateResult, Role, Sweep, Swept, Token};
use slamon_protocol::{PollRequest, PostTask};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) use answer::Answer;
pub(crate) use body::{Body, id};
pub(crate) use client::Client;
pub(crate) use clock::TestClock;
pub(crate) use connection::Connection;
pub(crate) use gate::Gate;
pub(crate) use place::Place;
use running::RunningRequests;

/// A deadline far beyond what any machine needs, which is reached only when something hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The settings of an AFM under test.
pub(crate) struct Setup {
    pub(crate) place: Place,
    pub(crate) settings: Settings,
    pub(crate) limits: ServerLimits,
}

impl Default for Setup {
    /// An AFM in memory with the default configuration, whose time limits are longer than any test waits.
    fn default() -> Self {
        Self {
            place: Place::Memory,
            settings: Settings {
                agent_return_time: Duration::from_secs(60),
                agent_active_threshold: Duration::from_secs(300),
                max_content_length: 1024 * 1024,
                limits: slamon_protocol::Limits::default(),
                request_timeout: 10 * PATIENCE,
                access: AccessSettings::default(),
                list_looks_for: PATIENCE,
            },
            limits: ServerLimits {
                idle: 10 * PATIENCE,
                write: 10 * PATIENCE,
                shutdown: 10 * PATIENCE,
                connections: 4_096,
                memory: 64 * 1024 * 1024,
            },
        }
    }
}

impl Setup {
    #[track_caller]
    pub(crate) fn start(self) -> TestApp {
        let gate = Gate::default();
        let store = gate.before(self.place.store());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("threads can be started");
        runtime.block_on(store.create_tables()).expect("tables can be created");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let clock = TestClock::default();
        let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
        let (app, work) = App::new(store, clock.clock(), self.settings, stop.clone());
        runtime.spawn(work);
        let running = RunningRequests::default();
        let router = running.count(router(app.clone()));
        let serving =
            runtime.spawn(server::serve(vec![listener], router, self.limits, stop.clone(), abort.clone()));
        TestApp {
            client: Client::new(address),
            app,
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

    /// Like [`Setup::start`], and also returns the gate.
    #[track_caller]
    pub(crate) fn start_gated(self) -> (TestApp, Gate) {
        let app = self.start();
        let gate = app.gate.clone();
        (app, gate)
    }
}

/// A running AFM, and a client of it.
pub(crate) struct TestApp {
    client: Client,
    app: App,
    pub(crate) clock: TestClock,
    /// Counts the requests that are being answered.
    pub(crate) running: RunningRequests,
    /// Stands for the first signal.
    pub(crate) stop: CancellationToken,
    /// Stands for the second signal.
    pub(crate) abort: CancellationToken,
    /// The gate in front of the store.
    pub(crate) gate: Gate,
    serving: Option<JoinHandle<()>>,
    runtime: Option<Runtime>,
    _place: Place,
}

impl TestApp {
    /// Starts an AFM with the default setup.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Setup::default().start()
    }

    /// Refreshes the dispatch cache, as the background does all the time. Until then, every poll asks the
    /// store.
    #[track_caller]
    pub(crate) fn refresh_cache(&self) {
        self.block_on(self.app.cache.refresh(&*self.app.store)).expect("the database is there");
    }

    /// Counts the tasks, as the background does soon after the start.
    #[track_caller]
    pub(crate) fn count_tasks(&self) {
        self.block_on(self.app.statistics.recount()).expect("the database is there");
    }

    /// Saves how attempts ended, as the background does now and then.
    #[track_caller]
    pub(crate) fn save_outcomes(&self) {
        self.block_on(self.app.statistics.save_outcomes()).expect("the database is there");
    }

    /// Counts all agents, as the background does now and then.
    #[track_caller]
    pub(crate) fn take_census(&self) {
        assert!(self.block_on(self.app.take_census()).expect("the database is there"));
    }

    /// Has agents poll at the store directly, as if at another AFM.
    #[track_caller]
    pub(crate) fn store_agents(&self, bodies: impl Iterator<Item = Body>) {
        let poll = |body: Body| PollRequest::parse(&body.to_string()).expect("a poll");
        let batch: Vec<Command> = bodies.map(|body| Command::from(poll(body))).collect();
        let applied = self.app.store.apply(batch.into(), self.clock.clock().now());
        self.block_on(applied).expect("the database is there");
    }

    /// Posts tasks to the store directly, as if another AFM had done it.
    #[track_caller]
    pub(crate) fn store_tasks(&self, bodies: impl Iterator<Item = Body>) {
        let task = |body: Body| PostTask::parse(&body.to_string()).expect("a task");
        let batch: Vec<Command> = bodies.map(|body| Command::Submit(task(body))).collect();
        let applied = self.app.store.apply(batch.into(), self.clock.clock().now());
        self.block_on(applied).expect("the database is there");
    }

    /// Makes the store forget all agents, as if another AFM had done it.
    #[track_caller]
    pub(crate) fn drop_agents(&self) {
        let sweep = Sweep {
            limit: 100,
            lost_after: None,
            forget_after: Some(Duration::ZERO),
            delete_after: None,
            heartbeats: Vec::new(),
        };
        let later = self.clock.clock().now() + Duration::from_secs(1);
        let applied = self.app.store.apply(std::sync::Arc::new([Command::Sweep(sweep)]), later);
        self.block_on(applied).expect("the database is there");
    }

    /// Creates a sweeper that starts now.
    pub(crate) fn sweeper(&self, policy: SweepPolicy) -> Sweeper {
        let app = &self.app;
        Sweeper::new(policy, app.committer.clone(), app.heartbeats.clone(), app.clock.clone())
    }

    /// Makes a token, after a change to it, and returns its text.
    #[track_caller]
    pub(crate) fn make_token(&self, role: Role, change: impl FnOnce(&mut Token)) -> String {
        let text = self.make_unread_token(role, change);
        self.read_tokens();
        text
    }

    /// Makes a token as if at another AFM.
    #[track_caller]
    pub(crate) fn make_unread_token(&self, role: Role, change: impl FnOnce(&mut Token)) -> String {
        let text = token_text::make().expect("there are random numbers");
        let mut token = Token {
            id: Uuid::new_v4(),
            name: format!("the {role}"),
            role,
            hash: token_text::hash(&text).expect("it is a token"),
            agent: AgentBinding::Any,
            types: None,
            created_at: self.clock.clock().now(),
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
        };
        change(&mut token);
        self.block_on(self.app.store.add_token(token.into())).expect("the database is there");
        text
    }

    /// Reads which tokens were changed, as the background does twice a second.
    #[track_caller]
    pub(crate) fn read_tokens(&self) {
        self.block_on(self.app.tokens.read()).expect("the database is there");
    }

    /// Revokes all tokens, as if at another AFM.
    #[track_caller]
    pub(crate) fn revoke_all_tokens(&self) {
        let tokens = self.block_on(self.app.store.changed_tokens(0)).expect("the database is there").tokens;
        let ids = tokens.iter().map(|token| token.id).collect();
        self.block_on(self.app.store.revoke_tokens(ids, self.clock.clock().now()))
            .expect("the database is there");
    }

    /// Binds all tokens to an agent, as if it had polled at another AFM.
    #[track_caller]
    pub(crate) fn bind_all_tokens(&self, agent_id: &str) {
        let agent_id = agent_id.parse().expect("an id");
        let tokens = self.block_on(self.app.store.changed_tokens(0)).expect("the database is there").tokens;
        for token in tokens {
            self.block_on(self.app.store.bind_token(token.id, agent_id)).expect("the database is there");
        }
    }

    /// Saves when tokens were used, as the background does, and returns when that was, by the names of the tokens.
    #[track_caller]
    pub(crate) fn token_uses(&self) -> Vec<(String, Option<Timestamp>)> {
        self.block_on(self.app.tokens.save_uses());
        let tokens = self.block_on(self.app.store.changed_tokens(0)).expect("the database is there").tokens;
        tokens.into_iter().map(|token| (token.name, token.last_used_at)).collect()
    }

    /// Sweeps now.
    #[track_caller]
    pub(crate) fn sweep(&self, sweeper: &mut Sweeper) -> Swept {
        self.try_sweep(sweeper).expect("the database is there")
    }

    /// Like [`TestApp::sweep`], while the database may be away.
    pub(crate) fn try_sweep(&self, sweeper: &mut Sweeper) -> Result<Swept, CommitError> {
        self.block_on(sweeper.sweep())
    }

    /// Returns the attempts of task `n` that ended without finishing it, and their late results.
    #[track_caller]
    pub(crate) fn attempts(&self, n: u64) -> Vec<(EndedAttempt, Option<LateResult>)> {
        let id = id(n).parse().expect("an id");
        self.block_on(self.app.store.attempts(id)).expect("the database is there")
    }

    /// Polls on a connection of its own; waits until the poll has asked once, and is held open.
    #[track_caller]
    pub(crate) fn hold(&self, poll: &Body) -> Connection {
        let agent_id = poll.id("agent_id");
        let polls = self.gate.polls(agent_id);
        let mut connection = self.connect();
        connection.post("/tasks", &poll.to_string());
        self.gate.wait_until_polled(agent_id, polls + 1);
        eventually("it is held open", || self.app.waiters.is_waiting(agent_id));
        connection
    }

    /// Gets a path with `?wait=`; waits until the task was read once and the request is held open.
    #[track_caller]
    pub(crate) fn wait_for(&self, path: &str) -> Connection {
        let reads = self.gate.reads();
        let mut connection = self.connect();
        connection.get(path);
        self.gate.wait_until_read(reads + 1);
        connection
    }

    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.as_ref().expect("it has a runtime").block_on(future)
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
        self.gate.open();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Tries again until `done`, where there is no event to wait for.
#[track_caller]
pub(crate) fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "never came: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
