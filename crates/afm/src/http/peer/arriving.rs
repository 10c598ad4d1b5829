//! The body of a request that is arriving.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Peer;
use super::phase::Phase;
use crate::http::memory::Lease;

/// A body is arriving.
pub(crate) struct Arriving(Arc<Peer>);

impl Arriving {
    /// The body of a request is arriving, until this is dropped.
    pub(crate) fn begin(peer: &Arc<Peer>) -> Self {
        peer.must_give_way.store(false, Ordering::Relaxed);
        peer.enter_now(Phase::Body);
        Self(Arc::clone(peer))
    }

    /// A share of the memory for all; the body gives way if others need it more.
    pub(crate) fn lease(&self) -> Lease {
        let peer = Arc::downgrade(&self.0);
        self.0.memory.lease(move || {
            if let Some(peer) = peer.upgrade().filter(|peer| peer.phase() == Phase::Body) {
                peer.make_room();
            }
        })
    }

    /// Returns when the body must give way.
    pub(crate) async fn gives_way(&self) {
        loop {
            self.0.gives_way.notified().await;
            // It may have been said to the body before this one.
            if self.0.must_give_way.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    /// The body is there, and keeps its memory until it is answered.
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
