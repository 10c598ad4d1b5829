//! The state that all clones of the cache share.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::agent_cache::AgentCache;
use super::held_pauses::HeldPauses;
use super::waiting_index::WaitingIndex;

#[derive(Debug, Default)]
pub(super) struct SharedCache {
    waiting: Mutex<WaitingIndex>,
    agents: Mutex<AgentCache>,
    pub(super) pauses: HeldPauses,
}

impl SharedCache {
    pub(super) fn waiting(&self) -> MutexGuard<'_, WaitingIndex> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn agents(&self) -> MutexGuard<'_, AgentCache> {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
