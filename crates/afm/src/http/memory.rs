//! Bounds the memory of large bodies and answers that are on their way.
//!
//! A client that sends most of a large body and stops, or does not read a large answer, makes the server keep
//! it. All that is kept in this way shares one bound. Small bodies and answers are not counted: the number of
//! connections bounds them, and they are served whatever the large ones do. When there is no room, the oldest
//! of those that have had [`GRACE`] gives way; if none has, the new one is refused.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bodies and answers up to this many bytes are not counted.
pub(crate) const SMALL: usize = 16 * 1024;

/// A body or an answer has this long before it must give way to others.
const GRACE: Duration = Duration::from_secs(1);

/// The memory that large bodies and answers share.
pub(crate) struct Memory {
    limit: usize,
    kept: Mutex<MemoryUse>,
}

#[derive(Default)]
struct MemoryUse {
    bytes: usize,
    next: u64,
    /// The leases, in the order in which they began.
    leases: BTreeMap<u64, LeaseEntry>,
}

struct LeaseEntry {
    bytes: usize,
    since: Instant,
    /// Makes the owner give up what it keeps; `None` once it need not any more.
    gives_way: Option<Box<dyn FnOnce() + Send>>,
}

impl Memory {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, kept: Mutex::default() })
    }

    /// Begins an empty lease. `gives_way` is called if it has to make room for others.
    pub(crate) fn lease(self: &Arc<Self>, gives_way: impl FnOnce() + Send + 'static) -> Lease {
        let mut kept = self.kept();
        let id = kept.next;
        kept.next += 1;
        let entry = LeaseEntry { bytes: 0, since: Instant::now(), gives_way: Some(Box::new(gives_way)) };
        kept.leases.insert(id, entry);
        Lease { memory: Arc::clone(self), id }
    }

    fn grow(&self, id: u64, bytes: usize) -> bool {
        let mut giving_way = Vec::new();
        let mut kept = self.kept();
        let own = kept.leases.get(&id).map(|entry| entry.bytes);
        // This lease has had to give way itself.
        let Some(own) = own else { return false };
        // A single body may be larger than the limit, or it could never be read.
        while kept.bytes > own && kept.bytes.saturating_add(bytes) > self.limit {
            let oldest = kept.leases.iter().find(|(other, entry)| {
                **other != id && entry.gives_way.is_some() && entry.since.elapsed() >= GRACE
            });
            let Some((&oldest, _)) = oldest else { break };
            if let Some(entry) = kept.leases.remove(&oldest) {
                kept.bytes -= entry.bytes;
                giving_way.extend(entry.gives_way);
            }
        }
        let has_room = kept.bytes == own || kept.bytes.saturating_add(bytes) <= self.limit;
        if has_room {
            kept.bytes += bytes;
            if let Some(entry) = kept.leases.get_mut(&id) {
                entry.bytes += bytes;
            }
        }
        // Giving way may drop other leases, which lock this, too.
        drop(kept);
        for give_way in giving_way {
            give_way();
        }
        has_room
    }

    fn kept(&self) -> MutexGuard<'_, MemoryUse> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A share of the memory, which is given back when it is dropped.
pub(crate) struct Lease {
    memory: Arc<Memory>,
    id: u64,
}

impl Lease {
    /// Takes this many bytes more; returns `false` if there is no room.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        self.memory.grow(self.id, bytes)
    }

    /// From now on this lease does not give way.
    pub(crate) fn stay(&mut self) {
        let gives_way = self.memory.kept().leases.get_mut(&self.id).and_then(|entry| entry.gives_way.take());
        drop(gives_way);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut kept = self.memory.kept();
        let entry = kept.leases.remove(&self.id);
        kept.bytes -= entry.as_ref().map_or(0, |entry| entry.bytes);
        drop(kept);
        drop(entry);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn age(memory: &Memory, lease: &Lease) {
        let long_ago = Instant::now().checked_sub(GRACE).unwrap();
        memory.kept().leases.get_mut(&lease.id).unwrap().since = long_ago;
    }

    #[test]
    fn the_oldest_gives_way_once_it_has_had_its_time() {
        let memory = Memory::new(100);
        let gone = Arc::new(AtomicUsize::new(0));
        let lease = || {
            let gone = Arc::clone(&gone);
            memory.lease(move || {
                gone.fetch_add(1, Ordering::Relaxed);
            })
        };
        let (mut first, mut second, mut third) = (lease(), lease(), lease());
        assert!(first.grow(50) && second.grow(50));
        assert!(!third.grow(1), "both are young");
        age(&memory, &first);
        age(&memory, &second);
        first.stay();
        assert!(third.grow(20));
        assert_eq!(gone.load(Ordering::Relaxed), 1, "the first must not any more");
        assert!(!second.grow(1), "it had to give way");
        drop(second);
        assert_eq!(memory.kept().bytes, 70);
        drop((first, third));
        assert_eq!(memory.kept().bytes, 0);
        assert!(memory.kept().leases.is_empty());
    }

    #[test]
    fn one_alone_may_be_larger() {
        let memory = Memory::new(100);
        let (mut large, mut small) = (memory.lease(|| ()), memory.lease(|| ()));
        assert!(large.grow(90) && large.grow(90));
        assert!(!small.grow(1));
        drop(large);
        assert!(small.grow(1) && !memory.lease(|| ()).grow(100));
    }
}
