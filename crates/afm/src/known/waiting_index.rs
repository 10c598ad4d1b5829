//! Which kinds of tasks may wait, and from where on; and which agents have something to be told.
//!
//! While somebody holds a transaction open, PostgreSQL keeps in its index all that was claimed since: each claim would read
//! past every one before it. So of each kind the first place is kept at which a task may still wait, and claims start there.
//!
//! No cursor is too high for longer than a hint takes. A task that comes to wait is noted once it is committed: by the
//! batch that did it and, in other AFMs, when they are notified. A search of the store that began before that may not have
//! seen the task, and so may not raise a cursor past it, nor end the kind. While others are not heard, every cursor is the
//! very start, and all that waits is read every second.

use std::collections::HashMap;
use std::time::Duration;

use slamon_protocol::{Capability, PollRequest};
use slamon_store::{Backlog, Command, KindCursor, QueueCursor, WaitingKind};
use tokio::time::Instant;
use uuid::Uuid;

use super::kind_map::KindMap;

/// How much all kinds may take, in bytes. Where they take more, polls ask the store.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// How much the texts of the kinds may be that one poll is about, in bytes. Where they are more, it asks the store for all.
const MOST_BYTES_NAMED: usize = 256 * 1024;

/// Where others are heard: how long after all that waits was read it is read again, and how many times longer than that
/// took.
const READ_ALL_AGAIN: Duration = Duration::from_secs(15);
const SHARE_OF_READING: u32 = 20;

/// How many of the kinds that are known are read again at once.
const MOST_READ_AGAIN: usize = 10_000;

/// A moment in the life of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Epoch(u64);

/// A search of the store, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SearchNumber(u64);

#[derive(Debug, Default)]
pub(super) struct WaitingIndex {
    /// Grows with each note of an agent.
    now: Epoch,
    /// Whether what others do is heard.
    hears: bool,
    /// Whether no task waits of a kind that is not in here.
    is_complete: bool,
    /// When all that waits is to be read again, if others are heard.
    read_all_at: Option<Instant>,
    /// The last one of the kinds that were read again in turn; `None`: they are all read.
    read_last: Option<Capability>,
    /// No task waits before these cursors.
    kinds: KindMap,
    /// What was noted since they began, of the searches under way.
    searches: HashMap<SearchNumber, KindMap>,
    next_search: u64,
    /// Agents that may have something to be told; of each, when it was noted.
    untold: HashMap<Uuid, Epoch>,
}

impl WaitingIndex {
    pub(super) fn now(&self) -> Epoch {
        self.now
    }

    /// Where there may be tasks for a poll; `None`: that is not known, or too much to name.
    pub(super) fn kinds_for(&self, poll: &PollRequest) -> Option<Vec<KindCursor>> {
        if !self.is_complete {
            return None;
        }
        if self.kinds.is_empty() || poll.max_tasks == 0 {
            return Some(Vec::new());
        }
        self.kinds.matching(poll, MOST_BYTES_NAMED)
    }

    pub(super) fn has_untold(&self, agent_id: Uuid) -> bool {
        !self.untold.is_empty() && self.untold.contains_key(&agent_id)
    }

    /// Has a batch look for tasks where they may wait now, if it looks for any. What is noted until the search ends, it may
    /// have missed.
    pub(super) fn begin_search(&mut self, batch: &mut [Command]) -> Option<SearchNumber> {
        let mut is_needed = false;
        for command in batch {
            let kinds = match command {
                Command::Poll { kinds, .. } => kinds.as_deref_mut().unwrap_or_default(),
                Command::Claim { kinds, .. } => kinds,
                _ => continue,
            };
            is_needed = true;
            for KindCursor { kind, cursor } in kinds {
                *cursor = self.cursor(kind);
            }
        }
        is_needed.then(|| self.begin())
    }

    fn begin(&mut self) -> SearchNumber {
        let number = SearchNumber(self.next_search);
        self.next_search += 1;
        self.searches.insert(number, KindMap::default());
        number
    }

    fn cursor(&self, kind: &WaitingKind) -> QueueCursor {
        let unknown = if self.is_complete { QueueCursor::END } else { QueueCursor::START };
        self.kinds.get(kind).unwrap_or(unknown)
    }

    /// A search has ended, and may have come to nothing.
    pub(super) fn give_up(&mut self, number: SearchNumber) {
        self.searches.remove(&number);
    }

    /// What a search found: where tasks of a kind may still wait, `None` if nowhere. What is found later of the same kind
    /// counts.
    pub(super) fn end_search<'k>(
        &mut self,
        number: SearchNumber,
        found: impl IntoIterator<Item = (&'k WaitingKind, Option<QueueCursor>)>,
    ) {
        let Some(noted) = self.searches.remove(&number) else { return };
        for (kind, first) in found {
            match [first, noted.get(kind)].into_iter().flatten().min() {
                None => self.kinds.remove(kind),
                Some(first) => self.kinds.set(kind, if self.hears { first } else { QueueCursor::START }),
            }
        }
        self.forget_if_large();
    }

