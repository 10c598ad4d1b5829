//! Counts the requests that are being answered.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};

use super::PATIENCE;

#[derive(Clone, Default)]
pub(crate) struct RunningRequests(Arc<(Mutex<usize>, Condvar)>);

impl RunningRequests {
    /// Counts the requests to `router`, also those that are dropped before they are answered.
    pub(super) fn count(&self, router: Router) -> Router {
        let running = self.clone();
        router.layer(middleware::from_fn(move |request: Request, next: Next| {
            let running = running.clone();
            async move {
                let _counted = Counted::new(running);
                next.run(request).await
            }
        }))
    }

    /// Waits until `wanted` requests are being answered.
    #[track_caller]
    pub(crate) fn wait_for(&self, wanted: usize) {
        let (number, changed) = &*self.0;
        let number = number.lock().unwrap_or_else(PoisonError::into_inner);
        let (number, timeout) = changed
            .wait_timeout_while(number, PATIENCE, |number| *number != wanted)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "{} requests run, not {wanted}", *number);
    }

    fn change(&self, change: impl FnOnce(&mut usize)) {
        let (number, changed) = &*self.0;
        change(&mut number.lock().unwrap_or_else(PoisonError::into_inner));
        changed.notify_all();
    }
}

struct Counted(RunningRequests);

impl Counted {
    fn new(running: RunningRequests) -> Self {
        running.change(|number| *number += 1);
        Self(running)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.change(|number| *number -= 1);
    }
}
