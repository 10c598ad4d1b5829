//! Connections that are cut, servers that go away, calls that are given up.

use std::sync::Arc;

use slamon_domain::{Command, Submitted};
use slamon_store::{Store, StoreError};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::cluster::{Cluster, store};
use crate::{apply, at, given, id, poll, report, submit, try_apply};
use slamon_domain::testing::outcome::Outcome;

const STORED: Outcome = Outcome::Submit(Ok(Submitted::Stored));
const OURS: &str = "application_name = 'slamon-afm'";

#[tokio::test]
async fn cut_connections_are_replaced_unseen() {
    let cluster = Cluster::start();
    let store = cluster.store();
    store.create_tables().await.unwrap();
    for n in 0..5 {
        let (a, b, c) = tokio::join!(store.check(), store.counts(at(0)), store.task(id(n)));
        a.unwrap();
        b.unwrap();
        c.unwrap();
        cluster.sql(&format!("select pg_terminate_backend(pid) from pg_stat_activity where {OURS}"));
        assert_eq!(apply(&store, vec![submit(n, "t")]).await, [STORED]);
    }
}

#[tokio::test]
async fn a_server_may_stop_and_start() {
    let cluster = Cluster::start();
    let store = cluster.store();
    store.create_tables().await.unwrap();
    cluster.stop();
    for _ in 0..3 {
        let error = try_apply(&store, vec![submit(1, "t")], 0).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    }
    assert!(matches!(store.check().await.unwrap_err(), StoreError::Unavailable(_)));
    cluster.serve();
    assert_eq!(apply(&store, vec![submit(1, "t")]).await, [STORED]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_given_up_halfway_leaves_nothing_behind() {
    let cluster = Cluster::start();
    let store = Arc::new(cluster.store());
    store.create_tables().await.unwrap();
    apply(&store, vec![submit(1, "t"), poll(1, &["t"], 1)]).await;

    let mut client = cluster.connect().await;
    let holder = client.transaction().await.unwrap();
    holder.execute("lock table task in exclusive mode", &[]).await.unwrap();

    let caller = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { apply(&store, vec![submit(2, "t"), report(1)]).await })
    };
    cluster.wait_for(
        &format!("select count(*) from pg_stat_activity where {OURS} and wait_event_type = 'Lock'"),
        "1",
    );
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    holder.rollback().await.unwrap();
    cluster.wait_for(
        &format!("select count(*) from pg_stat_activity where {OURS} and xact_start is not null"),
        "0",
    );

    assert_eq!(store.task(id(2)).await.unwrap(), None);
    assert_eq!(apply(&store, vec![submit(2, "t")]).await, [STORED]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_not_waited_for_without_end() {
    let cluster = Cluster::start();
    let store = slamon_store::PostgresStore::new(&slamon_store::PostgresOptions {
        uri: cluster.uri("postgres", "postgres", ""),
        pool_size: 1,
        pool_timeout: std::time::Duration::from_secs(20),
        statement_timeout: std::time::Duration::from_secs(2),
        echo: true,
    })
    .unwrap();
    store.create_tables().await.unwrap();
    apply(&store, vec![submit(1, "t"), poll(1, &["t"], 1)]).await;
    let mut client = cluster.connect().await;
    let holder = client.transaction().await.unwrap();
    holder.execute("lock table task in exclusive mode", &[]).await.unwrap();
    let error = try_apply(&store, vec![report(1)], 0).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    holder.rollback().await.unwrap();
    apply(&store, vec![report(1)]).await;
}

#[tokio::test]
async fn a_commit_cut_short_is_in_doubt_and_names_its_claims() {
    let cluster = Cluster::start();
    let store = cluster.store();
    store.create_tables().await.unwrap();
    apply(&store, vec![submit(1, "t")]).await;
    cluster.sql(
        "create function cut() returns trigger language plpgsql as
         'begin perform pg_terminate_backend(pg_backend_pid()); return null; end';
         create constraint trigger cut after update on task deferrable initially deferred
         for each row execute function cut()",
    );
    let error = try_apply(&store, vec![poll(5, &["t"], 1)], 7).await.unwrap_err();
    let StoreError::InDoubt { claimed_at, claims, .. } = error else { panic!("{error:?}") };
    assert_eq!((claimed_at, claims), (at(7), vec![(id(5), vec![id(1)])]));
}

/// A way to the server that can be cut, so that neither end hears why.
pub(crate) struct Way {
    pub(crate) port: u16,
    cut: Arc<Notify>,
}

impl Way {
    pub(crate) async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, cut) = (listener.local_addr().unwrap().port(), Arc::new(Notify::new()));
        let cuts = Arc::clone(&cut);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let cut = Arc::clone(&cuts).notified_owned();
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                        () = cut => {}
                    }
                });
            }
        });
        Self { port, cut }
    }

    pub(crate) fn cut(&self) {
        self.cut.notify_waiters();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_commit_claimed_that_was_cut_short_is_released_when_it_has_ended() {
    let cluster = Cluster::start();
    let way = Way::to(cluster.way_in()).await;
    let store = Arc::new(store(&format!("postgresql://postgres@127.0.0.1:{}/postgres", way.port)));
    store.create_tables().await.unwrap();
    cluster.sql(
        "create function wait() returns trigger language plpgsql as
         'begin while not pg_try_advisory_xact_lock(7) loop perform pg_sleep(0.01); end loop; return null;
         end';
         create constraint trigger wait after insert on task deferrable initially deferred
         for each row execute function wait()",
    );
    let mut client = cluster.connect().await;
    let holder = client.transaction().await.unwrap();
    holder.execute("select pg_advisory_xact_lock(7)", &[]).await.unwrap();
    // Posted and claimed in one transaction, whose commit takes its time.
    let committing = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { try_apply(&store, vec![submit(1, "t"), poll(5, &["t"], 1)], 7).await })
    };
    cluster.wait_for("select count(*) from pg_stat_activity where wait_event = 'PgSleep'", "1");
    way.cut();
    let error = committing.await.unwrap().unwrap_err();
    let StoreError::InDoubt { claimed_at, claims, .. } = error else { panic!("{error:?}") };
    assert_eq!(claims, [(id(5), vec![id(1)])]);

    let release = Command::Release { agent_id: id(5), claimed_at, task_ids: vec![id(1)], cancelled: vec![] };
    let error = try_apply(&store, vec![release.clone()], 8).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    // Others need not wait.
    assert_eq!(given(&apply(&store, vec![poll(6, &["t"], 1)]).await[0]), [0_u128; 0]);

    holder.rollback().await.unwrap();
    cluster.wait_for("select count(*) from task", "1");
    assert_eq!(try_apply(&store, vec![release], 8).await.unwrap(), [Outcome::Release(1)]);
    assert_eq!(given(&apply(&store, vec![poll(6, &["t"], 1)]).await[0]), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_waits_for_what_runs() {
    let cluster = Cluster::start();
    let store = Arc::new(cluster.store());
    store.create_tables().await.unwrap();
    apply(&store, vec![submit(1, "t"), poll(1, &["t"], 1)]).await;
    let mut client = cluster.connect().await;
    let holder = client.transaction().await.unwrap();
    holder.execute("lock table task in exclusive mode", &[]).await.unwrap();
    let reporting = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { apply(&store, vec![report(1)]).await })
    };
    let waiting = format!("select count(*) from pg_stat_activity where {OURS} and wait_event_type = 'Lock'");
    cluster.wait_for(&waiting, "1");
    let closing = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.close().await })
    };
    holder.rollback().await.unwrap();
    closing.await.unwrap();
    assert!(matches!(reporting.await.unwrap()[0], Outcome::Report(Ok(_))));
    assert!(matches!(store.check().await.unwrap_err(), StoreError::Unavailable(_)));
    cluster.wait_for(&format!("select count(*) from pg_stat_activity where {OURS}"), "0");
}