    /// A task has come to wait. To be called once that is committed, and before anybody is told.
    pub(super) fn note(&mut self, KindCursor { kind, cursor }: &KindCursor) {
        let cursor = if self.hears { *cursor } else { QueueCursor::START };
        for noted in self.searches.values_mut() {
            noted.lower(kind, cursor);
        }
        match self.kinds.get(kind) {
            Some(known) if known <= cursor => {}
            known => {
                let is_known = known.is_some() || self.is_complete;
                self.kinds.set(kind, if is_known { cursor } else { QueueCursor::START });
            }
        }
        self.forget_if_large();
    }

    pub(super) fn note_untold(&mut self, agent_id: Uuid) {
        self.now.0 += 1;
        self.untold.insert(agent_id, self.now);
    }

    /// An agent was told all that there was at `epoch`.
    pub(super) fn told(&mut self, agent_id: Uuid, epoch: Epoch) {
        if self.untold.get(&agent_id).is_some_and(|noted| *noted <= epoch) {
            self.untold.remove(&agent_id);
        }
    }

    /// The store may have changed in ways that nobody has noted.
    pub(super) fn doubt(&mut self) {
        self.is_complete = false;
        self.kinds = KindMap::default();
        self.searches.clear();
    }

    /// What others do is heard from now on.
    pub(super) fn hear(&mut self) {
        self.hears = true;
        self.doubt();
    }

    /// Others may have something come to wait before any cursor, and it is not heard.
    pub(super) fn deafen(&mut self) {
        if self.hears {
            self.hears = false;
            self.kinds.set_all(QueueCursor::START);
            self.searches.clear();
        }
    }

    /// Begins to read what there is for agents: all of it, or only of kinds that are known, in turn.
    pub(super) fn begin_reading(&mut self) -> (SearchNumber, Option<Vec<KindCursor>>) {
        let is_all =
            !self.hears || !self.is_complete || self.read_all_at.is_none_or(|at| at <= Instant::now());
        let known = (!is_all).then(|| self.next_known());
        (self.begin(), known)
    }

    fn next_known(&mut self) -> Vec<KindCursor> {
        let known: Vec<KindCursor> =
            self.kinds.after(self.read_last.as_ref()).take(MOST_READ_AGAIN).collect();
        let last = known.last().filter(|_| known.len() == MOST_READ_AGAIN);
        self.read_last = last.map(|last| last.kind.capability.clone());
        known
    }

    /// What there was for agents when it was read, which began at `epoch` and took so long. `asked` are the kinds that were
    /// read; `None`: all.
    pub(super) fn end_reading(
        &mut self,
        number: SearchNumber,
        epoch: Epoch,
        took: Duration,
        asked: Option<&[KindCursor]>,
        backlog: &Backlog,
    ) {
        // The others were told since.
        self.untold.retain(|_, noted| *noted > epoch);
        for agent_id in &backlog.untold {
            self.note_untold(*agent_id);
        }
        let found = || backlog.kinds.iter().map(|found| (&found.kind, found.cursor));
        if let Some(asked) = asked {
            let nowhere = asked.iter().map(|asked| (&asked.kind, None));
            let mut kinds: HashMap<&WaitingKind, Option<QueueCursor>> = nowhere.collect();
            kinds.extend(found().map(|(kind, first)| (kind, Some(first))));
            self.end_search(number, kinds);
            self.is_complete &= backlog.is_complete;
            return;
        }
        if !backlog.is_complete {
            self.end_search(number, found().map(|(kind, first)| (kind, Some(first))));
            self.is_complete = false;
            return;
        }
        let Some(noted) = self.searches.remove(&number) else { return };
        self.kinds = KindMap::default();
        for (kind, first) in found() {
            self.kinds.set(kind, if self.hears { first } else { QueueCursor::START });
        }
        for KindCursor { kind, cursor } in noted.after(None) {
            self.kinds.lower(&kind, cursor);
        }
        self.is_complete = true;
        self.read_all_at = Some(Instant::now() + READ_ALL_AGAIN.max(took * SHARE_OF_READING));
        self.forget_if_large();
    }

    /// Where the kinds take too much, nothing is known.
    fn forget_if_large(&mut self) {
        if self.bytes() > MOST_BYTES {
            self.doubt();
        }
    }

    fn bytes(&self) -> usize {
        self.kinds.bytes() + self.searches.values().map(KindMap::bytes).sum::<usize>()
    }
}

#[cfg(test)]
mod tests;
