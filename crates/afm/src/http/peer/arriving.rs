//! A request body that is arriving, and may have to give way.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Peer;
use super::phase::Phase;
use crate::http::memory::Lease;

/// While this exists, the body of a request is arriving.
pub(crate) struct Arriving(Arc<Peer>);

impl Arriving {
    /// Notes that a body begins to arrive.
    pub(crate) fn begin(peer: &Arc<Peer>) -> Self {
        peer.must_give_way.store(false, Ordering::Relaxed);
        peer.enter_now(Phase::Body);
        Self(Arc::clone(peer))
    }

    /// Begins a lease of memory for the body, which gives way if others need the memory.
    pub(crate) fn lease(&self) -> Lease {
        let peer = Arc::downgrade(&self.0);
        self.0.memory.lease(move || {
            if let Some(peer) = peer.upgrade().filter(|peer| peer.phase() == Phase::Body) {
                peer.give_up_place();
            }
        })
    }

    /// Waits until the body must give way.
    pub(crate) async fn gives_way(&self) {
        loop {
            self.0.gives_way.notified().await;
            // The notification may have been for the body before this one.
            if self.0.must_give_way.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    /// Keeps the memory of the body until the request is answered.
    pub(crate) fn arrived(&self, mut lease: Lease) {
        lease.stay();
        self.0.holdings.keep(lease);
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.0.phase.turn(Phase::Body, Phase::Answering);
    }
}
