//! The system's limits on files: how many may be open, and with them connections, and how large they may
//! become.

use std::io;

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

/// One in this many files is kept for the log and the like, [`OTHERS`] of them at most.
const OTHERS_ONE_IN: usize = 8;
const OTHERS: usize = 64;

/// More connections than this help nobody, and would take more memory than most machines have.
const MOST: usize = 65_536;

/// Raises the limit on open files as far as the system allows, and returns the new limit.
pub(crate) fn raise_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(%error, "could not raise the limit on open files");
    }
    let now = getrlimit(Resource::Nofile).current;
    now.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX))
}

/// Makes a write beyond the limit on the size of files (`ulimit -f`) fail like one to a full disk. Without a
/// handler, SIGXFSZ would end the process. Must be called within a runtime.
///
/// # Errors
/// Fails when the system takes no handler.
pub(crate) fn outlive_size_limit() -> io::Result<()> {
    // The handler stays after its stream is dropped.
    signal(SignalKind::from_raw(Signal::XFSZ.as_raw())).map(drop)
}

/// Returns how many connections there may be when `files` may be open and the database needs some of them.
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