#[tokio::test]
async fn the_second_of_two_hosts_serves_when_the_first_is_down() {
    let cluster = Cluster::start();
    let down = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let hosts = format!("127.0.0.1:{down},127.0.0.1:{}", cluster.way_in());
    let two = store(&format!("postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write"));
    two.create_tables().await.unwrap();
    // And through a socket.
    let folder = cluster.folder().display();
    let socket = store(&format!("postgres://postgres@/postgres?host={folder}&port={}", cluster.port()));
    socket.check().await.unwrap();
}

#[tokio::test]
async fn a_standby_is_passed_over_or_unavailable() {
    let cluster = Cluster::start();
    cluster.store().create_tables().await.unwrap();
    // What takes no writes: to a client, the same as a standby.
    cluster.sql("alter system set default_transaction_read_only = on");
    cluster.sql("select pg_reload_conf()");
    cluster.wait_for("show default_transaction_read_only", "on");
    let picky = store(&cluster.uri("postgres", "postgres", "?target_session_attrs=read-write"));
    let error = picky.check().await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn large_reads_leave_connections_to_others() {
    let cluster = Cluster::start();
    let store = Arc::new(cluster.store());
    store.create_tables().await.unwrap();
    let mut client = cluster.connect().await;
    let holder = client.transaction().await.unwrap();
    // Lists and counts wait for it, posts do not look at it.
    holder.execute("lock table agent in access exclusive mode", &[]).await.unwrap();
    // More than there are connections.
    let large: Vec<_> = (0..12)
        .map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                match n % 3 {
                    0 => store.overview(9, 9).await.map(drop),
                    1 => store.counts(at(0)).await.map(drop),
                    _ => store.large_task(id(n)).await.map(drop),
                }
            })
        })
        .collect();
    let busy = format!("select count(*) from pg_stat_activity where {OURS} and wait_event_type = 'Lock'");
    cluster.wait_for(&busy, "1");
    for n in 1..=3 {
        assert_eq!(apply(&store, vec![submit(n, "t")]).await, [STORED]);
        assert_eq!(store.backlog(None, 9).await.unwrap().kinds.len(), 1);
    }
    cluster.wait_for(&busy, "1");
    holder.rollback().await.unwrap();
    for read in large {
        read.await.unwrap().unwrap();
    }
}
