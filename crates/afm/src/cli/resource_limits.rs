//! What the system grants of files: how many, and so connections, may be open, and how large they may become.

use std::io;

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

/// What is left, of how many files one, for the database, the log and the like; at least [`OTHERS`].
const OTHERS_ONE_IN: usize = 8;
const OTHERS: usize = 64;

/// More connections than this are of no use to anybody, and take more memory than most machines have.
const MOST: usize = 65_536;

/// Raises the limit on open files as far as it may be; gives what it is then.
pub(crate) fn raise_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(%error, "the limit on open files cannot be raised");
    }
    let now = getrlimit(Resource::Nofile).current;
    now.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX))
}

/// Has a write beyond the limit on the size of files (`ulimit -f`) fail like one to a full disk. SIGXFSZ, which comes with it,
/// ends a process that does not handle it. To be called within a runtime.
///
/// # Errors
/// When the system takes no handler.
pub(crate) fn outlive_size_limit() -> io::Result<()> {
    // The handler stays when what it would tell is dropped.
    signal(SignalKind::from_raw(Signal::XFSZ.as_raw())).map(drop)
}

/// How many connections there may be with so many files, if the database takes some.
pub(crate) fn connections(files: usize, database: usize) -> usize {
    let others = (files / OTHERS_ONE_IN).min(OTHERS) + database;
    files.saturating_sub(others).clamp(16, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_files_are_left_for_others() {
        for (files, connections) in [(20, 16), (256, 219), (1_024, 955), (20_000, 19_931), (usize::MAX, MOST)]
        {
            assert_eq!(super::connections(files, 5), connections, "{files}");
        }
    }
}
