//! The changes that wait to be published to other AFMs.

use std::sync::Arc;

use slamon_domain::Transition;
use slamon_store::Published;
use tokio::time::Instant;

/// This many changes may wait. If there are more, other AFMs are told that they have missed some.
const MOST: usize = 5_000;

/// The changes that wait to be published, while another AFM has asked for them.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    open_until: Option<Instant>,
    changes: Vec<Arc<Transition>>,
    is_overfull: bool,
}

impl Outbox {
    pub(super) fn open_until(&mut self, time: Instant) {
        self.open_until = Some(time);
    }

    pub(super) fn is_open(&self, now: Instant) -> bool {
        self.open_until.is_some_and(|until| now < until)
    }

    pub(super) fn add(&mut self, changes: &[Arc<Transition>], now: Instant) {
        if !self.is_open(now) {
            return;
        }
        self.changes.extend(changes.iter().take(MOST.saturating_sub(self.changes.len())).cloned());
        self.is_overfull |= self.changes.len() == MOST;
    }

    /// Takes what is to be published, if anything is.
    pub(super) fn take(&mut self, now: Instant) -> Option<Published> {
        let changes = std::mem::take(&mut self.changes);
        let is_overfull = std::mem::take(&mut self.is_overfull);
        if !self.is_open(now) || changes.is_empty() {
            return None;
        }
        Some(if is_overfull { Published::ChangesMissed } else { Published::Changed(changes) })
    }
}
