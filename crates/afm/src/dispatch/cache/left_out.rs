//! Capabilities of which more kinds may be waiting than the index knows.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use slamon_protocol::Capability;
use slamon_store::TYPE_BEGINNING;

/// Up to this many capabilities are told apart. If there are more, all count as left out.
const MOST: usize = 1_000_000;

/// A set of capabilities, each together with all whose types have the same beginning. By chance it may
/// contain others, too.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    hashes: HashSet<u64>,
    state: RandomState,
    is_all: bool,
}

impl LeftOut {
    pub(super) fn add(&mut self, capability: &Capability) {
        if self.hashes.len() < MOST {
            self.hashes.insert(self.hash(capability));
        } else {
            *self = Self { is_all: true, ..Self::default() };
        }
    }

    pub(super) fn contains(&self, capability: &Capability) -> bool {
        self.is_all || (!self.hashes.is_empty() && self.hashes.contains(&self.hash(capability)))
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.is_all && self.hashes.is_empty()
    }

    fn hash(&self, Capability { task_type, version }: &Capability) -> u64 {
        let end = task_type.char_indices().nth(TYPE_BEGINNING).map_or(task_type.len(), |(end, _)| end);
        self.state.hash_one((&task_type[..end], version))
    }
}
