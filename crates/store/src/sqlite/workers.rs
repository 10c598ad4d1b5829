//! Threads that own a connection each and take work from a queue.
//!
//! SQLite blocks while it waits for a disk or a lock, so it never runs on the threads that serve requests.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::trace::{TraceEvent, TraceEventCodes};
use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;

use super::errors::classify;
use super::uri::Place;
use crate::StoreError;

/// How long to wait for the lock of another process, unless the URI says.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

type Job = Box<dyn FnOnce(Result<&mut Connection, StoreError>) + Send>;

/// What the connections of a set of workers may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Write,
    Read,
}

/// Threads that take jobs from one queue; they end when this is dropped or closed.
#[derive(Debug)]
pub(super) struct Workers {
    queue: Mutex<Option<Sender<Job>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Workers {
    pub(super) fn start(count: usize, place: &Place, access: Access, echo: bool) -> std::io::Result<Self> {
        let (queue, jobs) = mpsc::channel();
        let jobs = Arc::new(Mutex::new(jobs));
        let start = |n: usize| {
            let (jobs, place) = (Arc::clone(&jobs), place.clone());
            std::thread::Builder::new()
                .name(format!("sqlite-{}{n}", if access == Access::Write { "write" } else { "read" }))
                .spawn(move || work(&jobs, &place, access, echo))
        };
        let threads = (0..count).map(start).collect::<Result<_, _>>()?;
        Ok(Self { queue: Mutex::new(Some(queue)), threads: Mutex::new(threads) })
    }

    /// Has a worker run `job`; once begun it runs to its end, also when nobody waits for it any more.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            // A job that panics must not take its thread along: its transaction is rolled back as it unwinds.
            let done = catch_unwind(AssertUnwindSafe(|| connection.and_then(job)));
            let panicked = |_| Err(StoreError::Failed(anyhow::anyhow!("a call of the store panicked")));
            // Nobody may be waiting any more.
            let _ = answer.send(done.unwrap_or_else(panicked));
        });
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sent = queue.is_some_and(|queue| queue.send(job).is_ok());
        let gone = || StoreError::Unavailable(anyhow::anyhow!("the store is closed"));
        if !sent {
            return Err(gone());
        }
        answered.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Lets the workers finish what is queued and waits for them.
    pub(super) fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // A worker that panicked has said so already.
            let _ = thread.join();
        }
    }
}

fn work(jobs: &Mutex<Receiver<Job>>, place: &Place, access: Access, echo: bool) {
    let mut connection: Option<Connection> = None;
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { break };
        // Opened with the first job and again after a failure: the file may be locked or its disk away now.
        let opened = match &mut connection {
            Some(connection) => Ok(connection),
            None => open(place, access, echo).map(|opened| connection.insert(opened)).map_err(classify),
        };
        job(opened);
    }
}

fn open(place: &Place, access: Access, echo: bool) -> rusqlite::Result<Connection> {
    let mut connection = match &place.file {
        None => Connection::open_in_memory()?,
        Some(file) => Connection::open_with_flags(
            file,
            OpenFlags::SQLITE_OPEN_READ_WRITE
                | OpenFlags::SQLITE_OPEN_CREATE
                | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?,
    };
    let patience = place.busy_timeout.unwrap_or(BUSY_TIMEOUT);
    connection.busy_timeout(patience)?;
    connection.set_prepared_statement_cache_capacity(64);
    if access == Access::Write {
        // FULL: what has been answered is on the disk, whatever happens to the machine.
        use_wal(&connection, patience)?;
        connection.execute_batch("pragma synchronous = full")?;
    } else {
        connection.pragma_update(None, "query_only", true)?;
    }
    if echo {
        connection.trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(log_statement))?;
    }
    Ok(connection)
}

/// SQLite waits for no lock when it changes the journal, so two that open a new file at once would fail.
fn use_wal(connection: &Connection, patience: Duration) -> rusqlite::Result<()> {
    let give_up = Instant::now() + patience;
    loop {
        match connection.execute_batch("pragma journal_mode = wal") {
            Err(error) if is_busy(&error) && Instant::now() < give_up => {
                std::thread::sleep(Duration::from_millis(5));
            }
            done => return done,
        }
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)
}

fn log_statement(event: TraceEvent<'_>) {
    if let TraceEvent::Stmt(statement, _) = event {
        tracing::debug!(target: "slamon_store::sql", sql = %statement.sql());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_its_call_and_nothing_else() {
        let place = Place { file: None, busy_timeout: None };
        let workers = Workers::start(1, &place, Access::Write, false).unwrap();
        workers.run(|connection| Ok(connection.execute_batch("create table t (n)")?)).await.unwrap();
        let panicked = workers.run(|connection| -> Result<(), StoreError> {
            let transaction = connection.transaction()?;
            transaction.execute_batch("insert into t values (1)")?;
            panic!("on purpose")
        });
        assert!(matches!(panicked.await, Err(StoreError::Failed(_))));
        let count = workers.run(|connection| {
            Ok(connection.query_row("select count(*) from t", [], |row| row.get::<_, i64>(0))?)
        });
        assert_eq!(count.await.unwrap(), 0, "rolled back, and the database is still there");
    }
}
