//! Making, checking and dropping tables.

use slamon_domain::Command;
use slamon_store::{Prepared, SchemaError, StoreError};

use crate::fixture::{Fixture, SharedFixture};
use slamon_domain::testing::commands::{at, poll, submits, task_id};

#[track_caller]
fn schema_error<T: std::fmt::Debug>(result: Result<T, StoreError>) -> SchemaError {
    match result {
        Err(StoreError::Schema(error)) => error,
        other => panic!("{other:?} is not an error of the tables"),
    }
}

pub(crate) async fn tables_are_made_once(fixture: &impl Fixture) {
    let store = fixture.store();
    assert_eq!(store.create_tables().await.unwrap(), Prepared::Created);
    store.check().await.unwrap();
    store.post(at(0), [1]).await;
    assert_eq!(store.create_tables().await.unwrap(), Prepared::Present);
    store.check().await.unwrap();
    assert_eq!(store.waiting().await, 1);
}

pub(crate) async fn nothing_works_without_tables(fixture: &impl Fixture) {
    let store = fixture.store();
    assert_eq!(schema_error(store.check().await), SchemaError::Missing);
    assert_eq!(schema_error(store.apply(submits([1]).into(), at(0)).await), SchemaError::Missing);
    let polls = vec![Command::from(poll(1, 1))];
    assert_eq!(schema_error(store.apply(polls.into(), at(0)).await), SchemaError::Missing);
    assert_eq!(schema_error(store.task(task_id(1)).await), SchemaError::Missing);
    assert_eq!(schema_error(store.counts(at(0)).await), SchemaError::Missing);
    assert_eq!(schema_error(store.overview(1, 1).await), SchemaError::Missing);
    store.create_tables().await.unwrap();
    store.post(at(0), [1]).await;
}

pub(crate) async fn dropped_tables_can_be_made_again(fixture: &impl Fixture) {
    let store = fixture.store();
    assert!(!store.drop_tables().await.unwrap());
    store.create_tables().await.unwrap();
    store.post(at(0), [1, 2]).await;
    assert!(store.drop_tables().await.unwrap());
    assert!(!store.drop_tables().await.unwrap());
    assert_eq!(schema_error(store.check().await), SchemaError::Missing);
    assert_eq!(store.create_tables().await.unwrap(), Prepared::Created);
    assert_eq!(store.waiting().await, 0);
    store.post(at(0), [2]).await;
    assert_eq!(store.claim(at(1), 1, 9).await, [2]);
}

pub(crate) async fn older_tables_are_behind(fixture: &impl SharedFixture) {
    let store = fixture.ready().await;
    fixture.sql("update slamon_schema set version = 0");
    assert!(matches!(schema_error(store.check().await), SchemaError::Behind { found: 0, needed: 1.. }));
}

pub(crate) async fn newer_tables_are_ahead(fixture: &impl SharedFixture) {
    let store = fixture.ready().await;
    store.post(at(0), [1]).await;
    fixture.sql("update slamon_schema set version = 99");
    assert!(matches!(schema_error(store.check().await), SchemaError::Ahead { found: 99, known: 1..99 }));
    let created = store.create_tables().await;
    assert!(matches!(schema_error(created), SchemaError::Ahead { found: 99, known: 1..99 }));
    assert_eq!(fixture.text("select cast(version as text) from slamon_schema").unwrap(), "99");
    assert_eq!(fixture.text("select type from task").unwrap(), "wait");
}

pub(crate) async fn only_our_tables_are_dropped(fixture: &impl SharedFixture) {
    fixture.sql("create table tasks_of_others (name text); insert into tasks_of_others values ('kept')");
    let store = fixture.store();
    assert!(!store.drop_tables().await.unwrap());
    assert_eq!(store.create_tables().await.unwrap(), Prepared::Created);
    assert!(store.drop_tables().await.unwrap());
    assert_eq!(fixture.text("select name from tasks_of_others").unwrap(), "kept");
}

pub(crate) async fn tables_made_at_the_same_time_are_made_once(fixture: &impl SharedFixture) {
    let stores: Vec<_> = (0..4).map(|_| fixture.second()).collect();
    let making = stores.iter().cloned().map(|store| tokio::spawn(async move { store.create_tables().await }));
    let mut created = 0;
    for made in making.collect::<Vec<_>>() {
        match made.await.unwrap().unwrap() {
            Prepared::Created => created += 1,
            other => assert_eq!(other, Prepared::Present),
        }
    }
    assert_eq!(created, 1);
}
