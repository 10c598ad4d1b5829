//! What several AFMs that give out tasks at the same time leave each other.

use std::sync::Arc;

use slamon_store::{PostgresStore, Store};
use tokio::task::JoinHandle;

use crate::cluster::Cluster;
use crate::{apply, given, id, poll, submit};
use slamon_domain::testing::outcome::Outcome;

/// Makes whoever has given a task to agent 1 wait, before it commits, until the connection is dropped.
async fn hold_up_agent_1(cluster: &Cluster) -> tokio_postgres::Client {
    cluster.sql(&format!(
        "create function hold_up() returns trigger language plpgsql as
             'begin
                 if exists (select from changed where agent_id = ''{}'') then
                     while not pg_try_advisory_xact_lock(1) loop perform pg_sleep(0.01); end loop;
                 end if;
                 return null;
             end';
         create trigger hold_up after update on task referencing new table as changed
             for each statement execute function hold_up()",
        id(1)
    ));
    let client = cluster.connect().await;
    client.batch_execute("select pg_advisory_lock(1)").await.unwrap();
    client
}

/// Lets agent 1 poll, and comes back when it is held up.
fn poll_held_up(cluster: &Cluster, types: &'static [&'static str], most: u32) -> JoinHandle<Vec<Outcome>> {
    let store = cluster.store();
    let polling = tokio::spawn(async move { apply(&store, vec![poll(1, types, most)]).await });
    cluster.wait_for("select count(*) from pg_stat_activity where wait_event = 'PgSleep'", "1");
    polling
}

async fn store_with_tasks(cluster: &Cluster, count: u128) -> Arc<PostgresStore> {
    let store = Arc::new(cluster.store());
    store.create_tables().await.unwrap();
    apply(&store, (0..count).map(|n| submit(n, ["a", "b", "c"][n as usize % 3])).collect()).await;
    store
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_keeps_nothing_from_others_but_what_it_takes() {
    let cluster = Cluster::start();
    let store = store_with_tasks(&cluster, 12).await;
    let held_up = hold_up_agent_1(&cluster).await;
    let polling = poll_held_up(&cluster, &["a", "b", "c"], 2);

    let outcomes = apply(&store, vec![poll(2, &["c", "b", "a"], 2), poll(3, &["a"], 1)]).await;
    assert_eq!(outcomes.iter().map(given).collect::<Vec<_>>(), [vec![2, 4], vec![3]]);
    // All that is left.
    let outcomes = apply(&store, vec![poll(2, &["a", "b", "c"], 100)]).await;
    assert_eq!(given(&outcomes[0]), (5..12).collect::<Vec<_>>());

    drop(held_up);
    assert_eq!(given(&polling.await.unwrap()[0]), [0, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_that_misses_a_task_gets_the_next() {
    let cluster = Cluster::start();
    let store = store_with_tasks(&cluster, 9).await;
    let held_up = hold_up_agent_1(&cluster).await;
    let polling = poll_held_up(&cluster, &["a"], 2);

    for (poll, expected) in
        [(poll(2, &["a", "b"], 3), vec![1, 4, 6]), (poll(3, &["a", "b", "c"], 2), vec![2, 5])]
    {
        let outcomes = apply(&store, vec![poll]).await;
        assert_eq!(given(&outcomes[0]), expected);
    }

    drop(held_up);
    assert_eq!(given(&polling.await.unwrap()[0]), [0, 3]);
}
