//! PgBouncer between the store and PostgreSQL.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use slamon_domain::Submitted;
use slamon_store::{PostgresStore, SchemaError, Store, StoreError};
use slamon_testbed::{PgBouncer, PgCluster, PgOptions, Stop, TestDatabase};

use crate::cluster::store;
use crate::{apply, given, poll, report, submit, try_apply};
use slamon_domain::testing::outcome::Outcome;

const STORED: Outcome = Outcome::Submit(Ok(Submitted::Stored));

/// What the store sets for itself, and what the pooler's other clients find.
const SETTINGS: &str = "select name from pg_settings where source = 'session' and name not in \
    ('application_name', 'client_encoding', 'DateStyle', 'TimeZone',
    'standard_conforming_strings')
    union all select 'prepared ' || statement from pg_prepared_statements
    union all select 'listens ' || pg_listening_channels()";

/// A database, and a pooler of its own in front. Starting a cluster for each would take most of the time.
fn behind(settings: &[(&str, &str)]) -> (TestDatabase, PgBouncer) {
    let cluster = PgCluster::shared();
    let bouncer = PgBouncer::start(cluster, settings).unwrap();
    (cluster.create_database(), bouncer)
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    match result {
        Err(StoreError::Schema(SchemaError::Shared)) => {}
        other => panic!("{other:?}"),
    }
}

