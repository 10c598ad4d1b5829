//! Times as PostgreSQL's settings take them.

use std::time::Duration;

/// How long a statement waits for a lock, unless its transaction says otherwise: longer than a commit takes.
/// So what most transactions need costs them no statement.
pub(super) const LOCK_WAIT: Duration = Duration::from_millis(100);

/// A time in whole milliseconds, of which the settings of PostgreSQL take at least one and at most
/// `i32::MAX`.
pub(super) fn milliseconds(time: Duration) -> u128 {
    time.as_millis().clamp(1, i32::MAX as u128)
}
