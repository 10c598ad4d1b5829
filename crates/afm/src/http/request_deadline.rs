//! The time limit of a request: REQUEST_TIMEOUT, and the time that it asks to be held open.

use std::pin::Pin;
use std::time::Duration;

use crate::http::error::ApiError;

/// Returns what `work` gives, if that takes no longer than `allowed`. A handler waits for everything in here.
///
/// A request that takes too long is dropped. Tasks that were claimed for it wait again. A task or result that
/// it brought may still be stored; sent again, it is recognised.
///
/// # Errors
/// Fails when the time is over.
pub(crate) async fn within<T>(
    allowed: Duration,
    work: Pin<&mut impl Future<Output = T>>,
) -> Result<T, ApiError> {
    let done = tokio::time::timeout(allowed, work).await;
    done.map_err(|_| ApiError::TryAgain("the request took too long".to_owned()))
}
