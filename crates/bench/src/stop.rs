//! The wish that a run ends early.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Ends a run early; what was measured by then is reported.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    asked: AtomicBool,
    changed: Notify,
}

impl Stop {
    /// Ends the run.
    pub fn ask(&self) {
        self.0.asked.store(true, Ordering::Relaxed);
        self.0.changed.notify_waiters();
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.0.asked.load(Ordering::Relaxed)
    }

    /// Waits until the run is to end.
    pub(crate) async fn asked(&self) {
        // Listens before it looks, so that nothing comes in between.
        let changed = self.0.changed.notified();
        if !self.is_asked() {
            changed.await;
        }
    }
}
