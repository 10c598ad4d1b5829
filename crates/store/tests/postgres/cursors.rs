//! Claims that start where tasks may wait, past all that was claimed before.

use std::sync::Arc;

use slamon_domain::{Command, KindCursor, QueueCursor, WaitingKind};
use slamon_protocol::{AgentFilter, Capability};
use slamon_store::{Store, TYPE_BEGINNING};

use crate::cluster::Cluster;
use crate::{at, poll, submit};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_claimed_before_is_not_read_again() {
    let cluster = Cluster::start();
    let store = Arc::new(cluster.store());
    store.create_tables().await.unwrap();
    let tasks = 2_400;
    store.apply((0..tasks).map(|n| submit(n, "t")).collect(), at(0)).await.unwrap();
    // While this is open, nothing that was claimed goes away.
    let open = cluster.connect().await;
    open.batch_execute("begin isolation level repeatable read; select 1").await.unwrap();
    let capability = Capability { task_type: "t".to_owned(), version: 1 };
    let kind = WaitingKind { capability, agent_filter: AgentFilter::default() };
    let mut cursor = QueueCursor::START;
    for n in 0..tasks / 40 {
        let Command::Poll { poll, .. } = poll(1, &["t"], 40) else { panic!("it is a poll") };
        let kinds = Some(vec![KindCursor { kind: kind.clone(), cursor }]);
        let poll = Command::Poll { poll, kinds, running: None };
        // What others post meanwhile is behind it.
        let applied = store.apply([submit(tasks + n, "t"), poll].into(), at(0)).await.unwrap();
        let [Ok(polled)] = &applied.replies.polls[..] else { panic!("{applied:?}") };
        let given = polled.tasks.iter().map(|task| task.task_id.as_u128());
        assert_eq!(given.collect::<Vec<_>>(), (n * 40..n * 40 + 40).collect::<Vec<_>>());
        let [(searched, Some(first))] = &applied.searched[..] else { panic!("{:?}", applied.searched) };
        assert!(*searched == kind && *first > cursor);
        cursor = *first;
    }
    store.close().await;
    // A connection tells what it did at its end.
    cluster.wait_for("select count(*) from pg_stat_activity where application_name = 'slamon-afm'", "0");
    // From the very start each time, it would be some 70,000.
    let read = "select idx_tup_read between 2400 and 5000 from pg_stat_user_indexes where indexrelname = \
    'task_waiting'";
    cluster.wait_for(read, "t");
    drop(open);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_index_does_not_tell_kinds_apart_that_is_said() {
    let cluster = Cluster::start();
    let store = cluster.store();
    store.create_tables().await.unwrap();
    let long = |end: &str| format!("{}{end}", "ä".repeat(TYPE_BEGINNING));
    let tasks =
        vec![submit(1, &long("a")), submit(2, &long("b")), submit(3, "t"), submit(4, &"s".repeat(99))];
    store.apply(tasks.into(), at(0)).await.unwrap();
    let backlog = store.backlog(None, 9).await.unwrap();
    assert_eq!((backlog.kinds.len(), backlog.next, backlog.is_complete), (3, None, true));
    assert_eq!(backlog.left_out, [Capability { task_type: long("a"), version: 1 }]);
}
