//! What AFMs tell each other.

use std::sync::Arc;
use std::time::Duration;

use slamon_domain::{Applied, WaitingKind};
use slamon_protocol::{AgentFilter, Capability, Terms};
use slamon_store::{PostgresStore, Store, StoreEvent};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::cluster::Cluster;
use crate::{at, id, poll, report, submit, submit_under};

macro_rules! listens {
    () => {
        "application_name like '%(listens)'"
    };
}

const LISTENING: &str =
    concat!("select count(*) from pg_stat_activity where state = 'idle' and ", listens!());

const CUT: &str = concat!("select pg_terminate_backend(pid) from pg_stat_activity where ", listens!());

fn listen(store: PostgresStore) -> (mpsc::Receiver<StoreEvent>, JoinHandle<()>) {
    let (sender, events) = mpsc::channel(100);
    (events, tokio::spawn(async move { store.listen(sender).await }))
}

/// The next event, except those that say that none arrive.
async fn next(events: &mut mpsc::Receiver<StoreEvent>) -> StoreEvent {
    loop {
        match tokio::time::timeout(Duration::from_secs(30), events.recv()).await.unwrap().unwrap() {
            StoreEvent::NotListening | StoreEvent::ListeningStopped => {}
            event => return event,
        }
    }
}

fn waiting(task_type: &str) -> Option<WaitingKind> {
    let capability = Capability { task_type: task_type.to_owned(), version: 1 };
    Some(WaitingKind { capability, agent_filter: AgentFilter::default() })
}

/// The kind of which a task waits, if that is what the next event says.
async fn next_waiting(events: &mut mpsc::Receiver<StoreEvent>) -> Option<WaitingKind> {
    match next(events).await {
        StoreEvent::TaskWaiting(waiting) => Some(waiting.kind),
        event => {
            assert_eq!(event, StoreEvent::EventsMissed);
            None
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_does_the_other_hears() {
    let cluster = Cluster::start();
    let (store, other) = (cluster.store(), cluster.store());
    store.create_tables().await.unwrap();
    let (mut events, listening) = listen(other);
    assert_eq!(next(&mut events).await, StoreEvent::EventsMissed);

    let long = "x".repeat(8_000);
    let delayed = Terms { delay: Duration::from_secs(5), ..Terms::default() };
    let batch = vec![submit(1, "b c"), submit_under(2, "later", delayed), submit(3, &long), submit(4, "a")];
    let applied = store.apply(batch.into(), at(0)).await.unwrap();
    let kinds: Vec<_> =
        applied.waiting.iter().map(|waiting| waiting.kind.capability.task_type.as_str()).collect();
    assert_eq!(kinds, ["b c", &long, "a"]);
    for expected in [waiting("b c"), None, waiting("a")] {
        assert_eq!(next_waiting(&mut events).await, expected);
    }

    // A batch that changes nothing for others says nothing: the next event is of the batch after it.
    let applied = store.apply(vec![poll(5, &["a"], 1), submit(4, "a")].into(), at(1)).await.unwrap();
    assert_eq!((applied.waiting, applied.ended), (vec![], vec![]));
    let Applied { ended, .. } = store.apply(vec![report(4)].into(), at(2)).await.unwrap();
    assert_eq!(ended, [id(4)]);
    assert_eq!(next(&mut events).await, StoreEvent::TaskEnded(id(4)));

    drop(events);
    listening.await.unwrap();
    cluster.wait_for(&format!("{LISTENING} and pid <> pg_backend_pid()"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_ends_are_told_of() {
    let cluster = Cluster::start();
    let (store, other) = (cluster.store(), cluster.store());
    store.create_tables().await.unwrap();
    store.apply((0..500).map(|n| submit(n, "t")).collect(), at(0)).await.unwrap();
    store.apply(vec![poll(1_000, &["t"], 500)].into(), at(0)).await.unwrap();
    let (mut events, _listening) = listen(other);
    assert_eq!(next(&mut events).await, StoreEvent::EventsMissed);
    store.apply((0..500).map(report).collect(), at(1)).await.unwrap();
    for n in 0..500 {
        assert_eq!(next(&mut events).await, StoreEvent::TaskEnded(id(n)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_is_replaced() {
    let cluster = Cluster::start();
    let (store, other) = (Arc::new(cluster.store()), cluster.store());
    store.create_tables().await.unwrap();
    let (mut events, _listening) = listen(other);
    for n in 1..=3 {
        // Says that something may have been missed.
        assert_eq!(next(&mut events).await, StoreEvent::EventsMissed);
        store.apply(vec![submit(n, "t")].into(), at(0)).await.unwrap();
        assert_eq!(next_waiting(&mut events).await, waiting("t"));
        cluster.sql(&format!("{CUT} and pid <> pg_backend_pid()"));
    }
    assert_eq!(next(&mut events).await, StoreEvent::EventsMissed);
    // And a server that is away for a while.
    cluster.stop();
    cluster.serve();
    assert_eq!(next(&mut events).await, StoreEvent::EventsMissed);
}

#[tokio::test]
async fn time_is_the_databases() {
    let cluster = Cluster::start();
    let (first, second) = {
        let store = cluster.store();
        (store.time().await.unwrap().unwrap(), store.time().await.unwrap().unwrap())
    };
    assert!(first < second);
    let between = format!(
        "select '{first}'::timestamptz < clock_timestamp() and '{first}'::timestamptz > clock_timestamp() - \
         interval '1 hour'"
    );
    assert_eq!(cluster.sql(&between), "t");
}
