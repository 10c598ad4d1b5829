//! The index of tasks by the process instance that they belong to.

use std::sync::Arc;

use slamon_domain::Sweep;
use slamon_domain::testing::commands::{DUE, at, seconds, task, task_id};
use slamon_store::{ListOrder, TaskFilter, TaskQuery};
use uuid::{Uuid, uuid};

use super::adoption::original;
use super::migration::version_1;
use crate::driver::Driver;
use crate::fixture::{Fixture, SharedFixture, SqliteFile};

fn indexed(fixture: &SqliteFile) -> String {
    fixture
        .text("select group_concat(seq) from (select seq from task_of_test order by seq)")
        .unwrap_or_default()
}

/// The tasks of a process instance, the first one first.
async fn of_test(store: &Driver, test_id: Uuid) -> Vec<Uuid> {
    let filter = TaskFilter { test_id: Some(test_id), ..TaskFilter::default() };
    let query = TaskQuery { filter, order: ListOrder::OldestFirst, limit: 200, ..TaskQuery::default() };
    let page = store.list_tasks(Arc::new(query)).await.unwrap();
    page.tasks.iter().map(|task| task.task_id).collect()
}

/// A post costs a tenth more where it has to index its test by itself.
#[tokio::test]
async fn it_is_written_with_every_128th_post() {
    let fixture = SqliteFile::empty();
    let store = fixture.ready().await;
    for n in 1..128 {
        store.post(at(0), [n]).await;
    }
    assert_eq!(indexed(&fixture), "");
    store.post(at(0), [128]).await;
    let block: Vec<_> = (1..=128).map(|n| n.to_string()).collect();
    assert_eq!(indexed(&fixture), block.join(","));
    store.post(at(0), [129]).await;
    assert_eq!(indexed(&fixture), block.join(","));
    // What is deleted leaves nothing behind.
    for n in 1..=129 {
        store.cancel(at(1), n).await.unwrap();
    }
    store.sweep(at(9), Sweep { limit: 1_000, delete_after: Some(seconds(1)), ..DUE }).await;
    assert_eq!(indexed(&fixture), "");
}

#[tokio::test]
async fn tasks_of_older_databases_are_in_it() {
    let fixture = version_1();
    let store = fixture.store();
    store.create_tables().await.unwrap();
    assert_eq!(indexed(&fixture), "1,2,3,4,5,6");
    let of_all = task(1).test_id;
    assert_eq!(of_test(&store, of_all).await, (1..=6).map(task_id).collect::<Vec<_>>());
    store.post(at(9), 7..=140).await;
    assert_eq!(of_test(&store, of_all).await, (1..=140).map(task_id).collect::<Vec<_>>());
}

#[tokio::test]
async fn tasks_of_the_original_are_in_it() {
    let fixture = original();
    let store = fixture.store();
    store.create_tables().await.unwrap();
    let all = fixture.text("select group_concat(seq) from (select seq from task order by seq)").unwrap();
    assert_eq!(indexed(&fixture), all);
    let first = uuid!("7e570000-0000-4000-8000-000000000001");
    let adopted = of_test(&store, first).await;
    assert_eq!(adopted.len(), 11);
    store.post(at(9), 101..=270).await;
    assert_eq!(of_test(&store, first).await, adopted);
    assert_eq!(of_test(&store, task(1).test_id).await, (101..=270).map(task_id).collect::<Vec<_>>());
}
