//! Tasks in an SQLite file, or in memory.

mod adopt;
mod apply;
mod backlog;
mod connections;
mod errors;
mod obstacle;
mod rows;
mod schema;
mod surroundings;
mod uri;
mod views;
mod wal;
mod workers;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::reads::{Found, Reads};
use crate::{
    Applied, AttemptView, Backlog, Command, Counts, EndedAttempt, Hint, LateResult, Overview, Prepared,
    Store, StoreError, Surroundings, Task,
};
use connections::{Access, Connections};
use workers::Workers;

/// How many connections read a file at the same time.
const READERS: usize = 2;

/// A store in an SQLite file (WAL, `synchronous = FULL`), or in memory.
#[derive(Debug)]
pub struct SqliteStore {
    place: uri::Place,
    writer: Arc<Workers>,
    /// For a database in memory, which is one connection's own, the writer itself.
    readers: Arc<Workers>,
    reads: Reads,
    /// Whether nothing has been written yet, or the last write failed.
    is_doubtful: AtomicBool,
    default_timeout: Option<Duration>,
}

impl SqliteStore {
    /// Takes a URI as SQLAlchemy writes it: `sqlite://`, `sqlite:///relative.db`, `sqlite:////absolute.db`.
    /// The file is opened with the first call. With `echo`, statements are logged at debug level.
    ///
    /// # Errors
    /// What is wrong with the URI, or that threads can't be started.
    pub fn new(uri: &str, echo: bool) -> Result<Self, String> {
        let place = uri::parse(uri)?;
        let connections = Connections::new(place.clone(), echo);
        let start = |count, access| {
            Workers::start(count, &connections, access).map(Arc::new).map_err(|e| e.to_string())
        };
        let writer = start(1, Access::Write)?;
        let readers = if place.file.is_some() { start(READERS, Access::Read)? } else { Arc::clone(&writer) };
        Ok(Self {
            place,
            writer,
            readers,
            reads: Reads::default(),
            is_doubtful: AtomicBool::new(true),
            default_timeout: None,
        })
    }

    /// How long an attempt may take of a task that does not say; `None`, as it is at first: for ever.
    #[must_use]
    pub fn with_default_timeout(self, default_timeout: Option<Duration>) -> Self {
        Self { default_timeout, ..self }
    }

    /// The file; `None`: tasks are gone when this is.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.place.file.as_deref()
    }

    async fn read_tasks(&self, ids: Arc<[Uuid]>) -> Found {
        self.readers.run(move |connection| rows::tasks(connection, &ids)).await
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn create_tables(&self) -> Result<Prepared, StoreError> {
        self.writer.run(schema::create).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        // What is rolled back never reaches the disk, which may be full or have become read-only.
        let commits = self.is_doubtful.load(Ordering::Relaxed);
        self.writer.run(move |connection| schema::check(connection, commits)).await?;
        self.is_doubtful.store(false, Ordering::Relaxed);
        Ok(())
    }

    async fn drop_tables(&self) -> Result<bool, StoreError> {
        // Opening a file would make it.
        if self.file().is_some_and(|file| file.try_exists().is_ok_and(|exists| !exists)) {
            return Ok(false);
        }
        self.writer.run(schema::drop_tables).await
    }

    async fn apply(&self, batch: Arc<[Command]>, now: Timestamp) -> Result<Applied, StoreError> {
        let default_timeout = self.default_timeout;
        let applied =
            self.writer.run(move |connection| apply::apply(connection, &batch, now, default_timeout)).await;
        if applied.is_err() {
            self.is_doubtful.store(true, Ordering::Relaxed);
        }
        applied
    }

    async fn task(&self, id: Uuid) -> Result<Option<Task>, StoreError> {
        self.reads.task(id, |ids| Box::pin(self.read_tasks(ids))).await
    }

    async fn attempts(&self, id: Uuid) -> Result<Vec<(EndedAttempt, Option<LateResult>)>, StoreError> {
        self.readers.run(move |connection| Ok(rows::attempts::of_task(connection, id)?)).await
    }

    async fn past(&self, id: Uuid, result_bytes: u32) -> Result<Vec<AttemptView>, StoreError> {
        self.readers.run(move |connection| Ok(views::past(connection, id, result_bytes)?)).await
    }

    async fn surroundings(&self, task: &Task, seen_since: Timestamp) -> Result<Surroundings, StoreError> {
        let task = task.clone();
        self.readers.run(move |connection| Ok(surroundings::of(connection, &task, seen_since)?)).await
    }

    async fn backlog(&self, limit: u32) -> Result<Backlog, StoreError> {
        self.readers.run(move |connection| Ok(backlog::read(connection, limit)?)).await
    }

    async fn counts(&self, seen_since: Timestamp) -> Result<Counts, StoreError> {
        self.readers.run(move |connection| Ok(views::counts(connection, seen_since)?)).await
    }

    async fn overview(&self, limit: u32, result_bytes: u32) -> Result<Overview, StoreError> {
        self.readers.run(move |connection| Ok(views::overview(connection, limit, result_bytes)?)).await
    }

    /// No other process is expected on the file, and none is told of anything.
    async fn listen(&self, hints: mpsc::Sender<Hint>) {
        hints.closed().await;
    }

    async fn time(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(None)
    }

    async fn close(&self) {
        let (writer, readers) = (Arc::clone(&self.writer), Arc::clone(&self.readers));
        let close = move || {
            readers.close();
            writer.close();
        };
        // A worker that panicked has said so already.
        let _ = tokio::task::spawn_blocking(close).await;
    }
}
