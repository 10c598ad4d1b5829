//! Sorts SQLite's errors by whether they pass by themselves.

use rusqlite::{Error, ErrorCode, ffi};

use crate::error::{SchemaError, StoreError};

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
            | ErrorCode::OutOfMemory
            | ErrorCode::OperationInterrupted,
        ) => StoreError::Unavailable(error.into()),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => StoreError::ReadOnly(error.into()),
        Some(ErrorCode::Unknown) if text.contains("no such table") => SchemaError::Missing.into(),
        _ => StoreError::Failed(error.into()),
    }
}

/// Whether a connection that gave this error may go on giving it, where a new one would not.
pub(super) fn breaks_connection(error: &StoreError) -> bool {
    let Some(error) = sqlite_error(error) else { return false };
    match error.code {
        // The disk or the quota is full; a new connection has no more room.
        ErrorCode::SystemIoFailure => error.extended_code != ffi::SQLITE_IOERR_WRITE,
        ErrorCode::DatabaseCorrupt
        | ErrorCode::NotADatabase
        | ErrorCode::CannotOpen
        | ErrorCode::ReadOnly => true,
        _ => false,
    }
}

/// The error of SQLite behind an error of the store.
pub(super) fn sqlite_error(error: &StoreError) -> Option<&ffi::Error> {
    let (StoreError::Unavailable(cause) | StoreError::ReadOnly(cause) | StoreError::Failed(cause)) = error
    else {
        return None;
    };
    match cause.downcast_ref::<Error>() {
        Some(Error::SqliteFailure(error, _)) => Some(error),
        _ => None,
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        classify(error)
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::{Error, StoreError, breaks_connection, classify};

    /// No space left (ENOSPC) is `SQLITE_FULL`; too large a file (EFBIG) and a full quota (EDQUOT) are a
    /// failed write.
    #[test]
    fn every_kind_of_full_disk_passes_by_itself_and_keeps_the_connection() {
        for code in [ffi::SQLITE_FULL, ffi::SQLITE_IOERR_WRITE] {
            let error = classify(Error::SqliteFailure(ffi::Error::new(code), None));
            assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
            assert!(!breaks_connection(&error), "{error:?}");
        }
    }
}
