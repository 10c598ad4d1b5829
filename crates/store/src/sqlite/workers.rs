//! Threads that own a connection each and take work from a queue.
//!
//! SQLite blocks while it waits for a disk or a lock, so it never runs on the threads that serve requests.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::connections::{Access, Lender, SqliteConnections, Use};
use super::errors::breaks_connection;
use super::obstacle;
use super::wal;
use crate::error::StoreError;

type Job = Box<dyn FnOnce(Result<&mut Connection, StoreError>) -> Use + Send>;

/// Threads that take jobs from one queue; they end when this is dropped or closed.
#[derive(Debug)]
pub(super) struct Workers {
    queue: Mutex<Option<Sender<Job>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// The file of the database, for error messages.
    file: Option<Arc<Path>>,
}

impl Workers {
    pub(super) fn start(
        count: usize,
        connections: &SqliteConnections,
        access: Access,
    ) -> std::io::Result<Self> {
        let (queue, jobs) = crossbeam_channel::unbounded();
        let start = |n: usize| {
            let (jobs, connection): (Receiver<Job>, _) = (jobs.clone(), connections.add(access));
            std::thread::Builder::new()
                .name(format!("sqlite-{}{n}", if access == Access::Write { "write" } else { "read" }))
                .spawn(move || work(&jobs, &connection, access))
        };
        let threads = (0..count).map(start).collect::<Result<_, _>>()?;
        let file = connections.file().map(Arc::from);
        Ok(Self { queue: Mutex::new(Some(queue)), threads: Mutex::new(threads), file })
    }

    /// Has a worker run `job`. Once begun it runs to its end, even when nobody waits for it any more; when
    /// nobody does before it has begun, it is left out.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let file = self.file.clone();
        let job: Job = Box::new(move |connection| {
            // Nobody has been answered, so nobody misses the job.
            if answer.is_closed() {
                return Use::Keep;
            }
            // A job that panics must not take its thread along: its transaction is rolled back as it unwinds.
            let done = catch_unwind(AssertUnwindSafe(|| connection.and_then(job)));
            let panicked = |_| Err(StoreError::Failed(anyhow::anyhow!("a call of the store panicked")));
            let done = done.unwrap_or_else(panicked);
            let next = if done.as_ref().is_err_and(breaks_connection) { Use::Drop } else { Use::Keep };
            let done = done.map_err(|error| match &file {
                Some(file) => obstacle::explain(error, file),
                None => error,
            });
            // Nobody may be waiting for the answer any more.
            let _ = answer.send(done);
            next
        });
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sent = queue.is_some_and(|queue| queue.send(job).is_ok());
        let gone = || StoreError::Unavailable(anyhow::anyhow!("the store is closed"));
        if !sent {
            return Err(gone());
        }
        answered.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Returns how many jobs wait for a worker.
    pub(super) fn waiting(&self) -> usize {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map_or(0, Sender::len)
    }

    /// Lets the workers finish what is queued, and waits for them.
    pub(super) fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // The panic of a worker has been logged already.
            let _ = thread.join();
        }
    }
}

/// Runs jobs until no more can be queued. The thread that writes checks the size of the log, busy or not.
fn work(jobs: &Receiver<Job>, connection: &Lender, access: Access) {
    let mut looked_at = Instant::now();
    loop {
        match jobs.recv_timeout(wal::LOOK_AGAIN) {
            Ok(job) => connection.lend(job),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if access == Access::Write && looked_at.elapsed() >= wal::LOOK_AGAIN {
            connection.shrink_log();
            looked_at = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::mpsc::channel;

    use rusqlite::ErrorCode;
    use rusqlite::ffi;

    use super::super::uri::Place;
    use super::*;

    fn one(file: Option<PathBuf>) -> Workers {
        let connections = SqliteConnections::new(Place { file, busy_timeout: None }, false);
        Workers::start(1, &connections, Access::Write).unwrap()
    }

    async fn run(workers: &Workers, sql: &'static str) -> Result<(), StoreError> {
        workers.run(|connection| Ok(connection.execute_batch(sql)?)).await
    }

    async fn fail_with(workers: &Workers, code: ErrorCode, extended_code: i32) -> StoreError {
        let error = ffi::Error { code, extended_code };
        let failing = workers.run(move |_| -> Result<(), StoreError> {
            Err(rusqlite::Error::SqliteFailure(error, None).into())
        });
        failing.await.unwrap_err()
    }

    #[tokio::test]
    async fn a_panic_ends_its_call_and_nothing_else() {
        let workers = one(None);
        run(&workers, "create table t (n)").await.unwrap();
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
    #[tokio::test]
    async fn a_connection_that_failed_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let workers = one(Some(folder.path().join("afm.db")));
        for (code, extended, reopened) in [
            (ErrorCode::SystemIoFailure, ffi::SQLITE_IOERR, true),
            (ErrorCode::DatabaseCorrupt, ffi::SQLITE_CORRUPT, true),
            (ErrorCode::NotADatabase, ffi::SQLITE_NOTADB, true),
            (ErrorCode::CannotOpen, ffi::SQLITE_CANTOPEN, true),
            (ErrorCode::ReadOnly, ffi::SQLITE_READONLY, true),
            (ErrorCode::DatabaseBusy, ffi::SQLITE_BUSY, false),
            (ErrorCode::SystemIoFailure, ffi::SQLITE_IOERR_WRITE, false),
            (ErrorCode::DiskFull, ffi::SQLITE_FULL, false),
        ] {
            // Such a table is its connection's own.
            run(&workers, "create temporary table mark (n)").await.unwrap();
            fail_with(&workers, code, extended).await;
            let there = run(&workers, "drop table mark").await.is_ok();
            assert_eq!(there, !reopened, "{code:?}");
        }
    }

    #[tokio::test]
    async fn a_database_in_memory_outlives_a_failure() {
        let workers = one(None);
        run(&workers, "create table mark (n)").await.unwrap();
        fail_with(&workers, ErrorCode::SystemIoFailure, ffi::SQLITE_IOERR).await;
        run(&workers, "drop table mark").await.unwrap();
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_is_not_begun() {
        let workers = one(None);
        let (begun, has_begun) = channel();
        let (go_on, may_go_on) = channel::<()>();
        let first = workers.run(move |_| {
            begun.send(()).unwrap();
            // Until the other end is gone.
            let _ = may_go_on.recv();
            Ok(())
        });
        let given_up = async {
            let mut late = Box::pin(run(&workers, "create table late (n)"));
            // Polled once, it is in the queue.
            tokio::select! { biased; _ = &mut late => unreachable!(), () = async {} => {} }
            has_begun.recv().unwrap();
            drop(late);
            drop(go_on);
        };
        let (done, ()) = tokio::join!(first, given_up);
        done.unwrap();
        assert!(run(&workers, "drop table late").await.is_err(), "it was never made");
    }
}
