//! Whole lives of tasks on the PostgreSQL store alone, with no HTTP in between: post, claim, report, read.
//!
//!     cargo run --release -p slamon-store --example lives -- CLIENTS BATCHES SECONDS [hold] [URI]
//!
//! Each client posts a task of a type of its own, claims it, reports and reads it, one after the other. What
//! they ask for at the same time is applied in one batch, and as many as BATCHES at once, as the server's
//! committer does it. Without a URI the database is a private one, with fsync. With `hold`, a transaction is
//! held open all the time, so that nothing that was changed since can go away. It prints lives a second, and
//! what a life cost the database.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use jiff::Timestamp;
use slamon_domain::{Command, Locked, Polled, Refusal, Reply, Reported, State, Submitted};
use slamon_protocol::{Capability, JsonText, PollRequest, PostTask, ResultPost, Terms};
use slamon_store::{PostgresOptions, PostgresStore, Store};
use slamon_testbed::{PgCluster, PgOptions, TestDatabase};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_postgres::NoTls;
use uuid::Uuid;

/// The most commands of one batch, as the committer has it.
const LARGEST_BATCH: usize = 512;

/// What a client asks for, and where the reply goes.
enum Request {
    Submit(PostTask, Sender<Result<Submitted, Refusal>>),
    Poll(PollRequest, Sender<Polled>),
    Report(ResultPost, Sender<Result<Reported, Refusal>>),
}

type Sender<T> = oneshot::Sender<Reply<T>>;

/// What the database counts.
const COUNTERS: &str = "
    select
        (select wal_bytes::bigint from pg_stat_wal),
        (select wal_records from pg_stat_wal),
        coalesce(sum(n_tup_upd), 0)::bigint,
        coalesce(sum(n_tup_hot_upd), 0)::bigint,
        (select xact_commit from pg_stat_database where datname = current_database())
    from pg_stat_user_tables
";

#[tokio::main]
async fn main() -> Result<()> {
    let (holds, arguments): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument == "hold");
    let (clients, concurrent, seconds) = match arguments.as_slice() {
        [clients, concurrent, seconds, ..] => {
            (clients.parse::<usize>()?, concurrent.parse::<usize>()?, seconds.parse::<u64>()?)
        }
        _ => bail!("usage: lives CLIENTS BATCHES SECONDS [hold] [URI]"),
    };
    let database = match arguments.get(3) {
        Some(_) => None,
        None => Some(PgCluster::start(&PgOptions { fsync: true, ..PgOptions::default() })?.create_database()),
    };
    let uri = database.as_ref().map_or_else(|| arguments[3].clone(), TestDatabase::uri);
    let store = Arc::new(PostgresStore::new(&PostgresOptions {
        uri: uri.clone(),
        pool_size: 5,
        pool_timeout: Duration::from_secs(10),
        statement_timeout: Duration::from_secs(10),
        echo: false,
    })?);
    store.create_tables().await?;
    let (client, connection) = tokio_postgres::connect(&uri, NoTls).await?;
    tokio::spawn(connection);

    // As a server does: what is heard of other AFMs, of which there are none.
    let (events, mut heard) = mpsc::channel(1_000);
    let listener = Arc::clone(&store);
    let listening = tokio::spawn(async move { listener.listen(events).await });
    heard.recv().await.context("nothing can be heard")?;
    tokio::spawn(async move { while heard.recv().await.is_some() {} });

    let (queue, requests) = mpsc::channel::<Request>(4_096);
    let requests = Arc::new(Mutex::new(requests));
    let batches = Arc::new(AtomicUsize::new(0));
    let mut committing = JoinSet::new();
    for _ in 0..concurrent {
        committing.spawn(commit(Arc::clone(&store), Arc::clone(&requests), Arc::clone(&batches)));
    }

    let (holder, connection) = tokio_postgres::connect(&uri, NoTls).await?;
    tokio::spawn(connection);
    if !holds.is_empty() {
        holder.batch_execute("begin isolation level repeatable read; select count(*) from task").await?;
    }
    let before = client.query_one(COUNTERS, &[]).await?;
    let began = Instant::now();
    let end = began + Duration::from_secs(seconds);
    let mut living = JoinSet::new();
    for _ in 0..clients {
        living.spawn(live(Arc::clone(&store), queue.clone(), end));
    }
    let mut lives = Vec::new();
    while let Some(lived) = living.join_next().await {
        lives.extend(lived??);
    }
    let elapsed = began.elapsed().as_secs_f64();
    drop(queue);
    while let Some(ended) = committing.join_next().await {
        ended??;
    }

    listening.abort();
    // A connection tells what it did at its end, or once a second.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let after = client.query_one(COUNTERS, &[]).await?;
    ensure!(!lives.is_empty(), "not one life was over in time");
    let mut latencies: Vec<Duration> = lives.iter().map(|(began, ended)| *ended - *began).collect();
    latencies.sort_unstable();
    let quarter = Duration::from_secs(seconds) / 4;
    let rate = |from: Instant| {
        let ended = lives.iter().filter(|(_, ended)| (from..from + quarter).contains(ended)).count();
        ended as f64 / quarter.as_secs_f64()
    };
    let (first, last) = (rate(began), rate(end - quarter));
    let lives = latencies.len() as f64;
    let each = |column: usize| (after.get::<_, i64>(column) - before.get::<_, i64>(column)) as f64 / lives;
    println!("{:.0} lives/s with {clients} clients and {concurrent} batches at once", lives / elapsed);
    println!("{first:.0} lives/s in the first quarter of the time, {last:.0} in the last");
    println!("p50 {:?}, p99 {:?}", latencies[latencies.len() / 2], latencies[latencies.len() * 99 / 100]);
    println!("{:.2} lives a batch", lives / batches.load(Ordering::Relaxed) as f64);
    println!(
        "a life: {:.0} WAL bytes in {:.1} records, {:.2} updates, {:.2} of them heap-only, {:.2} commits",
        each(0),
        each(1),
        each(2),
        each(3),
        each(4)
    );
    Ok(())
}

