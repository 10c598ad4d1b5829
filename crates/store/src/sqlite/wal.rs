//! The size of the write-ahead log.
//!
//! While somebody reads for long, or a batch is large, the log grows; SQLite then uses its room again, and gives none
//! of it back. Here it is given back, when nothing is written and when there is no end of writing.

use std::fs;
use std::time::Duration;

use rusqlite::Connection;

/// How large the log stays, in bytes: somewhat more than it gets where nobody reads for long, so that it need not grow
/// anew all the time.
pub(super) const KEPT: u64 = 40 * 1_024 * 1_024;

/// How often to look at it.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// How long readers are waited for, and who writes with them.
const PATIENCE: Duration = Duration::from_millis(20);

/// Moves all of a log that is too large into the file, and gives its room back, unless somebody reads it. The
/// connection waits `patience` for locks otherwise.
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
