//! Which of SQLite's errors pass by themselves.

use rusqlite::{Error, ErrorCode};

use crate::{SchemaError, StoreError};

pub(super) fn classify(error: Error) -> StoreError {
    let code = error.sqlite_error_code();
    let text = error.to_string();
    match code {
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::DiskFull
            | ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::ReadOnly
            | ErrorCode::PermissionDenied
            | ErrorCode::OutOfMemory
            | ErrorCode::OperationInterrupted,
        ) => StoreError::Unavailable(error.into()),
        Some(ErrorCode::Unknown) if text.contains("no such table") => SchemaError::Missing.into(),
        _ => StoreError::Failed(error.into()),
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        classify(error)
    }
}
