//! The write-ahead log after somebody has read for long.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use slamon_domain::Command;
use slamon_protocol::PostTask;

use crate::driver::Driver;
use crate::fixture::{Fixture, SharedFixture, SqliteFile};
use slamon_domain::testing::commands::{at, json, task};

const MIB: u64 = 1_024 * 1_024;

/// What a busy server's log takes anyway, and a little more.
const USUAL: u64 = 48 * MIB;

struct LongRead {
    reader: Connection,
    log: PathBuf,
}

impl LongRead {
    /// Somebody else begins to read.
    fn begin(fixture: &SqliteFile) -> Self {
        let uri = fixture.uri();
        let file = uri.trim_start_matches("sqlite:///");
        let reader = Connection::open(file).unwrap();
        reader.execute_batch("begin; select count(*) from task").unwrap();
        Self { reader, log: format!("{file}-wal").into() }
    }

    fn size(&self) -> u64 {
        fs::metadata(&self.log).unwrap().len()
    }

    /// Posts until the log is larger than it usually gets; gives the number of tasks.
    async fn grow(&self, store: &Driver) -> u128 {
        let mut posted = 0;
        while self.size() < 2 * USUAL {
            posted += 1;
            post(store, posted).await;
        }
        posted
    }
}

async fn post(store: &Driver, n: u128) {
    let data = json(format!(r#"{{"n":"{}"}}"#, "x".repeat(1_000_000)));
    let command = Command::Submit(PostTask { task_data: Some(data), ..task(n) });
    store.apply([command].into(), at(0)).await.unwrap();
}

#[tokio::test]
async fn the_log_shrinks_after_a_long_reader_when_nothing_is_written_any_more() {
    let fixture = SqliteFile::empty();
    let store = fixture.ready().await;
    let long = LongRead::begin(&fixture);
    let posted = long.grow(&store).await;
    long.reader.execute_batch("commit").unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while long.size() > USUAL {
        assert!(Instant::now() < deadline, "it is still of {} MiB", long.size() / MIB);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(u128::from(store.waiting().await), posted);
    store.close().await;
    assert_eq!(fixture.text("pragma integrity_check").unwrap(), "ok");
}

#[tokio::test]
async fn the_log_shrinks_after_a_long_reader_while_there_is_no_end_of_writing() {
    let fixture = SqliteFile::empty();
    let store = fixture.ready().await;
    let long = LongRead::begin(&fixture);
    let mut posted = long.grow(&store).await;
    long.reader.execute_batch("commit").unwrap();
    // With the first commit, all of it is moved; the next begins the log anew.
    while long.size() > USUAL {
        posted += 1;
        assert!(posted < 300, "it is still of {} MiB", long.size() / MIB);
        post(&store, posted).await;
    }
    assert_eq!(u128::from(store.waiting().await), posted);
}
