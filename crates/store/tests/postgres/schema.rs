//! Tables: rights, schemas, versions.

use slamon_store::{Prepared, SchemaError, Store, StoreError};

use crate::cluster::{Cluster, store};
use crate::{apply, submit, try_apply};

fn schema_error(error: StoreError) -> SchemaError {
    match error {
        StoreError::Schema(error) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_user_without_rights_is_told_what_to_run() {
    let cluster = Cluster::start();
    // As PostgreSQL 15 and newer have it from the start.
    cluster.sql("revoke create on schema public from public; create role \"a-fm\" login");
    let store = store(&cluster.uri("a-fm", "postgres", ""));
    assert_eq!(schema_error(store.check().await.unwrap_err()), SchemaError::Missing);
    let SchemaError::Denied(text) = schema_error(store.create_tables().await.unwrap_err()) else { panic!() };
    assert_eq!(
        text,
        "the user \"a-fm\" may not create tables in the schema public of the database \"postgres\": as a \
         superuser, run in psql: \\c \"postgres\" and then: GRANT USAGE, CREATE ON SCHEMA public TO \
         \"a-fm\";"
    );
    cluster.sql(&text[text.find("GRANT").unwrap()..]);
    assert_eq!(store.create_tables().await.unwrap(), Prepared::Created);

    cluster.sql("create role other login");
    let other = crate::cluster::store(&cluster.uri("other", "postgres", ""));
    let SchemaError::Denied(text) = schema_error(other.check().await.unwrap_err()) else { panic!() };
    assert!(text.contains("GRANT SELECT ON slamon_schema TO \"other\";"), "{text}");
    cluster.sql(&text[text.find("GRANT").unwrap()..]);
    other.check().await.unwrap();

    cluster.sql("revoke usage on schema public from public; create role third login");
    let third = crate::cluster::store(&cluster.uri("third", "postgres", ""));
    let SchemaError::Denied(text) = schema_error(third.create_tables().await.unwrap_err()) else { panic!() };
    assert!(text.ends_with("GRANT USAGE, CREATE ON SCHEMA public TO \"third\";"), "{text}");
}

#[tokio::test]
async fn tables_live_where_the_search_path_says() {
    let cluster = Cluster::start();
    cluster.sql("create schema fleet");
    let store = store(&cluster.uri("postgres", "postgres", "?options=-c%20search_path%3Dfleet"));
    assert_eq!(store.create_tables().await.unwrap(), Prepared::Created);
    apply(&store, vec![submit(1, "t")]).await;
    let tables = "select string_agg(schemaname || '.' || tablename, ' ' order by 1) from pg_tables
                  where tablename in ('task', 'attempt', 'agent', 'agent_offer', 'slamon_schema')";
    cluster.wait_for("select count(*) from fleet.task", "1");
    assert_eq!(
        cluster.sql(&tables.replace(" order by 1", " order by tablename")),
        "fleet.agent fleet.agent_offer fleet.attempt fleet.slamon_schema fleet.task"
    );
    assert_eq!(schema_error(cluster.store().check().await.unwrap_err()), SchemaError::Missing);
}

#[tokio::test]
async fn versions_are_told_apart_and_only_our_tables_dropped() {
    let cluster = Cluster::start();
    let store = cluster.store();
    cluster.sql("create table agents (id int); create table keep (id int)");
    assert_eq!(
        schema_error(try_apply(&store, vec![submit(1, "t")], 0).await.unwrap_err()),
        SchemaError::Missing
    );
    assert!(!store.drop_tables().await.unwrap());
    assert_eq!(store.create_tables().await.unwrap(), Prepared::Created);
    assert_eq!(store.create_tables().await.unwrap(), Prepared::Present);
    store.check().await.unwrap();
    cluster.sql("update slamon_schema set version = 99");
    for error in [store.check().await.unwrap_err(), store.create_tables().await.unwrap_err()] {
        assert!(matches!(schema_error(error), SchemaError::Ahead { found: 99, .. }));
    }
    cluster.sql("update slamon_schema set version = 0");
    let behind = schema_error(store.check().await.unwrap_err());
    assert!(matches!(behind, SchemaError::Behind { found: 0, .. }), "{behind:?}");
    assert!(store.drop_tables().await.unwrap());
    assert!(!store.drop_tables().await.unwrap());
    assert_eq!(
        cluster.sql(
            "select string_agg(tablename, ' ' order by tablename) from pg_tables where schemaname = 'public'"
        ),
        "agents keep"
    );
    // Made anew, with statements still prepared for the old ones.
    assert_eq!(store.create_tables().await.unwrap(), Prepared::Created);
    apply(&store, vec![submit(1, "t")]).await;
}
