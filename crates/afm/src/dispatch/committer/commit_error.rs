//! The error of a command that was not applied.

/// Why a command was not applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// Too many commands are waiting already.
    #[error("too many requests are waiting")]
    Busy,
    /// Another session of the database keeps a row locked that the command needs.
    #[error("another session of the database has locked what the request is about")]
    Locked,
    /// The database is away; the reason has been logged.
    #[error("the database is not available")]
    Unavailable,
    /// The database has refused the command; the reason has been logged.
    #[error("the database refused")]
    Failed,
}
