//! Another file takes the place of the one that is open.

use std::fs;
use std::path::{Path, PathBuf};

use slamon_domain::Command;
use slamon_store::StoreError;

use crate::driver::Driver;
use crate::fixture::{Fixture, SharedFixture, SqliteFile};
use slamon_domain::testing::commands::{at, submits, task_id};

fn path(fixture: &SqliteFile) -> PathBuf {
    Path::new(fixture.uri().trim_start_matches("sqlite:///")).to_path_buf()
}

/// Has every connection open, and something in the write-ahead log.
async fn in_use(fixture: &SqliteFile) -> Driver {
    let store = fixture.ready().await;
    for n in 1..=3 {
        store.post(at(0), [n]).await;
    }
    let reads = (0..20).map(|_| store.task(task_id(1)));
    for read in futures_util::future::join_all(reads).await {
        assert!(read.unwrap().is_some());
    }
    store
}

#[tokio::test]
async fn a_store_that_was_closed_leaves_nothing_open() {
    let fixture = SqliteFile::empty();
    let store = in_use(&fixture).await;
    let log = PathBuf::from(format!("{}-wal", path(&fixture).display()));
    assert!(log.exists());
    store.close().await;
    // Whoever closes the last connection moves the log into the file and removes it.
    assert!(!log.exists());
}

#[tokio::test]
async fn a_file_that_was_replaced_is_opened_again() {
    let (old, new) = (SqliteFile::empty(), SqliteFile::empty());
    let store = in_use(&old).await;
    let other = new.ready().await;
    other.post(at(0), [7, 8]).await;
    other.close().await;
    fs::rename(path(&new), path(&old)).unwrap();

    store.post(at(1), [9]).await;
    assert_eq!(store.task(task_id(1)).await.unwrap(), None);
    assert_eq!(store.claim(at(2), 1, 9).await, [7, 8, 9]);
    store.close().await;
    assert_eq!(old.text("pragma integrity_check").unwrap(), "ok");
    assert_eq!(old.text("select count(*) || '' from task where state = 'claimed'").unwrap(), "3");
}

#[tokio::test]
async fn a_file_that_was_removed_is_unavailable_until_it_is_back() {
    let fixture = SqliteFile::empty();
    let store = in_use(&fixture).await;
    let away = path(&fixture).with_extension("away");
    fs::rename(path(&fixture), &away).unwrap();
    let batch: Vec<Command> = submits([4]);
    let refused = store.apply(batch.into(), at(1)).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    let refused = store.task(task_id(1)).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert!(!path(&fixture).exists(), "no empty one takes its place");

    fs::rename(&away, path(&fixture)).unwrap();
    store.post(at(2), [4]).await;
    assert_eq!(store.claim(at(3), 1, 9).await, [1, 2, 3, 4]);
}
