//! Throttles clients that were turned away because too many commands wait.
//!
//! Turning a request away takes nearly as long as answering it. If clients came back at once, an overloaded
//! server would do little else. So the next post on a connection is served only after the time that the last
//! answer on it named. Only posts are turned away and only posts wait: behind a proxy, others share the
//! connection.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{Method, Request};
use axum::response::Response;
use hyper::service::Service;
use tokio::time::Instant;

/// The value of `Retry-After`, in seconds.
pub(crate) const SECONDS: &str = "1";

/// The time that `Retry-After` names.
const TIME: Duration = Duration::from_secs(1);

/// Marks the answer to a request that was turned away because too many commands wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TurnedAway;

/// When the next post on a connection is served; all posts on it share this.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pacing {
    /// The time until which posts wait, if they must.
    again: Arc<Mutex<Option<Instant>>>,
}

impl Pacing {
    /// Waits until the next post may be served.
    pub(crate) async fn wait(&self) {
        let again = *self.again();
        if let Some(again) = again {
            tokio::time::sleep_until(again).await;
            *self.again() = None;
        }
    }

    /// Notes an answer: if it turned its request away, the next post waits.
    pub(crate) fn answered(&self, response: &Response) {
        if response.extensions().get::<TurnedAway>().is_some() {
            *self.again() = Some(Instant::now() + TIME);
        }
    }

    fn again(&self) -> MutexGuard<'_, Option<Instant>> {
        self.again.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives each post on a connection the [`Pacing`] of that connection.
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
