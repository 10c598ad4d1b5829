//! Many agents in one process, as a load for an AFM: each task that is posted is executed by one of them, once.
//! `cargo run --release -p slamon-agent --example fleet http://127.0.0.1:8080 1000 20000`: 1,000 agents, 20,000 tasks

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use slamon_agent::{Agent, ConnectOptions, Failure};
use slamon_client::{Client, NewTask, tls_configuration};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The AFM takes so many tasks in one request.
const AT_ONCE: usize = 1_000;
/// How long nothing may happen.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Serialize, Deserialize)]
struct Number {
    n: usize,
}

/// How often each task was executed.
struct Executions {
    of: Vec<AtomicU32>,
    happened: Notify,
}

impl Executions {
    fn in_all(&self) -> u64 {
        self.of.iter().map(|of_one| u64::from(of_one.load(Ordering::Relaxed))).sum()
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().context("where is the AFM? http://127.0.0.1:8080")?;
    let mut number = |default: usize| arguments.next().map_or(Ok(default), |text| text.parse());
    let (agents, tasks) = (number(1_000)?, number(20_000)?);
    let client = Client::new(&url)?;
    let executions =
        Executions { of: (0..tasks).map(|_| AtomicU32::new(0)).collect(), happened: Notify::new() };
    let executions = Arc::new(executions);
    // A type of its own, so that other agents are left alone.
    let (task_type, stop) = (format!("fleet-{}", Uuid::new_v4()), CancellationToken::new());
    // One configuration for all, so that the system's authorities are read once.
    let options = ConnectOptions { tls: Some(tls_configuration(None, None)?), ..ConnectOptions::default() };
    let mut running = JoinSet::new();
    let began = Instant::now();
    for n in 0..agents {
        let executions = Arc::clone(&executions);
        let execute = move |number: Number, _| {
            let executions = Arc::clone(&executions);
            async move {
                executions
                    .of
                    .get(number.n)
                    .ok_or_else(|| Failure::new("it is none of ours"))?
                    .fetch_add(1, Ordering::Relaxed);
                executions.happened.notify_one();
                Ok(number)
            }
        };
        let agent = Agent::new(&url)
            .name(format!("fleet {n}"))
            .options(options.clone())
            .handler(&task_type, 1, execute)
            .run_until(stop.clone().cancelled_owned());
        running.spawn(agent);
    }
    while registered(&client).await? < agents {
        ensure!(began.elapsed() < PATIENCE, "the agents did not arrive");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("{agents} agents arrived within {:.1} s, {}", began.elapsed().as_secs_f64(), usage()?);
    let (test_id, began) = (Uuid::new_v4(), Instant::now());
    for first in (0..tasks).step_by(AT_ONCE) {
        let numbers = first..tasks.min(first + AT_ONCE);
        let task = |n| NewTask::new(&task_type, 1).test_id(test_id).data(&Number { n });
        let answers = client.post_tasks(&numbers.map(task).collect::<Result<Vec<_>, _>>()?).await?;
        ensure!(answers.iter().all(|answer| answer.status == 200), "tasks were refused");
    }
    while executions.in_all() < tasks as u64 {
        let happened = tokio::time::timeout(PATIENCE, executions.happened.notified());
        happened.await.with_context(|| format!("{} of {tasks} tasks were executed", executions.in_all()))?;
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{tasks} tasks within {seconds:.1} s, {:.0} a second, {}", tasks as f64 / seconds, usage()?);
    // What has begun is delivered before an agent ends.
    stop.cancel();
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    let completed = completed(&client, test_id).await?;
    ensure!(completed == tasks as u64, "the AFM has {completed} of {tasks} results");
    let other = executions.of.iter().filter(|of_one| of_one.load(Ordering::Relaxed) != 1).count();
    ensure!(other == 0, "{other} tasks were not executed once");
    println!("each was executed once");
    Ok(())
}

async fn registered(client: &Client) -> Result<usize> {
    let status: serde_json::Value = client.get(&["status"], &[]).await?;
    Ok(status["agents"].as_u64().unwrap_or_default().try_into()?)
}

/// How many tasks of a test are completed, page by page.
async fn completed(client: &Client, test_id: Uuid) -> Result<u64> {
    let (mut completed, mut cursor) = (0, None);
    loop {
        let page = client.test(test_id, 1_000, cursor.as_deref()).await?;
        completed += page.counts.get("completed").copied().unwrap_or_default();
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(completed);
        }
    }
}

/// What the process has taken: its memory now, and the time of processors.
fn usage() -> Result<String> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let kib: f64 = memory.trim().trim_end_matches(" kB").parse()?;
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // User and system time, in ticks of 10 ms.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    let ticks: f64 = fields.filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(format!("{:.0} MiB, {:.1} s of processors", kib / 1024.0, ticks / 100.0))
}