/// Applies what waits, until nobody can ask any more.
async fn commit(
    store: Arc<PostgresStore>,
    requests: Arc<Mutex<mpsc::Receiver<Request>>>,
    batches: Arc<AtomicUsize>,
) -> Result<()> {
    loop {
        let mut batch = Vec::with_capacity(LARGEST_BATCH);
        if requests.lock().await.recv_many(&mut batch, LARGEST_BATCH).await == 0 {
            return Ok(());
        }
        let (mut submits, mut polls, mut reports) = (Vec::new(), Vec::new(), Vec::new());
        let command = |request| match request {
            Request::Submit(task, sender) => {
                submits.push(sender);
                Command::Submit(task)
            }
            Request::Poll(poll, sender) => {
                polls.push(sender);
                Command::from(poll)
            }
            Request::Report(result, sender) => {
                reports.push(sender);
                Command::Report(result)
            }
        };
        let commands = batch.into_iter().map(command).collect();
        let applied = store.apply(commands, now()).await?;
        batches.fetch_add(1, Ordering::Relaxed);
        send(submits, applied.replies.submits);
        send(polls, applied.replies.polls);
        send(reports, applied.replies.reports);
    }
}

fn send<T>(senders: Vec<Sender<T>>, replies: Vec<Reply<T>>) {
    for (sender, reply) in senders.into_iter().zip(replies) {
        // A client that has ended asks for nothing.
        let _ = sender.send(reply);
    }
}

/// Has the committers apply something; fails where somebody else has locked a row that it needs.
async fn ask<T>(queue: &mpsc::Sender<Request>, request: impl FnOnce(Sender<T>) -> Request) -> Result<T> {
    let (sender, reply) = oneshot::channel();
    queue.send(request(sender)).await.ok().context("the committers have ended")?;
    reply.await.context("a batch failed")?.map_err(|Locked| anyhow!("a row is locked"))
}

/// One life after the other until `end`; when each began and ended.
async fn live(
    store: Arc<PostgresStore>,
    queue: mpsc::Sender<Request>,
    end: Instant,
) -> Result<Vec<(Instant, Instant)>> {
    let agent_id = Uuid::new_v4();
    let task_type = format!("life-{agent_id}");
    let mut lives = Vec::new();
    while Instant::now() < end {
        let began = Instant::now();
        let post = PostTask {
            task_id: Uuid::new_v4(),
            test_id: Uuid::new_v4(),
            task_type: task_type.clone(),
            task_version: 1,
            task_data: Some(JsonText::from_stored(format!(
                r#"{{"url":"http://127.0.0.1/","id":"{agent_id}"}}"#
            ))),
            terms: Terms::default(),
            posted_by: None,
        };
        let task_id = post.task_id;
        ask(&queue, |sender| Request::Submit(post, sender)).await??;

        let poll = PollRequest {
            agent_id,
            agent_name: "life".to_owned(),
            agent_capabilities: vec![Capability { task_type: task_type.clone(), version: 1 }],
            max_tasks: 2,
            agent_location: None,
            max_wait: Duration::ZERO,
            agent_running: None,
        };
        let polled = ask(&queue, |sender| Request::Poll(poll, sender)).await?;
        ensure!(
            polled.tasks.len() == 1 && polled.tasks[0].task_id == task_id,
            "posted {task_id}, was given {polled:?}"
        );

        let body = format!(r#"{{"protocol": 1, "task_id": "{task_id}", "task_data": {{"status": 200}}}}"#);
        let result = ResultPost::parse(&body)?;
        ask(&queue, |sender| Request::Report(result, sender)).await??;

        let task = store.task(task_id).await?.context("a task is gone")?;
        ensure!(matches!(task.state, State::Ended { .. }), "{task:?}");
        lives.push((began, Instant::now()));
    }
    Ok(lives)
}

#[expect(clippy::disallowed_methods, reason = "a measurement runs in real time")]
fn now() -> Timestamp {
    Timestamp::now()
}
