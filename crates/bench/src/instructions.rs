//! How many instructions a request takes, as callgrind counts them: unlike times, the same on a busy machine.
//!
//! Our server runs under valgrind with one worker thread, in memory. Each route gets N requests on one connection, then 2 N;
//! the difference, by N, is what one request takes, without what comes with a run whatever its length.

mod callgrind;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use slamon_testbed::{Process, free_port};
use uuid::Uuid;

use crate::client::{Client, Request};
use crate::compare::{Table, default_output, grouped, replace_table, until_answered};
use crate::ids::Ids;
use crate::life::Life;
use crate::load::Load;
use crate::tasks::{Polled, Tasks, poll_body};
use callgrind::{Callgrind, Cost};

/// What to count
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Requests of each route; then twice as many
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    count: u64,
    /// Our server [default: slamon-afm beside this program]
    #[arg(long, value_name = "PROGRAM")]
    server: Option<PathBuf>,
    /// Where temporary files are [default: bench in cargo's target folder]
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Write the table into docs/performance.md
    #[arg(long)]
    write_docs: bool,
}

/// Under valgrind everything takes fifty times as long.
const START: Duration = Duration::from_secs(120);

/// Before anything is counted: connections, statements and caches are made once.
const WARM_UP: u64 = 50;

/// What is counted. All tasks of a count are posted before the first is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Poll,
    Post,
    Claim,
    Report,
    Get,
}

const ROUTES: [Route; 5] = [Route::Poll, Route::Post, Route::Claim, Route::Report, Route::Get];

impl Route {
    fn label(self) -> &'static str {
        match self {
            Self::Poll => "POST /tasks, finds nothing",
            Self::Post => "POST /task",
            Self::Claim => "POST /tasks, claims one",
            Self::Report => "POST /tasks/response",
            Self::Get => "GET /task/{task_id}",
        }
    }
}

/// Counts, and prints a table.
///
/// # Errors
/// When valgrind is missing, or the server does not answer as it should.
pub fn run(options: &Options) -> Result<()> {
    let server = match &options.server {
        Some(server) => server.clone(),
        None => std::env::current_exe()?.with_file_name("slamon-afm"),
    };
    let output = options.output.clone().map_or_else(default_output, Ok)?;
    std::fs::create_dir_all(&output)?;
    let scratch = tempfile::Builder::new().prefix("scratch-").tempdir_in(&output)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let counts = runtime.block_on(count(&server, scratch.path(), options.count))?;
    let text = written(&counts, options.count);
    println!("{text}");
    if options.write_docs {
        replace_table("instructions", &text)?;
    }
    Ok(())
}

/// Of one route: instructions a request, and the functions that take most.
struct Count {
    route: Route,
    each: f64,
    functions: Vec<(String, f64)>,
}

async fn count(server: &Path, scratch: &Path, count: u64) -> Result<Vec<Count>> {
    let (callgrind, address) = start(server, scratch)?;
    let mut requests = Requests::new(address)?;
    for route in ROUTES {
        requests.send(route, WARM_UP).await?;
    }
    let mut costs = Vec::new();
    for times in [count, 2 * count] {
        requests.next_tasks();
        for route in ROUTES {
            callgrind.zero()?;
            requests.send(route, times).await?;
            costs.push(callgrind.dump()?);
        }
    }
    let (once, twice) = costs.split_at(ROUTES.len());
    let each = |(route, (once, twice)): (Route, (&Cost, &Cost))| Count {
        route,
        each: (twice.total as f64 - once.total as f64) / count as f64,
        functions: twice.less(once).into_iter().map(|(name, cost)| (name, cost / count as f64)).collect(),
    };
    Ok(ROUTES.into_iter().zip(once.iter().zip(twice)).map(each).collect())
}

fn start(server: &Path, scratch: &Path) -> Result<(Callgrind, SocketAddr)> {
    let port = free_port();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let out = scratch.join("callgrind");
    let log = scratch.join("afm.log");
    let args = [
        "--tool=callgrind".to_owned(),
        format!("--callgrind-out-file={}", out.display()),
        server.display().to_string(),
        "run".to_owned(),
        "127.0.0.1".to_owned(),
        port.to_string(),
    ];
    let log = log.display().to_string();
    let env = [("TOKIO_WORKER_THREADS", "1"), ("LOG_FILE", log.as_str())];
    let process = Process::start(Path::new("valgrind"), &args, &env)?;
    let ended = || process.has_ended();
    until_answered((address, "/status"), 200, Instant::now(), START, || !ended()).with_context(|| {
        format!("valgrind (Debian's package valgrind): {}", process.log_lines().join("\n"))
    })?;
    Ok((Callgrind::new(process, out), address))
}

/// One connection, and the tasks of one count.
struct Requests {
    client: Client,
    tasks: Tasks,
    ids: Ids,
    idle: Request,
    claim: Request,
}

impl Requests {
    fn new(address: SocketAddr) -> Result<Self> {
        let life = crate::options::parse::<Life>(&[&address.to_string()])?;
        let shared = life.shared();
        let poll = |task_type: &str| {
            let body = poll_body(&Uuid::new_v4().to_string(), "Python Agent 1.0", task_type, 1);
            Request::post(address, false, "/tasks", &body.to_string())
        };
        Ok(Self {
            client: shared.client(),
            tasks: Tasks::new(shared, "counted"),
            ids: Ids::new(),
            idle: poll("nothing-of-this-type"),
            claim: poll("counted"),
        })
    }

    /// From now on other tasks.
    fn next_tasks(&mut self) {
        self.ids = Ids::new();
    }

    /// Sends so many requests to a route, and sees that each is answered as it should.
    async fn send(&mut self, route: Route, times: u64) -> Result<()> {
        let Self { client, tasks, ids, idle, claim } = self;
        for n in 0..times {
            let task = ids.nth(n);
            let request = match route {
                Route::Poll => &*idle,
                Route::Post => tasks.post(task),
                Route::Claim => &*claim,
                Route::Report => tasks.report(task),
                Route::Get => tasks.get(task),
            };
            let answer =
                client.send(request).await.map_err(|failure| anyhow::anyhow!("{route:?}: {failure}"))?;
            ensure!(answer.status == 200, "{route:?}: status {}", answer.status);
            if matches!(route, Route::Poll | Route::Claim) {
                let handed = Polled::parse(answer.body).map_or(usize::MAX, |polled| polled.tasks.len());
                ensure!(handed == usize::from(route == Route::Claim), "{route:?}: was handed {handed} tasks");
            }
        }
        Ok(())
    }
}

/// The table, and under it what takes most of each route.
fn written(counts: &[Count], count: u64) -> String {
    let mut table = Table::new(["request", "instructions"]);
    for count in counts {
        table.row([count.route.label().to_owned(), grouped(count.each)]);
    }
    let mut text = format!(
        "{table}\nN = {count}. With all they call, of 100 instructions these functions take:\n\n```text"
    );
    for Count { route, each, functions } in counts {
        text += &format!("\n{}\n", route.label());
        for (name, cost) in functions {
            text += &format!("{:>6.1}  {name}\n", 100.0 * cost / each);
        }
    }
    text + "```\n"
}
