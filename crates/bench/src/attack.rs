//! What an innocent client sees while others have the server keep what they never finish: bodies and heads that stop,
//! answers that nobody reads, polls that are held, connections that say nothing more.
//!
//! The innocent one does whole lives of tasks, each request on a connection of its own. With `--pid` the report has the server's
//! memory.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use rustix::net::sockopt;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::client::Request;
use crate::drive::drive;
use crate::ledger::Ledger;
use crate::life::Lives;
use crate::load::Load;
use crate::options::{Defaults, Shared};
use crate::pair::Pair;
use crate::report::Report;
use crate::stop::Stop;
use crate::tasks::poll_body;

/// `slamon-bench attack`.
#[derive(Debug, Clone, Args)]
pub struct Attack {
    #[command(flatten)]
    options: Shared,
    /// What the attackers do
    #[arg(long, value_enum)]
    with: With,
    /// How many connections attack
    #[arg(long, default_value = "2000", value_parser = clap::value_parser!(u64).range(1..=60_000))]
    attackers: u64,
}

/// What attackers have the server keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum With {
    /// Bodies of 1 MB, of which the last byte does not come
    Bodies,
    /// Heads of 400 kB without an end
    Heads,
    /// Answers of 2 MB that are not read
    Unread,
    /// The lists of the dashboard, of about 2 MB, which are not read
    Lists,
    /// Polls that are held open, each of an agent of its own
    Held,
    /// Connections that have asked once and say nothing more
    Idle,
}

/// How large a body is, in bytes; a little less than a server takes that was not told otherwise.
const BODY: usize = 1_000_000;

/// How large a result is at most that lists show, in bytes.
const LISTED: usize = 4_000;

/// How many agents have such results.
const LISTED_AGENTS: usize = 50;

/// How large a head is, in bytes.
const HEAD: usize = 400_000;

/// How much of an unread answer the attacker's own machine keeps, in bytes.
const READ: u32 = 4_096;

/// How many attackers connect and send at the same time.
const AT_ONCE: usize = 200;

/// How long to wait before an attacker whom the server has got rid of comes back.
const COMES_BACK: Duration = Duration::from_secs(5);

/// How many files this program needs besides those of the attackers.
const OTHER_FILES: u64 = 100;

impl Load for Attack {
    fn shared(&self) -> &Shared {
        &self.options
    }

    async fn run(&self, stop: &Stop) -> Result<Report> {
        let plan = self.options.plan(Defaults { connections: 1, seconds: 15.0, ..Defaults::default() })?;
        self.options.reach().await?;
        allow_files(self.attackers + OTHER_FILES)?;
        let bytes = Arc::new(self.prepare().await?);
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        let attackers: JoinSet<()> = (0..self.attackers)
            .map(|_| self.clone().attack(Arc::clone(&bytes), Arc::clone(&turns)))
            .collect();
        let options = Shared { close: true, ..self.options.clone() };
        let ledger = Arc::new(Ledger::default());
        let lives = (0..plan.connections).map(|_| {
            let task_type = format!("attack-{}", Uuid::new_v4());
            Lives(Pair::new(&options, &task_type, Arc::clone(&ledger)))
        });
        let mut measured = drive("attack", &options, plan, lives.collect(), stop).await?;
        drop(attackers);
        measured.tally.checks.lost = ledger.open();
        Ok(Report::new("attack", &options, plan.connections as u64, measured))
    }
}

