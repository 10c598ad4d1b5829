//! The disk has no room left.
//!
//! A limit on the size of files stands for the disk: it can be lowered and raised without privileges. It is a
//! whole process's, hence the other process.

use rustix::process::{Resource, getrlimit, setrlimit};
use slamon_domain::{Command, End};
use slamon_protocol::PostTask;
use slamon_store::{SqliteStore, StoreError};

use super::process::{OtherProcess, database, say};
use crate::driver::Driver;
use crate::fixture::{Fixture, SharedFixture, SqliteFile};
use slamon_domain::testing::commands::{at, claimed, completed, ended, json, task, task_id};

/// Too large a file is an error rather than the end of the process.
const ERROR_INSTEAD_OF_SIGNAL: &str = r#"trap "" XFSZ; exec "$@""#;

#[tokio::test]
async fn a_full_disk_is_unavailable_until_there_is_room() {
    if let Some(database) = database() {
        return fill_the_disk(&database).await;
    }
    let fixture = SqliteFile::empty();
    fixture.ready().await.close().await;
    let test = "sqlite::full_disk::a_full_disk_is_unavailable_until_there_is_room";
    let mut process = OtherProcess::start(ERROR_INSTEAD_OF_SIGNAL, test, &fixture.uri());
    let stored: u128 = process.hear().unwrap().parse().unwrap();
    process.finish();

    let store = fixture.second();
    assert_eq!(store.state(1).await, ended(claimed(1, 1, at(1)), at(4), End::Completed(json("{}"))));
    for n in 2..=stored {
        assert!(store.stored(n).await.posted == of_4_kib(n));
    }
    assert_eq!(u128::from(store.waiting().await), stored - 1);
}

fn limit_files(bytes: Option<u64>) {
    let mut limit = getrlimit(Resource::Fsize);
    limit.current = bytes.or(limit.maximum);
    setrlimit(Resource::Fsize, limit).unwrap();
}

fn of_4_kib(n: u128) -> PostTask {
    PostTask { task_data: Some(json(format!(r#"{{"n":"{}"}}"#, "x".repeat(4096)))), ..task(n) }
}

async fn fill_the_disk(database: &str) {
    let store = Driver::new(SqliteStore::new(database, false).unwrap());
    store.post(at(0), [1]).await;
    assert_eq!(store.claim(at(1), 1, 1).await, [1]);

    limit_files(Some(1 << 19));
    let mut stored = 1;
    let refused = loop {
        match store.apply([Command::Submit(of_4_kib(stored + 1))].into(), at(2)).await {
            Ok(_) => stored += 1,
            Err(refused) => break refused,
        }
    };
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    assert!(stored > 10);
    // Nothing of what was refused is there, all the rest is, and the same again is refused again.
    let batch = [Command::Report(completed(1, "{}")), Command::Submit(of_4_kib(stored + 1))];
    for _ in 0..3 {
        let refused = store.apply(batch.clone().into(), at(3)).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
        assert_eq!(store.state(1).await, claimed(1, 1, at(1)));
        assert_eq!(store.task(task_id(stored + 1)).await.unwrap(), None);
        assert_eq!(u128::from(store.waiting().await), stored - 1);
    }

    limit_files(None);
    store.batch(at(4), batch.into()).await;
    say(&(stored + 1).to_string());
    store.close().await;
}
