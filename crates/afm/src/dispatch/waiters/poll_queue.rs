//! Chooses which of the held polls for a capability comes next.
//!
//! Clients vanish without closing their connections. So the poll that has waited longest is the least certain
//! to have a client, and nothing confirms it while it is held. Therefore polls that began a short while ago
//! come before older ones; within each of the two groups, the one that has waited longest comes first. One
//! turn in four goes by the wait alone, so that no poll is passed over until its time is up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::held_poll::{HeldPoll, PollPosition};

/// For this long a poll counts as recent.
const RECENT: Duration = Duration::from_secs(15);

/// One turn in this many goes to the poll that has waited longest.
const LONGEST_WAIT_EVERY: u32 = 4;

/// The polls that offer a capability, in the order in which they began.
#[derive(Debug, Default)]
pub(super) struct PollQueue {
    polls: BTreeMap<PollPosition, Arc<HeldPoll>>,
    turns: u32,
}

impl PollQueue {
    pub(super) fn add(&mut self, poll: Arc<HeldPoll>) {
        self.polls.insert(poll.place, poll);
    }

    pub(super) fn remove(&mut self, poll: &HeldPoll) {
        self.polls.remove(&poll.place);
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &HeldPoll> {
        self.polls.values().map(|poll| &**poll)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.polls.is_empty()
    }

    /// Returns the first poll that `takes` the task, in the order of this turn.
    pub(super) fn next(
        &mut self,
        now: Instant,
        mut takes: impl FnMut(&HeldPoll) -> bool,
    ) -> Option<&HeldPoll> {
        let goes_by_wait = self.turns % LONGEST_WAIT_EVERY == LONGEST_WAIT_EVERY - 1;
        let recent = match now.checked_sub(RECENT) {
            Some(since) if !goes_by_wait => PollPosition { began: since, number: 0 },
            _ => PollPosition { began: now, number: u64::MAX },
        };
        let (older, recent) = (self.polls.range(..recent), self.polls.range(recent..));
        let (_, poll) = recent.chain(older).find(|(_, poll)| takes(poll))?;
        self.turns = self.turns.wrapping_add(1);
        Some(poll)
    }
}
