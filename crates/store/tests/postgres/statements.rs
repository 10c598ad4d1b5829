//! Connections whose statements, settings or server are not what they were.

use slamon_domain::Submitted;
use slamon_store::{PostgresOptions, PostgresStore, Store, StoreError};
use slamon_testbed::{PgCluster, TestDatabase};

use crate::cluster::store;
use crate::{apply, at, given, id, poll, report, submit, try_apply};
use slamon_domain::testing::outcome::Outcome;

const STORED: Outcome = Outcome::Submit(Ok(Submitted::Stored));

async fn ready() -> (TestDatabase, PostgresStore) {
    let database = PgCluster::shared().create_database();
    let store = store(&database.uri());
    store.create_tables().await.unwrap();
    a_life(&store, 1).await;
    (database, store)
}

async fn a_life(store: &PostgresStore, n: u128) {
    assert_eq!(apply(store, vec![submit(n, "t")]).await, [STORED]);
    assert_eq!(given(&apply(store, vec![poll(9, &["t"], 1)]).await[0]), [n]);
    assert!(matches!(apply(store, vec![report(n)]).await[0], Outcome::Report(Ok(_))));
    assert!(store.task(id(n)).await.unwrap().is_some());
    store.counts(at(0)).await.unwrap();
}

/// 0A000: "cached plan must not change result type".
#[tokio::test]
async fn statements_that_were_prepared_for_other_columns_are_prepared_anew() {
    let (database, store) = ready().await;
    for (n, kind) in (2..).zip(["varchar", "text"]) {
        database.sql(&format!("alter table task alter column data type {kind}"));
        a_life(&store, n).await;
    }
}

/// 26000: DISCARD ALL or DEALLOCATE ALL by a pooler, between two calls.
#[tokio::test]
async fn statements_that_the_server_has_forgotten_are_prepared_anew() {
    let (database, _) = ready().await;
    // The connection forgets all of them in the middle of its life: a trigger may do what a pooler does.
    database.sql(
        "create function forget() returns trigger language plpgsql as
         'begin execute ''deallocate all''; return null; end';
         create trigger forget after insert on task for each statement execute function forget()",
    );
    let store = store(&database.uri());
    for n in 2..6 {
        let stored = try_apply(&store, vec![submit(n, "t")], 0).await;
        assert!(matches!(&stored, Ok(outcomes) if *outcomes == [STORED]), "{stored:?}");
        store.task(id(n)).await.unwrap();
    }
}

/// 57P01 and 57P05, which comes unasked when the connection is idle.
#[tokio::test]
async fn a_connection_that_the_server_ended_while_idle_is_replaced_unseen() {
    let (database, _) = ready().await;
    // Longer than a busy machine takes from one statement of a call to the next.
    let uri = format!("{}?options=-c%20idle_session_timeout%3D500", database.uri());
    let store = store(&uri);
    for n in 2..5 {
        a_life(&store, n).await;
        let gone = "select count(*) from pg_stat_activity where datname = current_database() \
                    and pid <> pg_backend_pid() and application_name = 'slamon-afm'";
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while database.sql(gone) != "0" {
            assert!(std::time::Instant::now() < deadline);
        }
        assert_eq!(apply(&store, vec![submit(100 + n, "u")]).await, [STORED]);
    }
}

/// 53300, from the role's own limit.
#[tokio::test]
async fn no_connection_for_now_is_unavailable() {
    let (database, store) = ready().await;
    let cluster = database.cluster();
    cluster.create_role("statements_none", "p");
    let none = crate::cluster::store(&database.uri_as("statements_none", "p"));
    database.sql("alter role statements_none connection limit 0");
    let error = none.check().await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    a_life(&store, 2).await;
    database.sql("drop role statements_none");
}

/// The role's limit does not allow the second, which would tell.
#[tokio::test]
async fn one_connection_of_the_role_is_enough_to_tell_that_it_is_a_session() {
    let database = PgCluster::shared().create_database();
    database.cluster().create_role("statements_one", "p");
    database
        .sql("alter role statements_one connection limit 1; grant all on schema public to statements_one");
    let store = PostgresStore::new(&PostgresOptions {
        uri: database.uri_as("statements_one", "p"),
        pool_size: 1,
        pool_timeout: std::time::Duration::from_secs(20),
        statement_timeout: std::time::Duration::from_secs(20),
        echo: false,
    })
    .unwrap();
    store.create_tables().await.unwrap();
    a_life(&store, 1).await;
    store.close().await;
    drop(store);
    database.sql("drop owned by statements_one");
    database.sql("drop role statements_one");
}
