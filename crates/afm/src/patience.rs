//! How long a request may take: REQUEST_TIMEOUT, and what it asks to wait for.

use std::cell::Cell;
use std::pin::Pin;
use std::time::Duration;

use axum::response::{IntoResponse, Response};

use crate::error::ApiError;
use crate::peer;

tokio::task_local! {
    /// How much longer the request may take that this task is answering.
    static MORE: Cell<Duration>;
}

/// The request that is being answered asks to wait: how long it may, and may take longer. Where too many wait already, it
/// is answered at once: those who do not wait must find room.
pub(crate) fn hold(time: Duration) -> Duration {
    if time.is_zero() || peer::current(|peer| peer.hold()) == Some(false) {
        return Duration::ZERO;
    }
    // Outside of a request nobody is impatient.
    let _ = MORE.try_with(|more| more.set(more.get() + time));
    time
}

/// A request that takes too long is dropped. Tasks claimed for it wait again; a task or result that it brought may
/// still be stored, and is then known when it is sent again.
pub(crate) async fn limit(
    mut allowed: Duration,
    mut answer: Pin<&mut impl Future<Output = Response>>,
) -> Response {
    let answered = async {
        while !allowed.is_zero() {
            match tokio::time::timeout(allowed, answer.as_mut()).await {
                Ok(response) => return response,
                Err(_) => allowed = MORE.with(Cell::take),
            }
        }
        ApiError::TryAgain("the request took too long".to_owned()).into_response()
    };
    MORE.scope(Cell::default(), answered).await
}
