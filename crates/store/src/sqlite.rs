//! Tasks in an SQLite file, or in memory.

mod adopt;
mod agent_figures;
mod apply;
mod attempt_spans;
mod backlog;
mod census;
mod columns;
mod connections;
mod counting;
mod errors;
mod fleet;
mod listing;
mod obstacle;
mod offers;
mod pauses;
mod queue_diagnostics;
mod rows;
mod schema;
mod statistics;
mod test_index;
mod tokens;
mod traces;
mod uri;
mod views;
mod waiting;
mod wal;
mod workers;
mod write_transaction;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::Connection;
use slamon_domain::{
    Applied, Command, EndedAttempt, KindCursor, LateResult, Pauses, QueueDiagnostics, Task, WaitingKind,
};
use slamon_protocol::Capability;
use tokio::sync::{Mutex, mpsc};
use uuid::Uuid;

use crate::connections::Connections;
use crate::error::StoreError;
use crate::event::StoreEvent;
use crate::fleet::{AgentDetails, AgentQuery, ListedAgent, Page};
use crate::listing::{TaskPage, TaskPlace, TaskQuery};
use crate::offers::{OfferedType, OffersQuery};
use crate::reads::{Reads, SMALL_AT_ONCE};
use crate::store::{Backlog, Prepared, Store, TaskRead};
use crate::views::{AttemptSpan, AttemptView, Counts, Overview};
use crate::waiting::{WaitingHead, WaitingPart};
use connections::{Access, SqliteConnections};
use counting::Counting;
use workers::Workers;

/// How many connections read a file at the same time, besides the one for large reads.
const READERS: usize = 2;

/// A store in an SQLite file (WAL, `synchronous = FULL`), or in memory.
#[derive(Debug)]
pub struct SqliteStore {
    place: uri::Place,
    connections: SqliteConnections,
    writer: Arc<Workers>,
    /// Read small tasks and lists; a database in memory belongs to one connection, and the writer reads it.
    readers: Arc<Workers>,
    /// Makes the large reads; for a database in memory it is the writer again.
    large_reader: Arc<Workers>,
    /// Held by the large read that runs: no other read waits behind more than one.
    large_turn: Mutex<()>,
    small_tasks: Reads<Uuid, TaskRead>,
    large_tasks: Reads<Uuid, Arc<Task>>,
    /// Whether nothing has been written yet, or the last write failed.
    is_doubtful: AtomicBool,
    counting: Counting,
    default_timeout: Option<Duration>,
}

impl SqliteStore {
    /// Takes a URI as SQLAlchemy writes it: `sqlite://`, `sqlite:///relative.db`, `sqlite:////absolute.db`.
    /// The file is opened with the first call. With `echo`, statements are logged at debug level.
    ///
    /// # Errors
    /// The message says what is wrong with the URI, or that threads cannot be started.
    pub fn new(uri: &str, echo: bool) -> Result<Self, String> {
        let place = uri::parse(uri)?;
        let connections = SqliteConnections::new(place.clone(), echo);
        let start = |count, access| {
            Workers::start(count, &connections, access).map(Arc::new).map_err(|e| e.to_string())
        };
        let writer = start(1, Access::Write)?;
        let reading = |count| match place.file {
            Some(_) => start(count, Access::Read),
            None => Ok(Arc::clone(&writer)),
        };
        let (readers, large_reader) = (reading(READERS)?, reading(1)?);
        Ok(Self {
            place,
            connections,
            writer,
            readers,
            large_reader,
            large_turn: Mutex::default(),
            small_tasks: Reads::new(SMALL_AT_ONCE),
            large_tasks: Reads::new(1),
            is_doubtful: AtomicBool::new(true),
            counting: Counting::default(),
            default_timeout: None,
        })
    }

    /// Sets how long an attempt may take of a task that does not say. `None`, as it is at first, is for ever.
    #[must_use]
    pub fn with_default_timeout(self, default_timeout: Option<Duration>) -> Self {
        Self { default_timeout, ..self }
    }

