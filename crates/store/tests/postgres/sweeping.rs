//! Several AFMs that sweep the same tables.

use std::sync::Arc;
use std::time::Duration;

use slamon_domain::{AttemptEnd, Command, End, State, Sweep, Swept};
use slamon_protocol::Terms;
use slamon_store::{PostgresStore, Store};
use tokio::task::JoinSet;

use crate::cluster::Cluster;
use crate::{apply, at, given, id, poll, report, report_under, submit, submit_under, try_apply};
use slamon_domain::testing::outcome::Outcome;

const SWEEP: Sweep = Sweep {
    limit: 50,
    lost_after: Some(Duration::from_secs(300)),
    forget_after: Some(Duration::from_secs(86_400)),
    delete_after: None,
    heartbeats: Vec::new(),
};

async fn sweep(store: &PostgresStore, sweep: Sweep, second: i64) -> Swept {
    match try_apply(store, vec![Command::Sweep(sweep)], second).await.unwrap().remove(0) {
        Outcome::Sweep(swept) => swept,
        other => panic!("{other:?}"),
    }
}

/// Several AFMs sweep until nothing is left to do; all that they have done.
async fn sweep_together(cluster: &Cluster, sweep_for: Sweep, second: i64) -> Swept {
    let mut sweeping = JoinSet::new();
    for _ in 0..4 {
        let (store, sweep_for) = (cluster.store(), sweep_for.clone());
        sweeping.spawn(async move {
            let mut all = Swept::default();
            loop {
                let swept = sweep(&store, sweep_for.clone(), second).await;
                all.settled += swept.settled;
                all.lost += swept.lost;
                all.forgotten += swept.forgotten;
                all.deleted += swept.deleted;
                if !swept.more {
                    return all;
                }
            }
        });
    }
    sweeping.join_all().await.into_iter().fold(Swept::default(), |all, one| Swept {
        settled: all.settled + one.settled,
        lost: all.lost + one.lost,
        forgotten: all.forgotten + one.forgotten,
        deleted: all.deleted + one.deleted,
        ..all
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_is_done_once() {
    let cluster = Cluster::start();
    let store = cluster.store();
    store.create_tables().await.unwrap();
    let terms = |n: u128| match n % 3 {
        0 => Terms { ttl: Some(Duration::from_secs(10)), ..Terms::default() },
        1 => Terms { delay: Duration::from_secs(10), ..Terms::default() },
        _ => Terms { timeout: Some(Duration::from_secs(10)), max_attempts: 2, ..Terms::default() },
    };
    let kinds = ["expires", "delayed", "held"];
    apply(&store, (0..600).map(|n| submit_under(n, kinds[n as usize % 3], terms(n))).collect()).await;
    assert_eq!(given(&apply(&store, vec![poll(1_000, &["held"], 600)]).await[0]).len(), 200);
    assert_eq!(sweep(&store, SWEEP, 9).await, Swept { next_due: Some(at(10)), ..Swept::default() });

    let swept = sweep_together(&cluster, SWEEP, 10).await;
    assert_eq!(swept, Swept { settled: 600, ..Swept::default() });
    assert_eq!(
        cluster.sql("select type, state, count(*) from task group by type, state order by type"),
        "delayed|pending|200\nexpires|expired|200\nheld|pending|200"
    );
    assert_eq!(cluster.sql("select ending, count(*) from attempt group by ending"), "timed_out|200");
    assert_eq!(sweep(&store, SWEEP, 11).await, Swept::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_lost_once() {
    let cluster = Cluster::start();
    let store = cluster.store();
    store.create_tables().await.unwrap();
    let terms = Terms { max_attempts: 2, ..Terms::default() };
    apply(&store, (0..300).map(|n| submit_under(n, "t", terms.clone())).collect()).await;
    apply(&store, (0..30).map(|n| poll(1_000 + n, &["t"], 10)).collect()).await;
    // Two agents are alive: one asks for no more, the other posts a result.
    try_apply(&store, vec![poll(1_000, &["t"], 0), report(10)], 300).await.unwrap();
    assert_eq!(sweep(&store, SWEEP, 300).await, Swept::default());

    assert_eq!(sweep_together(&cluster, SWEEP, 301).await, Swept { lost: 280, ..Swept::default() });
    assert_eq!(cluster.sql("select count(*) from task where state = 'pending' and attempts = 1"), "280");
    assert_eq!(cluster.sql("select count(*) from attempt where ending = 'lost'"), "280");

    // The second attempt is the last one.
    let claimed = try_apply(&store, vec![poll(1_001, &["t"], 1_000)], 400).await.unwrap();
    assert_eq!(given(&claimed[0]).len(), 280);
    assert_eq!(sweep_together(&cluster, SWEEP, 701).await.lost, 299);
    let lost = store.task(id(20)).await.unwrap().unwrap();
    let State::Ended { end: End::Lost(error), .. } = lost.state else { panic!("{lost:?}") };
    let agent = id(1_001);
    assert_eq!(
        error.as_str(),
        format!(r#""Agent \"agent 1001\" ({agent}) was lost: silent for 301 s, attempt 2 of 2""#)
    );

    let forgotten = sweep_together(&cluster, SWEEP, 90_000).await.forgotten;
    assert_eq!((forgotten, store.overview(1, 1).await.unwrap().agents.total), (30, 0));
    assert_eq!(cluster.sql("select count(*) from agent_offer"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_old_is_deleted_beside_what_runs() {
    let cluster = Cluster::start();
    let store = cluster.store();
    store.create_tables().await.unwrap();
    apply(&store, (0..400).map(|n| submit(n, "t")).collect()).await;
    apply(&store, vec![poll(1_000, &["t"], 300)]).await;
    apply(&store, (0..200).map(report).collect()).await;
    let keep = Sweep { lost_after: None, delete_after: Some(Duration::from_secs(60)), ..SWEEP };
    assert_eq!(sweep_together(&cluster, keep.clone(), 60).await.deleted, 0);
    assert_eq!(sweep_together(&cluster, keep.clone(), 61).await.deleted, 200);
    assert_eq!(
        cluster.sql("select state, count(*) from task group by state order by state"),
        "claimed|100\npending|100"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_and_a_loss_meet() {
    let cluster = Cluster::start();
    let store = Arc::new(cluster.store());
    store.create_tables().await.unwrap();
    let terms = Terms { max_attempts: 3, ..Terms::default() };
    for round in 0..20 {
        let second = round * 1_000;
        let n = round as u128;
        try_apply(&store, vec![submit_under(n, "t", terms.clone()), poll(1_000, &["t"], 1)], second)
            .await
            .unwrap();
        let (sweeper, reporter) = (cluster.store(), Arc::clone(&store));
        let (swept, reported) = tokio::join!(
            tokio::spawn(async move { sweep(&sweeper, SWEEP, second + 301).await }),
            tokio::spawn(async move {
                loop {
                    let outcomes = try_apply(&reporter, vec![report(n)], second + 301).await.unwrap();
                    // On a busy machine the sweep may take longer than a lock is waited for.
                    if !matches!(outcomes[0], Outcome::Locked) {
                        return outcomes;
                    }
                }
            }),
        );
        let (lost, reported) = (swept.unwrap().lost, reported.unwrap().remove(0));
        let attempts = store.attempts(id(n)).await.unwrap();
        match reported {
            Outcome::Report(Ok(_)) => assert_eq!((lost, attempts.len()), (0, 0)),
            Outcome::Report(Err(_)) => {
                assert_eq!((lost, attempts.len()), (1, 1));
                assert_eq!(attempts[0].0.end, AttemptEnd::Lost);
                assert!(attempts[0].1.is_some(), "the late result is kept");
                // The second attempt goes out under an id of its own, and is finished under it.
                let polled = try_apply(&store, vec![poll(1_001, &["t"], 1)], second + 302).await.unwrap();
                let Outcome::Poll(polled) = &polled[0] else { panic!("{polled:?}") };
                let delivery = &polled.tasks[0];
                assert_eq!((delivery.task_id, delivery.attempt), (id(n), 2));
                assert_ne!(delivery.alias, id(n));
                let result =
                    try_apply(&store, vec![report_under(delivery.alias, 7)], second + 303).await.unwrap();
                assert!(matches!(result[0], Outcome::Report(Ok(_))), "{result:?}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(store.task(id(n)).await.unwrap().unwrap().state.name(), "completed");
    }
}
