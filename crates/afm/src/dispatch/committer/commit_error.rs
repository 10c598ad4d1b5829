//! Why a command is not applied.

/// Why a command was not applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// Too many wait already.
    #[error("too many requests are waiting")]
    Busy,
    /// Somebody else keeps a row locked that it needs.
    #[error("another session of the database has locked what the request is about")]
    Locked,
    /// The database is away; why has been logged.
    #[error("the database is not available")]
    Unavailable,
    /// The database would not have it; why has been logged.
    #[error("the database refused")]
    Failed,
}
