//! An AFM, agents, and somebody who posts tasks.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use slamon_testbed::{AfmProcess, PgCluster, Process, TestDatabase, built};
use tempfile::TempDir;
use uuid::Uuid;

/// Far beyond what any machine needs; reached only when something hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An AFM on a file or on PostgreSQL, which can be killed and started again at the same address.
pub(crate) struct Fleet {
    folder: TempDir,
    port: u16,
    afm: Option<AfmProcess>,
    postgres: Option<TestDatabase>,
}

impl Fleet {
    pub(crate) fn start() -> Self {
        Self::on(None)
    }

    /// With an AFM on PostgreSQL.
    pub(crate) fn start_on_postgres() -> Self {
        Self::on(Some(PgCluster::shared().create_database()))
    }

    fn on(postgres: Option<TestDatabase>) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let mut fleet = Self { folder, port: slamon_testbed::free_port(), afm: None, postgres };
        fleet.start_afm();
        fleet
    }

    /// The database, if it is PostgreSQL.
    pub(crate) fn postgres(&self) -> &TestDatabase {
        self.postgres.as_ref().expect("it is PostgreSQL")
    }

    pub(crate) fn start_afm(&mut self) {
        let database = match &self.postgres {
            Some(postgres) => postgres.uri(),
            None => format!("sqlite:///{}/afm.db", self.folder.path().display()),
        };
        let args = ["--database-uri", &database];
        self.afm = Some(AfmProcess::start_at(self.port, &built("slamon-afm"), &args, &[], None));
    }

    /// Starts another AFM on the same PostgreSQL.
    pub(crate) fn afm_beside(&self) -> AfmProcess {
        AfmProcess::start(&built("slamon-afm"), &["--database-uri", &self.postgres().uri()], &[], None)
    }

    /// Ends the AFM as a power failure would.
    pub(crate) fn kill_afm(&mut self) {
        self.afm = None;
    }

    /// Ends the AFM as an operator would.
    pub(crate) fn stop_afm(&mut self) {
        let afm = self.afm.take().expect("it runs");
        afm.signal("TERM");
        afm.wait_exit(PATIENCE);
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The state folder of an agent.
    pub(crate) fn state_folder(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts an agent of this AFM, with a state folder that is called as it is.
    pub(crate) fn agent(&self, name: &str, args: &[&str]) -> Process {
        agent(&self.url(), &self.state_folder(name), name, args)
    }

    pub(crate) fn post(&self, task: &Task<'_>) -> Uuid {
        post(&self.url(), task)
    }

    pub(crate) fn wait_for(&self, id: Uuid) -> Value {
        wait_for(&self.url(), id)
    }
}

/// Starts an agent, and waits until it has begun.
pub(crate) fn agent(url: &str, state: &Path, name: &str, args: &[&str]) -> Process {
    let state = state.to_string_lossy();
    let given = ["--url", url, "--state-folder", &state, "--name", name, "-w", "1", "-v"];
    let args: Vec<&str> = given.iter().chain(args).copied().collect();
    let agent = Process::start(env!("CARGO_BIN_EXE_slamon-agent").as_ref(), &args, &[]).expect("sh runs");
    agent.wait_for_line(|line| line.contains("the agent has begun"), PATIENCE);
    agent
}

/// A task to post.
pub(crate) struct Task<'a> {
    pub(crate) task_type: &'a str,
    pub(crate) data: Value,
    pub(crate) terms: Value,
}

/// A task that waits for about so many seconds.
pub(crate) fn wait(seconds: f64) -> Task<'static> {
    Task { task_type: "wait", data: json!({ "time": seconds }), terms: json!({}) }
}

pub(crate) fn post(url: &str, task: &Task<'_>) -> Uuid {
    let id = Uuid::new_v4();
    let mut body = json!({
        "task_id": id.to_string(), "test_id": Uuid::new_v4().to_string(),
        "task_type": task.task_type, "task_version": 1, "task_data": &task.data,
    });
    let terms = task.terms.as_object().expect("an object").clone();
    body.as_object_mut().expect("an object").extend(terms);
    ureq::post(format!("{url}/task")).send_json(body).expect("the task is accepted");
    id
}

pub(crate) fn get(url: &str, id: Uuid) -> Value {
    let mut answer = ureq::get(format!("{url}/task/{id}")).call().expect("the task is known");
    answer.body_mut().read_json().expect("a task")
}

/// Waits until a task has ended.
pub(crate) fn wait_for(url: &str, id: Uuid) -> Value {
    wait_until(url, id, |task| {
        ["task_completed", "task_failed"].iter().any(|end| task.get(end).is_some_and(|end| !end.is_null()))
    })
}

/// Waits until a task is as `is` says.
pub(crate) fn wait_until(url: &str, id: Uuid, is: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        let task = get(url, id);
        if is(&task) {
            return task;
        }
        assert!(Instant::now() < end, "the task is not as it should be: {task}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
