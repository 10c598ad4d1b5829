//! Claims that begin where the line of waiting tasks begins, past all that was claimed before.

use std::sync::Arc;
use std::time::Duration;

use slamon_store::{Hint, PostgresStore, Store};
use tokio::sync::mpsc;

use crate::cluster::Cluster;
use crate::{apply, given, id, poll, submit};

/// A store that hears what others do, and what it hears.
async fn listening(cluster: &Cluster) -> (Arc<PostgresStore>, mpsc::Receiver<Hint>) {
    let store = Arc::new(cluster.store());
    store.create_tables().await.unwrap();
    let (sender, mut hints) = mpsc::channel(1_000);
    let listener = Arc::clone(&store);
    tokio::spawn(async move { listener.listen(sender).await });
    assert_eq!(next(&mut hints).await, Hint::Anything);
    (store, hints)
}

/// What it hears next, beside that for a while it heard nothing.
async fn next(hints: &mut mpsc::Receiver<Hint>) -> Hint {
    loop {
        let hint = tokio::time::timeout(Duration::from_secs(30), hints.recv()).await.unwrap().unwrap();
        if hint != Hint::Unheard {
            return hint;
        }
    }
}

/// Waits until it hears that there is a task, or, on a busy machine, that it may have missed that.
async fn hears_of_a_task(hints: &mut mpsc::Receiver<Hint>) {
    match next(hints).await {
        Hint::Waiting(kind) => assert_eq!(kind.capability.task_type, "t"),
        hint => assert_eq!(hint, Hint::Anything),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_claimed_before_is_not_read_again() {
    let cluster = Cluster::start();
    let (store, hints) = listening(&cluster).await;
    let tasks = 2_400;
    apply(&store, (0..tasks).map(|n| submit(n, "t")).collect()).await;
    // While this is open, nothing that was claimed goes away.
    let open = cluster.connect().await;
    open.batch_execute("begin isolation level repeatable read; select 1").await.unwrap();
    for n in 0..tasks / 40 {
        // What others post meanwhile is behind it.
        let outcomes = apply(&store, vec![submit(tasks + n, "t"), poll(1, &["t"], 40)]).await;
        assert_eq!(given(&outcomes[1]), (n * 40..n * 40 + 40).collect::<Vec<_>>());
    }
    drop(hints);
    store.close().await;
    // A connection tells what it did at its end.
    cluster.wait_for("select count(*) from pg_stat_activity where application_name = 'slamon-afm'", "0");
    // From the very start each time, it would be some 70,000.
    let read = "select idx_tup_read between 2400 and 5000 from pg_stat_user_indexes where indexrelname = 'task_waiting'";
    cluster.wait_for(read, "t");
    drop(open);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_another_commits_late_keeps_its_place() {
    let cluster = Cluster::start();
    let (store, mut hints) = listening(&cluster).await;
    cluster.sql(&format!(
        "create function hold_up() returns trigger language plpgsql as
             'begin perform pg_advisory_xact_lock(1); return null; end';
         create constraint trigger hold_up after insert on task deferrable initially deferred
             for each row when (new.id = '{}') execute function hold_up()",
        id(1)
    ));
    let holder = cluster.connect().await;
    holder.batch_execute("select pg_advisory_lock(1)").await.unwrap();
    let other = cluster.store();
    let late = tokio::spawn(async move { apply(&other, vec![submit(1, "t")]).await });
    cluster.wait_for("select count(*) from pg_stat_activity where wait_event = 'advisory'", "1");

    apply(&store, vec![submit(2, "t"), submit(3, "t"), submit(4, "t")]).await;
    assert_eq!(given(&apply(&store, vec![poll(1, &["t"], 1)]).await[0]), [2]);
    assert_eq!(given(&apply(&store, vec![poll(1, &["t"], 1)]).await[0]), [3]);
    drop(holder);
    late.await.unwrap();
    hears_of_a_task(&mut hints).await;
    assert_eq!(given(&apply(&store, vec![poll(1, &["t"], 2)]).await[0]), [1, 4]);
    // The same where nothing was left in line.
    apply(&store, vec![submit(5, "t")]).await;
    assert_eq!(given(&apply(&store, vec![poll(1, &["t"], 2)]).await[0]), [5]);
    let other = cluster.store();
    apply(&other, vec![submit(6, "t")]).await;
    hears_of_a_task(&mut hints).await;
    assert_eq!(given(&apply(&store, vec![poll(1, &["t"], 2)]).await[0]), [6]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_comes_to_wait_without_a_word_is_found() {
    let cluster = Cluster::start();
    let (store, _hints) = listening(&cluster).await;
    apply(&store, (1..=3).map(|n| submit(n, "t")).collect()).await;
    assert_eq!(given(&apply(&store, vec![poll(1, &["t"], 2)]).await[0]), [1, 2]);
    // As an operator may do it, or a program of another version.
    cluster.sql(&format!(
        "update task set state = 'pending', attempts = 0, agent_id = null, claimed_at = null
         where id = '{}'",
        id(1)
    ));
    // What waits behind it is handed out meanwhile, and it too if all was read anew just then.
    let mut found = given(&apply(&store, vec![poll(1, &["t"], 2)]).await[0]);
    assert!(found.contains(&3), "{found:?}");
    for _ in 0..600 {
        if found.contains(&1) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        found.extend(given(&apply(&store, vec![poll(1, &["t"], 1)]).await[0]));
    }
    found.sort_unstable();
    assert_eq!(found, [1, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_hear_looks_from_the_start() {
    let cluster = Cluster::start();
    let (store, mut hints) = listening(&cluster).await;
    apply(&store, (1..=3).map(|n| submit(n, "t")).collect()).await;
    assert_eq!(given(&apply(&store, vec![poll(1, &["t"], 2)]).await[0]), [1, 2]);
    cluster.sql(&format!(
        "update task set state = 'pending', attempts = 0, agent_id = null, claimed_at = null
         where id = '{}'",
        id(1)
    ));
    // While the server is away nothing is heard; when it is back, what was known before is not trusted.
    cluster.stop();
    cluster.serve();
    assert_eq!(next(&mut hints).await, Hint::Anything);
    assert_eq!(given(&apply(&store, vec![poll(1, &["t"], 3)]).await[0]), [1, 3]);
}
