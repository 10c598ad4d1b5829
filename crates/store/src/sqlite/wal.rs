//! Keeps the write-ahead log small.
//!
//! The log grows while a transaction reads for long, or a batch is large; SQLite then uses its room again,
//! and gives none of it back. Here it is given back, when nothing is written and when writing does not end.

use std::fs;
use std::time::Duration;

use rusqlite::Connection;

/// How large the log may stay, in bytes: somewhat more than it gets where no transaction reads for long, so
/// that it need not grow anew all the time.
pub(super) const KEPT: u64 = 40 * 1_024 * 1_024;

/// How often its size is checked.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// How long readers are waited for, and with them all commands that write.
const PATIENCE: Duration = Duration::from_millis(20);

/// Moves a log that is too large into the file and gives its room back, unless a transaction reads it. Apart
/// from this the connection waits `patience` for locks.
pub(super) fn shrink(connection: &Connection, patience: Duration) -> rusqlite::Result<()> {
    let Some(file) = connection.path().filter(|path| !path.is_empty()) else { return Ok(()) };
    let size = fs::metadata(format!("{file}-wal")).map_or(0, |metadata| metadata.len());
    if size <= KEPT {
        return Ok(());
    }
    connection.busy_timeout(PATIENCE)?;
    let is_busy = connection.query_row("pragma wal_checkpoint(truncate)", [], |row| row.get::<_, bool>(0));
    connection.busy_timeout(patience)?;
    tracing::debug!(size, is_busy = is_busy?, "tried to shrink the write-ahead log");
    Ok(())
}
