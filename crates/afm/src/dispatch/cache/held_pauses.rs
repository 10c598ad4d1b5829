//! The pauses as the database held them when they were read last.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slamon_domain::{Command, KindCursor, Pauses, WaitingKind};
use slamon_protocol::{AgentFilter, PollRequest};

/// The pauses, in memory. Until they were read for the first time, everything is paused: after a restart, a
/// pause holds from the first poll on.
#[derive(Debug, Default)]
pub(super) struct HeldPauses {
    /// Whether the pauses are known and there are none, as nearly always: then nobody takes the lock.
    is_nothing_paused: AtomicBool,
    pauses: Mutex<Option<Arc<Pauses>>>,
}

impl HeldPauses {
    /// Returns the pauses; `None` if there are none, or if they are not known.
    pub(super) fn known(&self) -> Option<Arc<Pauses>> {
        if self.is_nothing_paused.load(Ordering::Acquire) { None } else { self.lock().clone() }
    }

    /// Whether the pauses were read at all.
    pub(super) fn is_known(&self) -> bool {
        self.is_nothing_paused.load(Ordering::Acquire) || self.lock().is_some()
    }

    /// Replaces the pauses by those that were read.
    pub(super) fn set(&self, pauses: Arc<Pauses>) {
        let is_nothing_paused = pauses.is_empty();
        let mut held = self.lock();
        *held = Some(pauses);
        self.is_nothing_paused.store(is_nothing_paused, Ordering::Release);
    }

    /// Has the polls of a batch ask for nothing that is paused.
    pub(super) fn leave_out(&self, batch: &mut [Command]) {
        if self.is_nothing_paused.load(Ordering::Acquire) {
            return;
        }
        let pauses = self.lock().clone();
        for command in batch {
            match command {
                Command::Poll { poll, kinds, .. } => {
                    let Some(pauses) = pauses.as_deref() else {
                        *kinds = Some(Vec::new());
                        continue;
                    };
                    if kinds.is_none() && pauses.has_types() {
                        *kinds = Some(all_kinds(poll));
                    }
                    match kinds {
                        Some(kinds) => retain(kinds, poll, pauses),
                        None if pauses.pauses_agent(poll.agent_id) => *kinds = Some(Vec::new()),
                        None => {}
                    }
                }
                Command::Claim { poll, kinds } => match pauses.as_deref() {
                    Some(pauses) => retain(kinds, poll, pauses),
                    None => kinds.clear(),
                },
                _ => {}
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Pauses>>> {
        self.pauses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps only the kinds of which a poll may be handed tasks.
pub(super) fn retain(kinds: &mut Vec<KindCursor>, poll: &PollRequest, pauses: &Pauses) {
    if pauses.pauses_agent(poll.agent_id) {
        kinds.clear();
    } else if pauses.has_types() {
        kinds.retain(|known| !pauses.pauses_kind(&known.kind));
    }
}

/// Returns all kinds of which a poll could take tasks.
fn all_kinds(poll: &PollRequest) -> Vec<KindCursor> {
    let filters = AgentFilter::matching(poll.agent_id, &poll.agent_name, poll.agent_location.as_ref());
    let kinds = poll.agent_capabilities.iter().flat_map(|capability| {
        filters.iter().map(|agent_filter| {
            WaitingKind { capability: capability.clone(), agent_filter: agent_filter.clone() }.into()
        })
    });
    kinds.collect()
}
