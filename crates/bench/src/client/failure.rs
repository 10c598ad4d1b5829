//! Why a request was not answered.

use std::{fmt, io};

/// Why nothing came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection.
    Connect(io::ErrorKind),
    /// The connection broke.
    Broken(io::ErrorKind),
    /// The server closed the connection instead of answering.
    Closed,
    /// What came is no HTTP.
    NoHttp,
    /// Nothing came in time.
    TimedOut,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(kind) => write!(f, "cannot connect: {kind}"),
            Self::Broken(kind) => write!(f, "connection broke: {kind}"),
            Self::Closed => f.write_str("connection closed without an answer"),
            Self::NoHttp => f.write_str("answer is not HTTP"),
            Self::TimedOut => f.write_str("no answer in time"),
        }
    }
}