impl Attack {
    /// What each attacker sends, but for who it is.
    async fn prepare(&self) -> Result<Vec<u8>> {
        let address = self.options.address;
        let head = |length: usize| {
            format!(
                "POST /task HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
                 Content-Length: {length}\r\n\r\n"
            )
        };
        Ok(match self.with {
            With::Bodies => format!("{}{}", head(BODY), "x".repeat(BODY - 1)).into_bytes(),
            With::Heads => {
                format!("GET / HTTP/1.1\r\nHost: {address}\r\nX: {}", "y".repeat(HEAD)).into_bytes()
            }
            With::Unread => {
                let task = self.finish(Uuid::new_v4(), &json!({"x": "x".repeat(BODY)})).await?;
                // The kernels on the way keep some answers.
                let get = format!("GET /task/{task} HTTP/1.1\r\nHost: {address}\r\n\r\n");
                get.repeat(8).into_bytes()
            }
            With::Lists => {
                let result = json!({"x": "x".repeat(LISTED)});
                for _ in 0..LISTED_AGENTS {
                    let agent = Uuid::new_v4();
                    for _ in 0..BODY * 2 / LISTED / LISTED_AGENTS {
                        self.finish(agent, &result).await?;
                    }
                }
                let get = format!("GET /dashboard/status HTTP/1.1\r\nHost: {address}\r\n\r\n");
                get.repeat(8).into_bytes()
            }
            With::Held => Vec::new(),
            With::Idle => format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\n\r\n").into_bytes(),
        })
    }

    /// A task that an agent has finished, with as much data as result.
    async fn finish(&self, agent: Uuid, data: &serde_json::Value) -> Result<Uuid> {
        let task = Uuid::new_v4();
        let task_type = format!("attack-{task}");
        let post = json!({"task_id": task, "test_id": task, "task_type": task_type, "task_version": 1, "task_data": data});
        let poll = poll_body(&agent.to_string(), "Python Agent 1.0", &task_type, 1);
        let report = json!({"protocol": 1, "task_id": task, "task_data": data});
        let mut client = self.options.client();
        for (path, body) in [("/task", post), ("/tasks", poll), ("/tasks/response", report)] {
            let request = Request::post(self.options.address, self.options.close, path, &body.to_string());
            let answer = client.send(&request).await;
            let answer = answer.map_err(|failure| anyhow::anyhow!("{path}: {failure}"))?;
            ensure!(answer.status == 200, "{path}: status {}", answer.status);
        }
        Ok(task)
    }

    async fn attack(self, bytes: Arc<Vec<u8>>, turns: Arc<Semaphore>) {
        loop {
            // What goes wrong is what the server does about it.
            let _ = self.once(&bytes, &turns).await;
            tokio::time::sleep(COMES_BACK).await;
        }
    }

    /// Attacks until the server ends the connection.
    async fn once(&self, bytes: &[u8], turns: &Semaphore) -> Result<()> {
        let mut stream = {
            let _turn = turns.acquire().await?;
            let mut stream = self.connect().await?;
            if self.with == With::Held {
                let task_type = "attack-that-nobody-posts";
                let mut poll = poll_body(&Uuid::new_v4().to_string(), "Python Agent 1.0", task_type, 1);
                poll["max_wait"] = 300.into();
                let request = Request::post(self.options.address, false, "/tasks", &poll.to_string());
                stream.write_all(request.bytes()).await?;
            } else {
                stream.write_all(bytes).await?;
            }
            stream
        };
        if self.reads_nothing() {
            // Says when the server has hung up, and reads nothing.
            let error = stream.ready(tokio::io::Interest::ERROR).await;
            return Ok(error.map(drop)?);
        }
        let mut answer = [0; 1024];
        while stream.read(&mut answer).await? > 0 {}
        Ok(())
    }

    fn reads_nothing(&self) -> bool {
        matches!(self.with, With::Unread | With::Lists)
    }

    async fn connect(&self) -> Result<TcpStream> {
        let address = self.options.address;
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if self.reads_nothing() {
            sockopt::set_socket_recv_buffer_size(&socket, READ as usize)?;
        }
        Ok(socket.connect(address).await?)
    }
}

/// Raises our own limit on open files, if need be.
fn allow_files(files: u64) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= files) {
        return Ok(());
    }
    let raised = Rlimit { current: Some(files), maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).with_context(|| {
        format!("--attackers: {files} files are needed, the system allows {:?}", limit.maximum)
    })
}
