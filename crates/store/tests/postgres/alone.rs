//! What an AFM sends while it is alone on its database, and when another one comes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::poll_fn;
use slamon_domain::Command;
use slamon_store::{PostgresStore, Store, StoreEvent};
use slamon_testbed::PgCluster;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client, NoTls};

use crate::cluster;
use crate::{at, id, poll, report, submit};

const PATIENCE: Duration = Duration::from_secs(30);

/// A session that hears the notifications of all AFMs, and is none.
struct Ear {
    client: Client,
    payloads: mpsc::UnboundedReceiver<String>,
}

impl Ear {
    async fn at(uri: &str) -> Self {
        let (client, mut connection) = tokio_postgres::connect(uri, NoTls).await.unwrap();
        let (sender, payloads) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                if let AsyncMessage::Notification(notification) = message {
                    let _ = sender.send(notification.payload().to_owned());
                }
            }
        });
        client.batch_execute("listen slamon_afm").await.unwrap();
        Self { client, payloads }
    }

    /// What was sent so far. An AFM takes the mark for a notification of an unknown one.
    async fn heard(&mut self) -> Vec<String> {
        self.client.batch_execute("listen mark; notify mark, 'mark'").await.unwrap();
        let mut heard = Vec::new();
        loop {
            match self.payloads.recv().await.unwrap() {
                mark if mark == "mark" => return heard,
                payload => heard.push(payload),
            }
        }
    }
}

/// A store that listens, from when it knows whether it is alone.
async fn listen(store: PostgresStore) -> (Arc<PostgresStore>, mpsc::Receiver<StoreEvent>, JoinHandle<()>) {
    let store = Arc::new(store);
    let (sender, mut events) = mpsc::channel(1_000);
    let listener = Arc::clone(&store);
    let listening = tokio::spawn(async move { listener.listen(sender).await });
    while events.recv().await.unwrap() != StoreEvent::EventsMissed {}
    (store, events, listening)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_until_another_listens() {
    let database = PgCluster::shared().create_database();
    let first = cluster::store(&database.uri());
    first.create_tables().await.unwrap();
    let (first, _events, _listening) = listen(first).await;
    let mut ear = Ear::at(&database.uri()).await;

    // A session that only listens holds no lock.
    first.apply(vec![submit(1, "t")].into(), at(0)).await.unwrap();
    assert_eq!(ear.heard().await, Vec::<String>::new());

    let (second, mut events, listening) = listen(cluster::store(&database.uri())).await;
    // What is committed from now on it hears, or it is told to look.
    first.apply(vec![submit(2, "t")].into(), at(0)).await.unwrap();
    loop {
        match tokio::time::timeout(PATIENCE, events.recv()).await.unwrap().unwrap() {
            StoreEvent::TaskWaiting(_) | StoreEvent::EventsMissed => break,
            StoreEvent::NotListening | StoreEvent::ListeningStopped => {}
            event => panic!("{event:?}"),
        }
    }
    let deadline = Instant::now() + PATIENCE;
    for n in 3.. {
        first.apply(vec![submit(n, "t")].into(), at(0)).await.unwrap();
        if ear.heard().await.iter().any(|payload| payload.contains(" waiting ")) {
            break;
        }
        assert!(Instant::now() < deadline);
    }
    drop((second, listening));
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_of_other_programs_are_nobodys() {
    let database = PgCluster::shared().create_database();
    let store = cluster::store(&database.uri());
    store.create_tables().await.unwrap();
    let mut ear = Ear::at(&database.uri()).await;
    ear.client.batch_execute("select pg_advisory_lock(7), pg_advisory_lock(24941, 7)").await.unwrap();
    let (store, _events, _listening) = listen(store).await;
    ear.heard().await;
    store.apply(vec![submit(1, "t")].into(), at(0)).await.unwrap();
    assert_eq!(ear.heard().await, Vec::<String>::new());
}

/// The locks are of one database, as the notifications are.
#[tokio::test(flavor = "multi_thread")]
async fn an_afm_on_another_database_is_no_other() {
    let database = PgCluster::shared().create_database();
    let elsewhere = PgCluster::shared().create_database();
    let (_other, _other_events, _other_listening) = listen(cluster::store(&elsewhere.uri())).await;
    let store = cluster::store(&database.uri());
    store.create_tables().await.unwrap();
    let (store, _events, _listening) = listen(store).await;
    let mut ear = Ear::at(&database.uri()).await;
    store.apply(vec![submit(1, "t")].into(), at(0)).await.unwrap();
    assert_eq!(ear.heard().await, Vec::<String>::new());
}

/// A claim of the oldest task, which somebody has locked.
#[tokio::test(flavor = "multi_thread")]
async fn a_locked_task_keeps_no_other_from_agents() {
    let database = PgCluster::shared().create_database();
    let store = cluster::store(&database.uri());
    store.create_tables().await.unwrap();
    let (store, _events, _listening) = listen(store).await;
    store.apply(vec![submit(1, "t"), submit(2, "t"), submit(3, "t")].into(), at(0)).await.unwrap();
    let (mut locker, connection) = tokio_postgres::connect(&database.uri(), NoTls).await.unwrap();
    tokio::spawn(connection);
    let locked = locker.transaction().await.unwrap();
    locked.execute("select from task where id = $1 for update", &[&id(1)]).await.unwrap();

    let claim = async |agent| {
        let Command::Poll { poll, .. } = poll(agent, &["t"], 1) else { panic!("it is a poll") };
        let kinds = store.backlog(None, 100).await.unwrap().kinds;
        let applied = store.apply(vec![Command::Claim { poll, kinds }].into(), at(1)).await.unwrap();
        let polled = applied.replies.polls[0].as_ref().unwrap();
        polled.tasks.iter().map(|task| task.task_id).collect::<Vec<_>>()
    };
    assert_eq!(claim(8).await, [id(2)]);
    assert_eq!(claim(9).await, [id(3)]);
    locked.commit().await.unwrap();
    assert_eq!(claim(9).await, [id(1)]);
}

/// A statement that changes fewer rows than it should undoes all of its batch, also where the commit is sent right
/// behind it.
#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_cannot_be_saved_is_not_answered() {
    let database = PgCluster::shared().create_database();
    let store = cluster::store(&database.uri());
    store.create_tables().await.unwrap();
    let (store, _events, _listening) = listen(store).await;
    store.apply(vec![submit(1, "t")].into(), at(0)).await.unwrap();
    store.apply(vec![poll(9, &["t"], 1)].into(), at(1)).await.unwrap();
    database.sql(
        "create function keep() returns trigger language plpgsql as 'begin return null; end';
         create trigger keep before update on task for each row when (new.state = 'completed')
         execute function keep()",
    );
    let refused = store.apply(vec![report(1), submit(2, "t")].into(), at(2)).await.unwrap_err();
    assert!(refused.to_string().contains("saved 0 of 1 locked tasks"), "{refused}");
    assert_eq!(database.sql("select count(*) from task"), "1");

    database.sql("drop trigger keep on task");
    let applied = store.apply(vec![report(1), submit(2, "t")].into(), at(2)).await.unwrap();
    assert!(applied.replies.reports[0].is_ok() && applied.ended.len() == 1);
}