    /// The file of the database; `None` where tasks are gone when this is.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.place.file.as_deref()
    }

    /// Runs a read that may take long or bring much: one at a time.
    async fn read_large<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let _turn = self.large_turn.lock().await;
        self.large_reader.run(read).await
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn create_tables(&self) -> Result<Prepared, StoreError> {
        self.writer.run(schema::create).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        // A change that is rolled back never reaches the disk, which may be full or have become read-only.
        let commits = self.is_doubtful.load(Ordering::Relaxed);
        self.writer.run(move |connection| schema::check(connection, commits)).await?;
        self.is_doubtful.store(false, Ordering::Relaxed);
        Ok(())
    }

    async fn drop_tables(&self) -> Result<bool, StoreError> {
        // Opening a file would create it.
        if self.file().is_some_and(|file| file.try_exists().is_ok_and(|exists| !exists)) {
            return Ok(false);
        }
        self.writer.run(schema::drop_tables).await
    }

    async fn apply(&self, batch: Arc<[Command]>, now: Timestamp) -> Result<Applied, StoreError> {
        let (default_timeout, commits) = (self.default_timeout, self.counting.commits());
        let apply = move |connection: &mut Connection| {
            let mut applied = apply::apply(connection, &batch, now, default_timeout)?;
            applied.commit = Some(commits.fetch_add(1, Ordering::SeqCst) + 1);
            Ok(applied)
        };
        let applied = self.writer.run(apply).await;
        if applied.is_err() {
            self.is_doubtful.store(true, Ordering::Relaxed);
        }
        applied
    }

    async fn small_task(&self, id: Uuid) -> Result<Option<TaskRead>, StoreError> {
        let read = |ids: Vec<Uuid>| self.readers.run(move |connection| rows::small_tasks(connection, &ids));
        self.small_tasks.get(id, |ids| Box::pin(read(ids))).await
    }

    async fn large_task(&self, id: Uuid) -> Result<Option<Arc<Task>>, StoreError> {
        let read = |ids: Vec<Uuid>| self.read_large(move |connection| rows::tasks(connection, &ids));
        self.large_tasks.get(id, |ids| Box::pin(read(ids))).await
    }

    async fn attempts(&self, id: Uuid) -> Result<Vec<(EndedAttempt, Option<LateResult>)>, StoreError> {
        self.readers.run(move |connection| Ok(rows::attempts::of_task(connection, id)?)).await
    }

    async fn past(&self, id: Uuid, result_bytes: u32) -> Result<Vec<AttemptView>, StoreError> {
        self.readers.run(move |connection| Ok(views::past(connection, id, result_bytes)?)).await
    }

    async fn attempt_spans(&self, tasks: Arc<[Uuid]>, most: u32) -> Result<Vec<AttemptSpan>, StoreError> {
        self.readers.run(move |connection| Ok(attempt_spans::read(connection, &tasks, most)?)).await
    }

    async fn queue_diagnostics(
        &self,
        task: &Task,
        seen_since: Timestamp,
    ) -> Result<QueueDiagnostics, StoreError> {
        let task = task.clone();
        self.readers.run(move |connection| Ok(queue_diagnostics::of(connection, &task, seen_since)?)).await
    }

    async fn backlog(&self, after: Option<WaitingKind>, limit: u32) -> Result<Backlog, StoreError> {
        self.readers.run(move |connection| Ok(backlog::read(connection, after.as_ref(), limit)?)).await
    }

    async fn backlog_of(&self, kinds: Arc<[KindCursor]>, limit: u32) -> Result<Backlog, StoreError> {
        self.readers.run(move |connection| Ok(backlog::read_of(connection, &kinds, limit)?)).await
    }

    async fn waiting_heads(
        &self,
        after: Option<WaitingHead>,
        seen_since: Timestamp,
        limit: u32,
    ) -> Result<WaitingPart, StoreError> {
        self.read_large(move |connection| Ok(waiting::heads(connection, after.as_ref(), seen_since, limit)?))
            .await
    }

    async fn pauses(&self) -> Result<Pauses, StoreError> {
        self.readers.run(|connection| Ok(pauses::read(connection)?)).await
    }

    async fn list_agents(&self, query: AgentQuery) -> Result<Page<ListedAgent>, StoreError> {
        self.readers.run(move |connection| Ok(fleet::list(connection, &query)?)).await
    }

    async fn list_offers(&self, query: OffersQuery) -> Result<Page<OfferedType>, StoreError> {
        self.readers.run(move |connection| Ok(offers::list(connection, &query)?)).await
    }

    async fn offers_of(
        &self,
        types: Arc<[Capability]>,
        seen_since: Timestamp,
    ) -> Result<Vec<OfferedType>, StoreError> {
        self.readers.run(move |connection| Ok(offers::of_types(connection, &types, seen_since)?)).await
    }

    async fn agent_details(&self, id: Uuid) -> Result<Option<AgentDetails>, StoreError> {
        self.readers.run(move |connection| Ok(fleet::agent(connection, id)?)).await
    }

    async fn counts(&self, seen_since: Timestamp) -> Result<Counts, StoreError> {
        self.read_large(move |connection| Ok(views::counts(connection, seen_since)?)).await
    }

    async fn overview(&self, limit: u32, result_bytes: u32) -> Result<Overview, StoreError> {
        self.read_large(move |connection| Ok(views::overview(connection, limit, result_bytes)?)).await
    }

    async fn list_tasks(&self, query: Arc<TaskQuery>) -> Result<TaskPage, StoreError> {
        self.read_large(move |connection| listing::list(connection, &query)).await
    }

    async fn last_place(&self) -> Result<Option<TaskPlace>, StoreError> {
        self.readers.run(|connection| Ok(listing::last_place(connection)?)).await
    }

    /// Sends no events: no other process is expected on the file.
    async fn listen(&self, events: mpsc::Sender<StoreEvent>) {
        events.closed().await;
    }

    async fn time(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(None)
    }

    fn connections(&self) -> Connections {
        let mut queues = vec![&self.writer];
        if self.place.file.is_some() {
            queues.extend([&self.readers, &self.large_reader]);
        }
        let waiting = queues.into_iter().map(|workers| workers.waiting()).sum();
        Connections { waiting, ..self.connections.look() }
    }

    async fn close(&self) {
        let all = [&self.large_reader, &self.readers, &self.writer].map(Arc::clone);
        let connections = self.connections.clone();
        let close = move || {
            all.iter().for_each(|workers| workers.close());
            connections.close();
        };
        // The panic of a worker has been logged already.
        let _ = tokio::task::spawn_blocking(close).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use slamon_protocol::{JsonText, PostTask};

    use super::*;
    use crate::store::SMALL_TASK;

    const SMALL: Uuid = Uuid::from_u128(9);
    const LARGE: [Uuid; 3] = [Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3)];

    /// A store with tasks, small and large.
    async fn filled(uri: &str) -> SqliteStore {
        let store = SqliteStore::new(uri, false).unwrap();
        store.create_tables().await.unwrap();
        let submit = |id: Uuid, bytes: usize| {
            let body = format!(r#"{{"task_id":"{id}","test_id":"{id}","task_type":"t","task_version":1}}"#);
            let data = JsonText::from_stored(format!("{{\"x\":\"{}\"}}", "x".repeat(bytes)));
            Command::Submit(PostTask { task_data: Some(data), ..PostTask::parse(&body).unwrap() })
        };
        let mut batch = vec![submit(SMALL, 1)];
        batch.extend(LARGE.map(|id| submit(id, 2 * SMALL_TASK)));
        store.apply(batch.into(), Timestamp::UNIX_EPOCH).await.unwrap();
        store
    }

    /// Asks, and does not wait for the answer.
    async fn begin(call: &mut (impl Future + Unpin)) {
        tokio::select! { biased; _ = call => unreachable!("it waits"), () = async {} => {} }
    }

    #[tokio::test]
    async fn small_reads_of_a_file_go_on_while_large_ones_wait() {
        let folder = tempfile::tempdir().unwrap();
        let store = filled(&format!("sqlite:///{}", folder.path().join("afm.db").display())).await;
        let (begun, has_begun) = channel();
        let (go_on, may_go_on) = channel::<()>();
        let mut long = Box::pin(store.read_large(move |_| {
            begun.send(()).unwrap();
            // Until the other end is gone.
            let _ = may_go_on.recv();
            Ok(())
        }));
        begin(&mut long).await;
        has_begun.recv().unwrap();
        // As many as there are other readers.
        let (also_go_on, may_also_go_on) = channel::<()>();
        let mut other = Box::pin(store.read_large(move |_| {
            let _ = may_also_go_on.recv();
            Ok(())
        }));
        begin(&mut other).await;
        let mut large = LARGE.map(|id| Box::pin(store.large_task(id)));
        for read in &mut large {
            begin(read).await;
        }
        let (mut lists, mut counts) =
            (Box::pin(store.overview(9, 9)), Box::pin(store.counts(Timestamp::UNIX_EPOCH)));
        begin(&mut lists).await;
        begin(&mut counts).await;
        for _ in 0..3 {
            let small = tokio::time::timeout(Duration::from_secs(60), store.small_task(SMALL)).await;
            assert!(small.is_ok(), "both readers are taken");
            assert!(matches!(store.small_task(SMALL).await.unwrap(), Some(TaskRead::Small(_))));
            assert!(matches!(store.small_task(LARGE[0]).await.unwrap(), Some(TaskRead::Large { .. })));
            assert!(store.past(SMALL, 9).await.unwrap().is_empty());
            assert_eq!(store.backlog(None, 9).await.unwrap().kinds.len(), 1);
        }
        drop((go_on, also_go_on));
        let [first, second, third] = large;
        let (long, other, counts, lists, first, second, third) =
            tokio::join!(long, other, counts, lists, first, second, third);
        long.and(other).unwrap();
        assert_eq!((counts.unwrap().tasks_waiting, lists.unwrap().waiting.total), (4, 4));
        assert!([first, second, third].iter().all(|read| matches!(read, Ok(Some(_)))));
        store.close().await;
    }

    #[tokio::test]
    async fn a_small_read_in_memory_waits_for_one_large_one_at_most() {
        let store = filled("sqlite://").await;
        let (begun, has_begun) = channel();
        let (go_on, may_go_on) = channel::<()>();
        let mut busy = Box::pin(store.writer.run(move |_| {
            begun.send(()).unwrap();
            let _ = may_go_on.recv();
            Ok(())
        }));
        begin(&mut busy).await;
        has_begun.recv().unwrap();
        let order = std::sync::Mutex::new(Vec::new());
        let noted = |id| order.lock().unwrap().push(id);
        let mut large = LARGE.map(|id| {
            let (store, noted) = (&store, &noted);
            Box::pin(async move {
                assert!(store.large_task(id).await.unwrap().is_some());
                noted(id);
            })
        });
        for read in &mut large {
            begin(read).await;
        }
        let [first, second, third] = large;
        let mut lists = Box::pin(async {
            store.overview(9, 9).await.unwrap();
            noted(Uuid::nil());
        });
        begin(&mut lists).await;
        let mut counts = Box::pin(async {
            store.counts(Timestamp::UNIX_EPOCH).await.unwrap();
            noted(Uuid::nil());
        });
        begin(&mut counts).await;
        let mut small = Box::pin(async {
            assert!(store.small_task(SMALL).await.unwrap().is_some());
            noted(SMALL);
        });
        begin(&mut small).await;
        drop(go_on);
        tokio::join!(busy, small, first, second, third, lists, counts).0.unwrap();
        let order = order.lock().unwrap();
        assert!(order[..2].contains(&SMALL), "{order:?}");
    }
}
