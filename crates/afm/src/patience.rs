//! How long a request may take: REQUEST_TIMEOUT, and what it asks to wait for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::error::ApiError;

/// Lets the handler of a request extend the time it has. In the request's extensions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Patience(Arc<AtomicU64>);

impl Patience {
    /// The request asked to wait: it may take this much longer.
    pub(crate) fn extend(&self, time: Duration) {
        self.0.fetch_add(time.as_millis() as u64, Ordering::Relaxed);
    }

    fn take(&self) -> Duration {
        Duration::from_millis(self.0.swap(0, Ordering::Relaxed))
    }
}

/// A request that takes too long is dropped. Tasks claimed for it wait again; a task or result that it brought may
/// still be stored, and is then known when it is sent again.
pub(crate) async fn limit(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let patience = Patience::default();
    request.extensions_mut().insert(patience.clone());
    let mut answer = Box::pin(next.run(request));
    let mut allowed = app.settings.request_timeout;
    loop {
        match tokio::time::timeout(allowed, &mut answer).await {
            Ok(response) => return response,
            Err(_) => allowed = patience.take(),
        }
        if allowed.is_zero() {
            return ApiError::TryAgain("the request took too long".to_owned()).into_response();
        }
    }
}
