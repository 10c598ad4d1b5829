//! Which of the polls that are held open for a capability comes next.
//!
//! Clients vanish without closing their connections, so whoever has waited longest is the least certain to be there, and
//! while it is held open, nothing confirms that it is. So polls that began a short while ago come before older ones, and
//! of each of the two the one that has waited longest. One turn of four goes by the wait alone, so that nobody
//! who has waited for long is passed over until its time is up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::held_poll::{HeldPoll, PollPosition};

/// For how long a poll counts as one that began just now.
const RECENT: Duration = Duration::from_secs(15);

/// One turn of so many goes to whoever has waited longest.
const LONGEST_WAIT_EVERY: u32 = 4;

/// The polls that offer a capability, in the order that they began in.
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

    pub(super) fn is_empty(&self) -> bool {
        self.polls.is_empty()
    }

    /// The first poll, in the order that has its turn, that `takes` it.
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
