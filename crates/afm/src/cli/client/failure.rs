//! How commands end: the exit status, and why.

use std::io;
use std::process::ExitCode;

use slamon_client::ClientError;

/// What `--help` says of the exit status.
pub(super) const EXIT_STATUS: &str = "\
Exit status:
  0  done; a task that was asked for has completed, or goes on and was not waited for
  1  the task has failed (or was lost, cancelled, or has expired), or the answer could not be written
  2  the arguments are wrong, or a file they name; nothing was sent
  3  there is no such task, agent or test, or the AFM refuses
  4  the AFM is away, or cannot do it now
  5  the task has not ended in time; it goes on";

/// How a command has ended that could do what it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ending {
    /// All is done, and no task has failed.
    Done,
    /// A task has not ended in time.
    NotEnded,
    /// A task has ended without a result.
    TaskFailed,
    /// The AFM has refused a part of what it was asked for.
    Refused,
    /// The AFM was away, or too busy, for a part of it.
    Away,
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        Self::from(match ending {
            Ending::Done => 0,
            Ending::TaskFailed => 1,
            Ending::Refused => 3,
            Ending::Away => 4,
            Ending::NotEnded => 5,
        })
    }
}

impl Ending {
    /// How something ended that the AFM has answered with a status.
    pub(super) fn of_status(status: u16) -> Self {
        match status {
            200..300 => Self::Done,
            429 | 500.. => Self::Away,
            _ => Self::Refused,
        }
    }
}

/// Why a command could not do what it was told.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The arguments are wrong.
    #[error("{0}")]
    Arguments(String),
    /// The AFM has not done it.
    #[error(transparent)]
    Afm(#[from] ClientError),
    /// The answer could not be written.
    #[error("could not write the answer: {0}")]
    Writing(io::Error),
    /// Nobody reads on, as with `| head`.
    #[error("nobody reads the answer")]
    Closed,
}

impl Failure {
    pub(super) fn of_writing(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Writing(error),
        }
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Closed => 0,
            Self::Writing(_) => 1,
            Self::Arguments(_) => 2,
            Self::Afm(error) => match error {
                ClientError::Connect(_) | ClientError::Unwritable(_) | ClientError::Unaddressable(_) => 2,
                ClientError::NotFound(_) | ClientError::Refused { .. } => 3,
                ClientError::NotEnded(_) => 5,
                _ => 4,
            },
        })
    }
}
