//! A server, or a way to it, that vanishes and closes nothing.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use slamon_domain::Submitted;
use slamon_store::{PostgresOptions, PostgresStore, Store, StoreError, StoreEvent};
use slamon_testbed::{PgCluster, Relay, TestDatabase};
use tokio::sync::mpsc;

use crate::{apply, at, id, submit, try_apply};
use slamon_domain::testing::outcome::Outcome;

const STORED: Outcome = Outcome::Submit(Ok(Submitted::Stored));

/// How long a call may take, and how long it may wait for a connection.
const BOUND: Duration = Duration::from_secs(2);

/// For a slow machine.
const SLACK: Duration = Duration::from_secs(20);

fn impatient(port: u16, database: &str) -> PostgresStore {
    let options = PostgresOptions {
        uri: format!("postgresql://postgres@127.0.0.1:{port}/{database}"),
        pool_size: 5,
        pool_timeout: BOUND,
        statement_timeout: BOUND,
        echo: false,
    };
    PostgresStore::new(&options).unwrap()
}

fn database() -> TestDatabase {
    PgCluster::shared().create_database()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_silent_connection_gives_away_the_others() {
    let database = database();
    let relay = Relay::to(database.cluster().way_in());
    let store = impatient(relay.port(), database.name());
    store.create_tables().await.unwrap();
    // As many connections as there may be.
    let (a, b, c, d, e) = tokio::join!(
        store.counts(at(0)),
        store.check(),
        store.backlog(None, 1),
        store.task(id(1)),
        store.overview(1, 1)
    );
    assert!(a.is_ok() && b.is_ok() && c.is_ok() && d.is_ok() && e.is_ok());
    let made = format!(
        "select count(*) > 2 from pg_stat_activity where datname = '{}' and application_name = 'slamon-afm'",
        database.name()
    );
    assert_eq!(database.sql(&made), "t");

    relay.go_silent();
    let began = Instant::now();
    let error = try_apply(&store, vec![submit(1, "t")], 0).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_) | StoreError::InDoubt { .. }), "{error:?}");
    assert!(began.elapsed() < BOUND + SLACK);
    // The next call does not have to find out anew.
    assert_eq!(apply(&store, vec![submit(2, "t")]).await, [STORED]);
    for n in 3..10 {
        assert_eq!(apply(&store, vec![submit(n, "t")]).await, [STORED]);
        store.counts(at(0)).await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_takes_connections_and_says_nothing_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let store = impatient(listener.local_addr().unwrap().port(), "postgres");
    let began = Instant::now();
    let error = store.check().await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert!(began.elapsed() < BOUND + SLACK);
}

/// The next event, except those that say that none arrive.
async fn next(events: &mut mpsc::Receiver<StoreEvent>) -> StoreEvent {
    loop {
        match tokio::time::timeout(Duration::from_secs(60), events.recv()).await.unwrap().unwrap() {
            StoreEvent::NotListening | StoreEvent::ListeningStopped => {}
            event => return event,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_listening_connection_is_replaced() {
    let database = database();
    let relay = Relay::to(database.cluster().way_in());
    let store = Arc::new(impatient(relay.port(), database.name()));
    store.create_tables().await.unwrap();
    let (sender, mut events) = mpsc::channel(100);
    let listening = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.listen(sender).await })
    };
    assert_eq!(next(&mut events).await, StoreEvent::EventsMissed);
    relay.go_silent();
    // Whoever listens anew says that something may have been missed.
    assert_eq!(next(&mut events).await, StoreEvent::EventsMissed);
    let other = impatient(database.cluster().way_in(), database.name());
    assert_eq!(apply(&other, vec![submit(1, "t")]).await, [STORED]);
    assert!(matches!(next(&mut events).await, StoreEvent::TaskWaiting(_)));
    drop(events);
    listening.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_notifications_are_noticed_and_heard_again() {
    let database = database();
    let relay = Relay::to(database.cluster().way_in());
    relay.lose_notifications(true);
    let store = Arc::new(impatient(relay.port(), database.name()));
    store.create_tables().await.unwrap();
    let (sender, mut events) = mpsc::channel(100);
    let _listening = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.listen(sender).await })
    };
    for _ in 0..3 {
        let event = tokio::time::timeout(Duration::from_secs(30), events.recv()).await.unwrap();
        assert_eq!(event, Some(StoreEvent::NotListening));
    }
    relay.lose_notifications(false);
    assert_eq!(next(&mut events).await, StoreEvent::EventsMissed);
    // And lost again while it runs.
    relay.lose_notifications(true);
    let event = tokio::time::timeout(Duration::from_secs(60), events.recv()).await.unwrap();
    assert_eq!(event, Some(StoreEvent::ListeningStopped));
    let event = tokio::time::timeout(Duration::from_secs(60), events.recv()).await.unwrap();
    assert_eq!(event, Some(StoreEvent::NotListening));
}
