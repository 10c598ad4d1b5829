//! How soon a client may ask again that was turned away.
//!
//! Turning a request away takes nearly as long as answering it. Clients that came back at once would have a server that
//! has too much to do spend its time on telling them so, and on little else. So the next post on a connection is served
//! only when the time has passed that the last answer on it named. Nothing but posts is turned away, or waits for it:
//! behind a proxy, others share the connection.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{Method, Request};
use axum::response::Response;
use hyper::service::Service;
use tokio::time::Instant;

/// What `Retry-After` says, in seconds.
pub(crate) const SECONDS: &str = "1";

/// The same.
const TIME: Duration = Duration::from_secs(1);

/// Marks the answer to a request that was turned away because there are too many.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TurnedAway;

/// One connection, as the posts on it carry it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pacing {
    /// When it is served again.
    again: Arc<Mutex<Option<Instant>>>,
}

impl Pacing {
    /// Waits until it may be served.
    pub(crate) async fn turn(&self) {
        let again = *self.again();
        if let Some(again) = again {
            tokio::time::sleep_until(again).await;
            *self.again() = None;
        }
    }

    /// What it is answered.
    pub(crate) fn answered(&self, response: &Response) {
        if response.extensions().get::<TurnedAway>().is_some() {
            *self.again() = Some(Instant::now() + TIME);
        }
    }

    fn again(&self) -> MutexGuard<'_, Option<Instant>> {
        self.again.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has the posts on one connection carry it.
#[derive(Debug)]
pub(crate) struct PacedService<S> {
    pub(crate) service: S,
    pub(crate) connection: Pacing,
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for PacedService<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, mut request: Request<B>) -> S::Future {
        if request.method() == Method::POST {
            request.extensions_mut().insert(self.connection.clone());
        }
        self.service.call(request)
    }
}
