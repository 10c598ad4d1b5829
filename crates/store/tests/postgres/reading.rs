//! What people see.

use slamon_store::{Counts, Store};

use crate::cluster::Cluster;
use crate::{apply, at, id, poll, report, submit};
use slamon_domain::testing::outcome::Outcome;

#[tokio::test]
async fn lists_are_bounded_and_newest_first() {
    let cluster = Cluster::start();
    let store = cluster.store();
    store.create_tables().await.unwrap();
    let empty = store.overview(2, 5).await.unwrap();
    assert_eq!((empty.waiting.total, empty.agents.total), (0, 0));

    apply(&store, (1..=7).map(|n| submit(n, "t")).collect()).await;
    apply(&store, vec![poll(51, &["t"], 3), poll(52, &[], 0)]).await;
    store.apply(vec![poll(53, &["t"], 1)].into(), at(5)).await.unwrap();
    // {"n": 2} is of 8 bytes.
    assert!(matches!(apply(&store, vec![report(2)]).await[0], Outcome::Report(Ok(_))));

    let counts = Counts { agents: 1, tasks_waiting: 3 };
    assert_eq!(store.counts(at(1)).await.unwrap(), counts);
    assert_eq!(store.counts(at(0)).await.unwrap().agents, 3);

    let overview = store.overview(2, 7).await.unwrap();
    assert_eq!((overview.waiting.total, overview.agents.total), (3, 3));
    let waiting: Vec<_> = overview.waiting.items.iter().map(|task| task.task_id).collect();
    assert_eq!(waiting, [id(7), id(6)]);
    let agents: Vec<_> = overview.agents.items.iter().map(|a| (a.id, a.tasks.len(), a.more_tasks)).collect();
    assert_eq!(agents, [(id(53), 1, false), (id(51), 2, true)]);
    let completed = &overview.agents.items[1].tasks[1];
    assert_eq!((completed.task_id, completed.finished), (id(2), Some(at(0))));
    assert_eq!((&completed.result, completed.result_bytes), (&None, Some(8)));
    let shown = &store.overview(2, 8).await.unwrap().agents.items[1].tasks[1];
    assert_eq!(shown.result.as_ref().unwrap().as_str(), "{\"n\": 2}");
    assert_eq!(
        cluster.sql("select count(*) from pg_stat_activity where state like 'idle in transaction%'"),
        "0"
    );
}