async fn lives(store: &PostgresStore, from: u128) {
    for n in from..from + 5 {
        assert_eq!(apply(store, vec![submit(n, "t")]).await, [STORED]);
        assert_eq!(given(&apply(store, vec![poll(9, &["t"], 1)]).await[0]), [n]);
        assert!(matches!(apply(store, vec![report(n)]).await[0], Outcome::Report(Ok(_))));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn session_mode_is_as_good_as_none() {
    // Its own, to be stopped.
    let cluster = PgCluster::start(&PgOptions::default()).unwrap();
    let bouncer = PgBouncer::start(&cluster, &[]).unwrap();
    let database = cluster.create_database();
    let store = store(&bouncer.uri(database.name()));
    store.create_tables().await.unwrap();
    lives(&store, 1).await;
    database.cluster().stop(Stop::Immediate);
    let error = try_apply(&store, vec![submit(100, "t")], 0).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    database.cluster().start_again();
    // PgBouncer tries again 15 s after it found no server.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while let Err(error) = store.check().await {
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        assert!(std::time::Instant::now() < deadline, "{error:?}");
    }
    lives(&store, 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_of_a_pooler_in_session_mode_is_enough() {
    let (database, bouncer) = behind(&[("default_pool_size", "1")]);
    let store = store(&bouncer.uri(database.name()));
    store.create_tables().await.unwrap();
    lives(&store, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_session_is_refused_and_left_as_it_was() {
    for settings in [
        &[("pool_mode", "transaction")][..],
        &[("pool_mode", "statement")],
        &[("pool_mode", "transaction"), ("default_pool_size", "1")],
        &[("pool_mode", "transaction"), ("server_round_robin", "1")],
        &[("pool_mode", "transaction"), ("server_round_robin", "1"), ("min_pool_size", "2")],
        &[("pool_mode", "transaction"), ("min_pool_size", "7")],
    ] {
        let (database, bouncer) = behind(settings);
        let store = store(&bouncer.uri(database.name()));
        assert_refused(store.create_tables().await);
        assert_refused(store.check().await);
        assert_refused(try_apply(&store, vec![submit(1, "t")], 0).await);
        assert_refused(store.drop_tables().await);
        for _ in 0..10 {
            assert_eq!(bouncer.sql(database.name(), SETTINGS), "", "{settings:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_wait_for_their_own_where_a_pooler_lends_no_more() {
    for size in ["1", "2", "3"] {
        let (database, bouncer) = behind(&[("default_pool_size", size)]);
        let store = Arc::new(store(&bouncer.uri(database.name())));
        store.create_tables().await.unwrap();
        let (sender, _hints) = tokio::sync::mpsc::channel(1_000);
        let listening = {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.listen(sender).await })
        };
        let calls: Vec<_> = (1..9)
            .map(|worker| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    for n in worker * 100..worker * 100 + 5 {
                        assert_eq!(apply(&store, vec![submit(n, "t")]).await, [STORED]);
                        store.check().await.unwrap();
                    }
                })
            })
            .collect();
        for call in calls {
            call.await.unwrap();
        }
        listening.abort();
    }
}

/// Clients of the same pool, busy until this is dropped.
struct Busy(Arc<AtomicBool>, Vec<tokio::task::JoinHandle<()>>);

impl Busy {
    async fn with(clients: usize, uri: &str, sql: &'static str) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let mut tasks = Vec::new();
        for _ in 0..clients {
            let (client, connection) = tokio_postgres::connect(uri, tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            let is_over = Arc::clone(&is_over);
            tasks.push(tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    client.simple_query(sql).await.unwrap();
                }
            }));
        }
        Self(is_over, tasks)
    }

    async fn end(self) {
        self.0.store(true, Ordering::Relaxed);
        for task in self.1 {
            task.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_pool_does_not_hide_that_it_is_shared() {
    for (size, clients, sql) in [
        ("1", 2, "select 1"),
        ("2", 1, "select 1"),
        ("2", 4, "select 1"),
        ("3", 3, "select pg_sleep(0.003)"),
        ("8", 20, "begin; select pg_sleep(0.001); commit"),
    ] {
        let (database, bouncer) = behind(&[("pool_mode", "transaction"), ("default_pool_size", size)]);
        let uri = bouncer.uri(database.name());
        let busy = Busy::with(clients, &uri, sql).await;
        for _ in 0..20 {
            assert_refused(store(&uri).check().await);
        }
        busy.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_pool_of_sessions_is_not_taken_for_shared() {
    let (database, bouncer) = behind(&[("default_pool_size", "8")]);
    let uri = bouncer.uri(database.name());
    let first = store(&uri);
    first.create_tables().await.unwrap();
    let busy = Busy::with(5, &uri, "select 1").await;
    // Sessions that end are given to the next, again and again.
    for _ in 0..20 {
        let store = store(&uri);
        store.check().await.unwrap();
        store.close().await;
    }
    first.check().await.unwrap();
    busy.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn options_that_a_pooler_refuses_or_passes_over_are_set_all_the_same() {
    for settings in [&[][..], &[("ignore_startup_parameters", "options")]] {
        let (database, bouncer) = behind(settings);
        database.sql("create schema elsewhere");
        let options = "options=-c%20search_path%3Delsewhere%20--geqo%3Doff";
        let store = store(&format!("{}?{options}", bouncer.uri(database.name())));
        store.create_tables().await.unwrap();
        let table = "select table_schema from information_schema.tables where table_name = 'task'";
        assert_eq!(database.sql(table), "elsewhere", "{settings:?}");
        // What cannot be set later is an error that names it.
        let error = crate::cluster::store(&format!("{}?options=-B%2010", bouncer.uri(database.name())))
            .check()
            .await
            .map_err(|error| error.to_string());
        // 1.18 knows no options, 1.24 those alone that set something: each in its own words.
        let names_it = |text: &String| text.contains("startup parameter") && text.contains("options");
        let is_refused = error.as_ref().is_err_and(names_it);
        assert!(is_refused || !settings.is_empty(), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_not_waited_for() {
    for auth_type in ["scram-sha-256", "md5"] {
        let (database, bouncer) = behind(&[("auth_type", auth_type)]);
        let name = database.name();
        let store = store(&format!("postgresql://postgres:wrong@127.0.0.1:{}/{name}", bouncer.port()));
        let error = store.check().await.unwrap_err();
        assert!(matches!(&error, StoreError::Failed(_)), "{error:?}");
        assert!(error.to_string().contains("authentication failed"), "{error}");
    }
}
