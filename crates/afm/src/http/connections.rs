//! How many connections there may be, and who makes room for a new one.
//!
//! Each costs a file of the process and some memory. Beyond the limit, the one that has been idle longest is closed; if there
//! is none, those that have sent no whole request, or not read their answer, for a while. If all are being answered,
//! a few more are accepted: they may read, and ask whether the server is well; anything else is told to try again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::http::held_places::HeldPlaces;
use crate::http::peer::Peer;
use crate::http::peer::phase::Phase;

/// How long a connection may take for a head, a body or the reading of an answer when others need its place.
const GRACE: Duration = Duration::from_millis(100);

/// Of how many connections one is for those beyond the limit.
const EXTRA_ONE_IN: usize = 16;

/// Of how many connections one is kept from requests that wait.
const NOT_HELD_ONE_IN: usize = 4;

/// How many are closed at once, at most: looking for them takes time.
const CLOSED_AT_ONCE: usize = 64;

/// All connections.
pub(crate) struct Connections {
    /// Beyond this many, only reads are let in.
    limit: usize,
    most: usize,
    next: AtomicUsize,
    all: Mutex<HashMap<usize, Arc<Peer>>>,
    pub(crate) places: Arc<HeldPlaces>,
}

impl Connections {
    /// Of `most`, some are kept for those who only read.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        let limit = (most - most / EXTRA_ONE_IN).max(1);
        let places = Arc::new(HeldPlaces::new((limit - limit / NOT_HELD_ONE_IN).max(1)));
        Arc::new(Self { limit, most, next: AtomicUsize::new(0), all: Mutex::default(), places })
    }

    /// Whether one more may be accepted, if only to read.
    pub(crate) fn has_place(&self) -> bool {
        let open = self.all().len();
        // Those that are told to close are still in the list for a moment.
        open < self.most || (self.make_room() && open < 2 * self.most)
    }

    /// Whether one more may be accepted for whatever it asks; one or several are closed if need be.
    pub(crate) fn make_room(&self) -> bool {
        let all = self.all();
        if all.len() < self.limit {
            return true;
        }
        let mut stuck: Vec<(bool, Duration, Arc<Peer>)> = all
            .values()
            .filter_map(|peer| {
                let (phase, age) = (peer.phase(), peer.age());
                let is_stuck = match phase {
                    Phase::Idle => true,
                    Phase::Head | Phase::Body | Phase::Writing => age >= GRACE,
                    Phase::Answering | Phase::Held | Phase::Closing => false,
                };
                is_stuck.then(|| (phase == Phase::Idle, age, Arc::clone(peer)))
            })
            .collect();
        let open = all.len() - all.values().filter(|peer| peer.is_leaving()).count();
        // Whatever is dropped below may be the last of its connection, which then takes itself from the list.
        drop(all);
        if open < self.limit {
            return true;
        }
        let wanted = (self.limit / CLOSED_AT_ONCE).clamp(1, CLOSED_AT_ONCE);
        stuck.sort_unstable_by_key(|(is_idle, age, _)| std::cmp::Reverse((*is_idle, *age)));
        let closed = stuck.iter().filter(|(_, _, peer)| peer.make_room()).take(wanted).count();
        open < self.limit + closed
    }

    /// On how many of them a request is under way.
    pub(crate) fn busy(&self) -> usize {
        self.all().values().filter(|peer| peer.is_busy()).count()
    }

    /// Notes a connection, until the guard is dropped.
    pub(crate) fn add(self: &Arc<Self>, peer: &Arc<Peer>) -> OpenConnection {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.all().insert(id, Arc::clone(peer));
        OpenConnection { connections: Arc::clone(self), id }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<usize, Arc<Peer>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that is in the list.
pub(crate) struct OpenConnection {
    connections: Arc<Connections>,
    id: usize,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let peer = self.connections.all().remove(&self.id);
        drop(peer);
    }
}
