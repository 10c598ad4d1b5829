//! How long a request may take: REQUEST_TIMEOUT, and what it asks to wait for.

use std::pin::Pin;
use std::time::Duration;

use crate::http::error::ApiError;

/// What `work` gives, if that takes no longer than `allowed`. All that a handler waits for, it waits for in here.
///
/// A request that takes too long is dropped. Tasks claimed for it wait again; a task or result that it brought may
/// still be stored, and is then known when it is sent again.
///
/// # Errors
/// When the time is over.
pub(crate) async fn within<T>(
    allowed: Duration,
    work: Pin<&mut impl Future<Output = T>>,
) -> Result<T, ApiError> {
    let done = tokio::time::timeout(allowed, work).await;
    done.map_err(|_| ApiError::TryAgain("the request took too long".to_owned()))
}
