//! Several AFMs on one database.

use std::collections::HashMap;
use std::sync::Arc;

use slamon_domain::{Reported, Submitted};
use slamon_store::{Prepared, Store};
use tokio::task::JoinSet;

use crate::cluster::Cluster;
use crate::{apply, given, poll, report, submit};
use slamon_domain::testing::outcome::Outcome;

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_handed_out_once() {
    let cluster = Cluster::start();
    let stores = [Arc::new(cluster.store()), Arc::new(cluster.store())];
    stores[0].create_tables().await.unwrap();
    let tasks = 600;
    apply(&stores[0], (0..tasks).map(|n| submit(n, ["a", "b"][n as usize % 2])).collect()).await;

    let mut agents = JoinSet::new();
    for agent in 0..8 {
        let store = Arc::clone(&stores[agent % 2]);
        agents.spawn(async move {
            let mut taken = Vec::new();
            // What another holds for a moment is passed over, so nothing given does not mean that nothing is
            // left.
            while store.counts(crate::at(0)).await.unwrap().tasks_waiting > 0 {
                let polls = vec![poll(agent as u128, &["a", "b"], 3), poll(100 + agent as u128, &["b"], 2)];
                let outcomes = apply(&store, polls).await;
                let batch: Vec<u128> = outcomes.iter().flat_map(given).collect();
                let reports = apply(&store, batch.iter().map(|n| report(*n)).collect()).await;
                assert!(reports.iter().all(|o| *o == Outcome::Report(Ok(Reported::Stored))), "{reports:?}");
                taken.extend(batch);
            }
            taken
        });
    }
    let mut all: Vec<u128> = agents.join_all().await.into_iter().flatten().collect();
    all.sort_unstable();
    assert_eq!(all, (0..tasks).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_tasks_posted_in_opposite_orders_do_not_deadlock() {
    let cluster = Cluster::start();
    let stores = [Arc::new(cluster.store()), Arc::new(cluster.store())];
    stores[0].create_tables().await.unwrap();
    let mut stored: HashMap<u128, usize> = HashMap::new();
    for round in 0..20 {
        let ids: Vec<u128> = (round * 50..round * 50 + 50).collect();
        let mut posts = JoinSet::new();
        for (store, reverse) in [(&stores[0], false), (&stores[1], true)] {
            let (store, mut ids) = (Arc::clone(store), ids.clone());
            if reverse {
                ids.reverse();
            }
            posts.spawn(async move {
                // Agents and ends of tasks too, so that all kinds of locks are there.
                let mut batch: Vec<_> = ids.iter().map(|n| submit(*n, "t")).collect();
                batch.extend(ids.iter().take(3).map(|n| poll(*n % 7, &[], 0)));
                batch.extend(ids.iter().map(|n| report(*n)));
                (ids, apply(&store, batch).await)
            });
        }
        for (ids, outcomes) in posts.join_all().await {
            for (n, outcome) in ids.iter().zip(outcomes) {
                match outcome {
                    Outcome::Submit(Ok(Submitted::Stored)) => *stored.entry(*n).or_default() += 1,
                    Outcome::Submit(Ok(Submitted::Repeated)) => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    assert_eq!(stored.len(), 1000);
    assert!(stored.values().all(|times| *times == 1));
    assert_eq!(cluster.sql("select deadlocks from pg_stat_database where datname = 'postgres'"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_made_by_one() {
    let cluster = Cluster::start();
    let mut starting = JoinSet::new();
    for _ in 0..6 {
        let store = cluster.store();
        starting.spawn(async move { store.create_tables().await.unwrap() });
    }
    let prepared = starting.join_all().await;
    assert_eq!(prepared.iter().filter(|p| **p == Prepared::Created).count(), 1, "{prepared:?}");
    assert_eq!(prepared.iter().filter(|p| **p == Prepared::Present).count(), 5, "{prepared:?}");
}

#[tokio::test]
async fn oldest_first_is_the_order_of_the_commands() {
    let cluster = Cluster::start();
    let store = cluster.store();
    store.create_tables().await.unwrap();
    apply(&store, vec![submit(9, "a"), submit(3, "b"), submit(7, "a"), submit(9, "a"), submit(1, "b")]).await;
    apply(&store, vec![submit(8, "a"), submit(0, "b")]).await;
    let outcomes =
        apply(&store, vec![poll(1, &["a"], 1), poll(2, &["b", "a"], 4), poll(3, &["b", "a"], u32::MAX)])
            .await;
    let given: Vec<_> = outcomes.iter().map(given).collect();
    assert_eq!(given, [vec![9], vec![3, 7, 1, 8], vec![0]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_reads_what_it_takes() {
    let cluster = Cluster::start();
    let gone = "select count(*) from pg_stat_activity where application_name = 'slamon-afm'";
    // A connection tells what it did at its end; making indexes is reading, too.
    let maker = cluster.store();
    maker.create_tables().await.unwrap();
    maker.close().await;
    cluster.wait_for(gone, "0");
    let store = cluster.store();
    let long = "x".repeat(5_000);
    cluster.sql(&format!(
        "insert into task (id, test_id, type, version, created_at, state)
         select gen_random_uuid(), gen_random_uuid(),
             case n % 3 when 0 then 'a' when 1 then '{long}' else '{long}y' end, 1, now(), 'pending'
         from generate_series(1, 20000) as n"
    ));
    cluster.sql("vacuum analyze task");
    cluster.sql("select pg_stat_reset()");
    // More often than the five times after which PostgreSQL settles for one plan.
    for _ in 0..10 {
        let outcomes = apply(&store, vec![poll(1, &["a", &long], 5)]).await;
        assert_eq!(given(&outcomes[0]).len(), 5);
    }
    store.close().await;
    cluster.wait_for(gone, "0");
    let scans = "select seq_scan from pg_stat_user_tables where relname = 'task'";
    cluster.wait_for(scans, "0");
    // What was claimed before is passed by until it is vacuumed, and so is the other type that begins the
    // same.
    let used =
        "select idx_scan, idx_tup_read < 1000 from pg_stat_user_indexes where indexrelname = 'task_waiting'";
    // Two types, each for anybody, for this id, for this name, and for both.
    cluster.wait_for(used, "80|t");
}
