//! State that all connections of one AFM share, from batch to batch. All of it may be lost.

use std::sync::atomic::{AtomicI64, Ordering};

use super::claiming::Claiming;
use super::in_doubt::TransactionsInDoubt;
use super::notifications::InstanceId;
use super::notify_pause::NotifyPause;
use super::other_afms::OtherAfms;
use super::reception::Reception;
use super::sweep_progress::SweepProgress;

/// The state that all connections of an AFM share.
#[derive(Debug)]
pub(super) struct SharedState {
    /// The id of this AFM in notifications.
    pub(super) instance: InstanceId,
    pub(super) reception: Reception,
    pub(super) claiming: Claiming,
    /// The latest place in the order of arrival that this AFM has seen: new tasks get later ones.
    pub(super) arrivals: AtomicI64,
    pub(super) sweep_progress: SweepProgress,
    pub(super) in_doubt: TransactionsInDoubt,
    pub(super) notify_pause: NotifyPause,
    pub(super) other_afms: OtherAfms,
}

impl SharedState {
    pub(super) fn new() -> Self {
        Self {
            instance: InstanceId::random(),
            reception: Reception::default(),
            claiming: Claiming::default(),
            arrivals: AtomicI64::new(0),
            sweep_progress: SweepProgress::default(),
            in_doubt: TransactionsInDoubt::default(),
            notify_pause: NotifyPause::default(),
            other_afms: OtherAfms::default(),
        }
    }

    /// Forgets what depends on the tables, which are not what they were.
    pub(super) fn clear(&self) {
        self.sweep_progress.forget();
        self.arrivals.store(0, Ordering::Relaxed);
    }
}
