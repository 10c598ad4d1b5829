//! Bounds the number of connections, and decides which one is closed for a new one.
//!
//! Each connection takes a file of the process and some memory. Beyond the limit, the one that has been idle
//! longest is closed; if none is idle, those whose clients have not finished sending a request, or reading an
//! answer, for a while. If all are being answered, a few more are accepted: they may read, and ask for the
//! server's health; any other request is told to try again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::http::held_places::HeldPlaces;
use crate::http::peer::Peer;
use crate::http::peer::phase::Phase;

/// When others need its place, a connection may take this long for a head, a body or the reading of an
/// answer.
const GRACE: Duration = Duration::from_millis(100);

/// One in this many connections is kept for those beyond the limit.
const EXTRA_ONE_IN: usize = 16;

/// One in this many connections is kept free of requests that are held open.
const NOT_HELD_ONE_IN: usize = 4;

/// At most this many are closed at once; closing several saves searches.
const CLOSED_AT_ONCE: usize = 64;

/// All connections.
pub(crate) struct Connections {
    /// Beyond this many, only reads are served.
    limit: usize,
    most: usize,
    next: AtomicUsize,
    all: Mutex<HashMap<usize, Arc<Peer>>>,
    pub(crate) places: Arc<HeldPlaces>,
}

impl Connections {
    /// Creates the list for at most `most` connections, some of them kept for reads.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        let limit = (most - most / EXTRA_ONE_IN).max(1);
        let places = Arc::new(HeldPlaces::new((limit - limit / NOT_HELD_ONE_IN).max(1)));
        Arc::new(Self { limit, most, next: AtomicUsize::new(0), all: Mutex::default(), places })
    }

    /// Says whether one more may be accepted, if only to read.
    pub(crate) fn has_place(&self) -> bool {
        let open = self.all().len();
        // Connections that are told to close are still in the list for a moment.
        open < self.most || (self.make_room() && open < 2 * self.most)
    }

    /// Says whether one more may be accepted for any request; closes some to make room if needed.
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
        // The list must not be locked below: a connection that is dropped takes itself from it.
        drop(all);
        if open < self.limit {
            return true;
        }
        let wanted = (self.limit / CLOSED_AT_ONCE).clamp(1, CLOSED_AT_ONCE);
        stuck.sort_unstable_by_key(|(is_idle, age, _)| std::cmp::Reverse((*is_idle, *age)));
        let closed = stuck.iter().filter(|(_, _, peer)| peer.give_up_place()).take(wanted).count();
        open < self.limit + closed
    }

    /// Returns how many of them have a request under way.
    pub(crate) fn busy(&self) -> usize {
        self.all().values().filter(|peer| peer.is_busy()).count()
    }

    /// Adds a connection to the list, until the guard is dropped.
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
