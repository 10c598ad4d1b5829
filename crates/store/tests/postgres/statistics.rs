//! Counts of tasks, while others work.

use std::sync::Arc;
use std::time::Duration;

use slamon_domain::Applied;
use slamon_protocol::Capability;
use slamon_store::{
    CountChange, PostgresOptions, PostgresStore, Saved, StatisticsStore, StatisticsUpdate, Store, TaskCounts,
};
use slamon_testbed::PgCluster;

use crate::{at, submit};

fn pending(pending: i64) -> TaskCounts {
    TaskCounts { pending, ..TaskCounts::default() }
}

/// The post of a task, as its AFM adds it up.
fn posted(applied: &Applied) -> Arc<StatisticsUpdate> {
    assert!(applied.commit.is_some(), "{applied:?}");
    Arc::new(StatisticsUpdate {
        types: vec![Arc::new(Capability { task_type: "t".to_owned(), version: 1 })],
        changes: vec![CountChange { of_type: 0, commit: applied.commit, by: pending(1) }],
        ..StatisticsUpdate::default()
    })
}

/// The count is held up in its middle, by a trigger that waits for a lock.
#[tokio::test]
async fn changes_go_on_while_tasks_are_counted_and_none_is_lost() {
    let database = PgCluster::shared().create_database();
    let options = PostgresOptions {
        uri: database.uri(),
        pool_size: 1,
        pool_timeout: Duration::from_secs(60),
        statement_timeout: Duration::from_secs(60),
        echo: false,
    };
    let store = Arc::new(PostgresStore::new(&options).unwrap());
    store.create_tables().await.unwrap();
    let before = store.apply(Arc::new([submit(1, "t")]), at(0)).await.unwrap();
    database.sql(
        "create function hold_up() returns trigger language plpgsql as $$
         begin
             perform set_config('lock_timeout', '0', true), pg_advisory_xact_lock(7);
             return new;
         end $$;
         create trigger hold_up before update on task_total for each row execute function hold_up()",
    );
    let (holder, connection) = tokio_postgres::connect(&database.uri(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    holder.batch_execute("select pg_advisory_lock(7)").await.unwrap();
    let counting = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.recount_tasks().await }
    });
    let waits = "select exists (select from pg_locks where locktype = 'advisory' and not granted
         and database = (select oid from pg_database where datname = current_database()))";
    while !holder.query_one(waits, &[]).await.unwrap().get::<_, bool>(0) {
        tokio::task::yield_now().await;
    }

    // The pool has one connection, and the count does not take it.
    let during = store.apply(Arc::new([submit(2, "t")]), at(1)).await.unwrap();
    assert_eq!(store.save_statistics(posted(&during)).await.unwrap(), Saved::Busy);
    assert_eq!(store.recount_tasks().await.unwrap(), Saved::Busy);

    holder.batch_execute("select pg_advisory_unlock(7)").await.unwrap();
    assert_eq!(counting.await.unwrap().unwrap(), Saved::Done);
    assert_eq!(store.task_counts().await.unwrap(), Some(pending(1)));
    for update in [posted(&before), posted(&during)] {
        assert_eq!(store.save_statistics(update).await.unwrap(), Saved::Done);
    }
    assert_eq!(store.task_counts().await.unwrap(), Some(pending(2)));
}

/// Each kind of batch knows its commit, whether it sends notifications or claims or neither.
#[tokio::test]
async fn every_batch_that_changes_tasks_knows_its_commit() {
    let database = PgCluster::shared().create_database();
    let store = crate::cluster::store(&database.uri());
    store.create_tables().await.unwrap();
    let delayed =
        slamon_protocol::Terms { delay: Duration::from_secs(60), ..slamon_protocol::Terms::default() };
    let mut last = 0;
    for (second, command) in [
        (0, submit(1, "t")),
        (0, crate::submit_under(2, "t", delayed)),
        (1, crate::poll(9, &["t"], 1)),
        (2, crate::report(1)),
        (3, slamon_domain::Command::Cancel(crate::id(2))),
    ] {
        let applied = store.apply(Arc::new([command.clone()]), at(second)).await.unwrap();
        let commit = applied.commit.unwrap_or_else(|| panic!("{command:?}"));
        assert!(commit > last && !applied.transitions.is_empty(), "{command:?}");
        last = commit;
    }
}
