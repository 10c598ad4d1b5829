//! The connections to one database: opened when they are needed, and again after a failure.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::trace::{TraceEvent, TraceEventCodes};
use rusqlite::{Connection, OpenFlags, ffi};

use super::errors::classify;
use super::uri::Place;
use super::wal;
use crate::connections::Connections;
use crate::error::StoreError;

/// How long to wait for the lock of another process, unless the URI says.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The settings of the connection that writes. With FULL, what has been answered is on the disk, whatever
/// happens to the machine.
///
/// Pages are moved from the log into the file once there are 8,000 of them (32 MiB): the ends of tables and
/// indexes, which every batch changes, then move once instead of eight times. The cache, 64 MiB, holds the
/// inner pages of the indexes of ten million tasks, so that a random id costs one read and not four.
const WRITER: &str =
    "pragma synchronous = full; pragma wal_autocheckpoint = 8000; pragma cache_size = -65536";

/// What a connection may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Write,
    Read,
}

/// What becomes of a connection after a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Keep,
    /// It is closed, since it may fail for ever where a new one would not.
    Drop,
}

/// All connections of a store.
#[derive(Debug, Clone)]
pub(super) struct SqliteConnections(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    place: Place,
    echo: bool,
    /// Whether the file has been opened: from then on, one that is gone is not made anew.
    was_there: AtomicBool,
    slots: Mutex<Vec<Slot>>,
}

type Slot = Arc<Mutex<Option<Open>>>;

#[derive(Debug)]
struct Open {
    connection: Connection,
    file: Option<FileId>,
}

/// The device and the inode of a file.
type FileId = (u64, u64);

/// Lends one of the connections, which it opens when it is needed.
#[derive(Debug)]
pub(super) struct Lender {
    all: SqliteConnections,
    access: Access,
    slot: Slot,
}

impl Place {
    /// How long to wait for the lock of another process.
    fn patience(&self) -> Duration {
        self.busy_timeout.unwrap_or(BUSY_TIMEOUT)
    }
}

impl SqliteConnections {
    pub(super) fn new(place: Place, echo: bool) -> Self {
        let was_there = AtomicBool::new(false);
        Self(Arc::new(Inner { place, echo, was_there, slots: Mutex::default() }))
    }

    pub(super) fn file(&self) -> Option<&Path> {
        self.0.place.file.as_deref()
    }

    pub(super) fn add(&self, access: Access) -> Lender {
        let slot = Slot::default();
        lock(&self.0.slots).push(Arc::clone(&slot));
        Lender { all: self.clone(), access, slot }
    }

    /// Says how the connections are used, without the calls that wait.
    pub(super) fn look(&self) -> Connections {
        let slots = lock(&self.0.slots);
        let mut found = Connections { most: slots.len(), ..Connections::default() };
        for slot in &*slots {
            match slot.try_lock() {
                Err(TryLockError::WouldBlock) => found.used += 1,
                Ok(slot) => found.idle += usize::from(slot.is_some()),
                Err(TryLockError::Poisoned(slot)) => found.idle += usize::from(slot.into_inner().is_some()),
            }
        }
        found
    }

    /// Closes all connections. They are opened again where they are needed.
    pub(super) fn close(&self) {
        for slot in &*lock(&self.0.slots) {
            *lock(slot) = None;
        }
    }

    /// Closes all connections at once, after the write-ahead log was moved into the file that they have open:
    /// the log is found by its name, and another file that has the name by now must not be given it.
    fn close_all(&self) -> rusqlite::Result<()> {
        let slots = lock(&self.0.slots);
        let mut slots: Vec<_> = slots.iter().map(|slot| lock(slot)).collect();
        if let Some(open) = slots.iter().find_map(|slot| slot.as_ref()) {
            let busy: bool =
                open.connection.query_row("pragma wal_checkpoint(truncate)", [], |row| row.get(0))?;
            if busy {
                return Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_BUSY), None));
            }
        }
        for slot in &mut slots {
            **slot = None;
        }
        Ok(())
    }

    fn open(&self, access: Access) -> Result<Open, StoreError> {
        let Inner { place, echo, was_there, .. } = &*self.0;
        let connection = open(place, access, *echo, !was_there.load(Ordering::Relaxed)).map_err(classify)?;
        was_there.store(true, Ordering::Relaxed);
        Ok(Open { connection, file: place.file.as_deref().and_then(file_id) })
    }
}

impl Lender {
    /// Runs `job` with the connection, or with the error of opening it.
    pub(super) fn lend(&self, job: impl FnOnce(Result<&mut Connection, StoreError>) -> Use) {
        if self.has_moved() {
            tracing::warn!("the database file was replaced or removed while it was open: opening it again");
            if let Err(error) = self.all.close_all() {
                job(Err(classify(error)));
                return;
            }
        }
        let mut slot = lock(&self.slot);
        let slot = &mut *slot;
        // It is opened with the first job, and again after a failure: the file may be locked or its disk away
        // now.
        let opened = match slot {
            Some(open) => Ok(&mut open.connection),
            None => self.all.open(self.access).map(|open| &mut slot.insert(open).connection),
        };
        // A database in memory ends with its connection.
        if job(opened) == Use::Drop && self.all.0.place.file.is_some() {
            *slot = None;
        }
    }

    /// Gives back to the disk what the write-ahead log takes beyond its usual size.
    pub(super) fn shrink_log(&self) {
        let patience = self.all.0.place.patience();
        if let Some(open) = &*lock(&self.slot)
            && let Err(error) = wal::shrink(&open.connection, patience)
        {
            // The next try may succeed, and whoever writes reports what is wrong.
            tracing::debug!(%error, "could not shrink the write-ahead log");
        }
    }

    /// Whether the name of the file stands for another file than the one that is open, or for none.
    ///
    /// SQLite does not look, so an operator would lose data and not hear of it. After the file was removed,
    /// everything would be answered as if it were kept, until the last connection is closed. A backup that is
    /// moved to the name of the file would be overwritten: SQLite finds the write-ahead log by its name, and
    /// takes what the log of the old file holds for pages of the new one.
    fn has_moved(&self) -> bool {
        let Some(path) = &self.all.0.place.file else { return false };
        let opened = lock(&self.slot).as_ref().and_then(|open| open.file);
        opened.is_some() && opened != file_id(path)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(unix)]
fn file_id(path: &Path) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn file_id(_: &Path) -> Option<FileId> {
    None
}

fn open(place: &Place, access: Access, echo: bool, create: bool) -> rusqlite::Result<Connection> {
    let mut connection = match &place.file {
        None => Connection::open_in_memory()?,
        Some(file) => Connection::open_with_flags(
            file,
            OpenFlags::SQLITE_OPEN_READ_WRITE
                | OpenFlags::SQLITE_OPEN_NO_MUTEX
                | if create { OpenFlags::SQLITE_OPEN_CREATE } else { OpenFlags::empty() },
        )?,
    };
    let patience = place.patience();
    connection.busy_timeout(patience)?;
    connection.set_prepared_statement_cache_capacity(64);
    // Without this, SQLite prepares a statement whose LIMIT is a parameter anew each time it runs.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    if access == Access::Write {
        use_wal(&connection, patience)?;
        connection.execute_batch(WRITER)?;
        connection.pragma_update(None, "journal_size_limit", wal::KEPT)?;
    } else {
        connection.pragma_update(None, "query_only", true)?;
    }
    if echo {
        connection.trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(log_statement))?;
    }
    Ok(connection)
}

/// Turns on the write-ahead log. SQLite waits for no lock when it changes the journal, so two programs that
/// open a new file at once would fail.
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
