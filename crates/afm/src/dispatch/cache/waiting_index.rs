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
use std::sync::Arc;
use std::time::Duration;

use slamon_protocol::{Capability, PollRequest};
use slamon_store::{Backlog, Command, KindCursor, QueueCursor, WaitingKind};
use tokio::time::Instant;
use uuid::Uuid;

use super::kind_map::KindMap;
use super::left_out::LeftOut;

/// How much all kinds may take, in bytes: enough for a million. Where they are more, the others are left out: who could take
/// them asks the store.
const MOST_BYTES: usize = 256 * 1024 * 1024;

/// How much their texts may be of that.
const MOST_TEXT_BYTES: usize = 48 * 1024 * 1024;

/// How much the texts of the kinds may be that one poll is about, in bytes. Where they are more, it asks the store for all.
const MOST_BYTES_NAMED: usize = 256 * 1024;

/// Where others are heard: how long after all that waits was read it is read again.
const READ_ALL_AGAIN: Duration = Duration::from_secs(15);

/// Of all that waits, where it is read in parts: how many times longer than one part took the next one waits.
const SHARE_OF_READING: u32 = 20;

/// How many of the kinds that are known are read again at once.
const MOST_READ_AGAIN: usize = 10_000;

/// A moment in the life of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Epoch(u64);

/// A search of the store, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SearchNumber(u64);

/// All that waits, as far as it was read, one part after the other.
#[derive(Debug, Default)]
struct Scan {
    /// The last kind of the last part; `None`: none was read.
    after: Option<WaitingKind>,
    /// What is left out by then.
    left_out: LeftOut,
    /// Not all agents were read that have something to be told.
    is_short: bool,
}

/// What is to be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The next part of all that waits, behind this kind.
    After(Option<WaitingKind>),
    /// Where tasks of these kinds wait.
    Of(Arc<[KindCursor]>),
}

/// What is known no more. It may be a million kinds: it is to be dropped once nobody waits for the index.
#[must_use]
pub(super) struct Forgotten {
    _kinds: KindMap,
    _left_out: LeftOut,
    _scan: Scan,
    _searches: HashMap<SearchNumber, KindMap>,
}

#[derive(Debug, Default)]
pub(super) struct WaitingIndex {
    /// Grows with each note of an agent.
    now: Epoch,
    /// Whether what others do is heard.
    hears: bool,
    /// Whether no task waits of a kind that is neither in here nor left out.
    is_complete: bool,
    /// When the next part of all that waits is to be read.
    read_next_at: Option<Instant>,
    /// Where that is.
    scan: Scan,
    /// The last one of the kinds that were read again in turn; `None`: they are all read.
    read_last: Option<WaitingKind>,
    /// No task waits before these cursors.
    kinds: KindMap,
    /// Of these, others may wait than are in `kinds`.
    left_out: LeftOut,
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
        if poll.max_tasks == 0 || (self.kinds.is_empty() && self.left_out.is_empty()) {
            return Some(Vec::new());
        }
        self.kinds.matching(poll, &self.left_out, MOST_BYTES_NAMED)
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
        self.kinds.get(kind).unwrap_or_else(|| {
            if self.knows_all_of(&kind.capability) { QueueCursor::END } else { QueueCursor::START }
        })
    }

    /// Whether no task of a capability waits whose kind is not in here.
    fn knows_all_of(&self, capability: &Capability) -> bool {
        self.is_complete && !self.left_out.contains(capability)
    }

    /// Sets a cursor, or leaves the kind out if there is no room.
    fn set(&mut self, kind: &WaitingKind, cursor: QueueCursor) {
        let cursor = if self.hears { cursor } else { QueueCursor::START };
        let has_room = self.kinds.bytes() <= MOST_BYTES && self.kinds.text_bytes() <= MOST_TEXT_BYTES;
        if has_room || self.kinds.get(kind).is_some() {
            self.kinds.set(kind, cursor);
        } else {
            self.leave_out(&kind.capability);
        }
    }

    fn leave_out(&mut self, capability: &Capability) {
        for left_out in [&mut self.left_out, &mut self.scan.left_out] {
            left_out.add(capability);
        }
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
                Some(first) => self.set(kind, first),
            }
        }
    }

    /// A task has come to wait. To be called once that is committed, and before anybody is told.
    pub(super) fn note(&mut self, KindCursor { kind, cursor }: &KindCursor) {
        for noted in self.searches.values_mut() {
            noted.lower(kind, *cursor);
        }
        match self.kinds.get(kind) {
            Some(known) if known <= *cursor => {}
            Some(_) => self.set(kind, *cursor),
            None if self.knows_all_of(&kind.capability) => self.set(kind, *cursor),
            None => self.set(kind, QueueCursor::START),
        }
        let noted = || self.searches.values();
        let bytes: usize = noted().map(KindMap::bytes).sum();
        let text_bytes: usize = noted().map(KindMap::text_bytes).sum();
        if bytes > MOST_BYTES || text_bytes > MOST_TEXT_BYTES {
            // They find out nothing.
            self.searches.clear();
        }
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
    pub(super) fn doubt(&mut self) -> Forgotten {
        self.is_complete = false;
        Forgotten {
            _kinds: std::mem::take(&mut self.kinds),
            _left_out: std::mem::take(&mut self.left_out),
            _scan: std::mem::take(&mut self.scan),
            _searches: std::mem::take(&mut self.searches),
        }
    }

    /// What others do is heard from now on.
    pub(super) fn hear(&mut self) -> Forgotten {
        self.hears = true;
        self.doubt()
    }

    /// Others may have something come to wait before any cursor, and it is not heard.
    pub(super) fn deafen(&mut self) {
        if self.hears {
            self.hears = false;
            self.kinds.set_all(QueueCursor::START);
            self.searches.clear();
            self.scan = Scan::default();
            self.read_next_at = None;
        }
    }

    /// Begins to read what there is for agents: the next part of all of it, or where tasks of kinds wait that are known.
    pub(super) fn begin_reading(&mut self) -> (SearchNumber, Wanted) {
        let is_due = !self.is_complete || self.read_next_at.is_none_or(|at| at <= Instant::now());
        if is_due && self.scan.after.is_none() {
            // What was left out before is found again.
            self.scan = Scan::default();
        }
        let wanted =
            if is_due { Wanted::After(self.scan.after.clone()) } else { Wanted::Of(self.next_known()) };
        (self.begin(), wanted)
    }

    /// Whether it is known what waits, but for what is left out.
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete
    }

    fn next_known(&mut self) -> Arc<[KindCursor]> {
        let known: Arc<[KindCursor]> =
            self.kinds.after(self.read_last.as_ref()).take(MOST_READ_AGAIN).collect();
        let last = known.last().filter(|_| known.len() == MOST_READ_AGAIN);
        self.read_last = last.map(|last| last.kind.clone());
        known
    }

    /// What there was for agents when it was read, which began at `epoch` and took so long.
    pub(super) fn end_reading(
        &mut self,
        number: SearchNumber,
        epoch: Epoch,
        took: Duration,
        wanted: &Wanted,
        backlog: &Backlog,
    ) {
        // The others were told since.
        self.untold.retain(|_, noted| *noted > epoch);
        for agent_id in &backlog.untold {
            self.note_untold(*agent_id);
        }
        let found = backlog.kinds.iter().map(|found| (&found.kind, Some(found.cursor)));
        let after = match wanted {
            Wanted::Of(asked) => {
                let nowhere = asked.iter().map(|asked| (&asked.kind, None));
                let mut kinds: HashMap<&WaitingKind, Option<QueueCursor>> = nowhere.collect();
                kinds.extend(found);
                self.end_search(number, kinds);
                self.is_complete &= backlog.is_complete;
                return;
            }
            Wanted::After(after) => after,
        };
        if !self.searches.contains_key(&number) || self.scan.after != *after {
            // It may have missed something, and is read again.
            return;
        }
        for capability in &backlog.left_out {
            self.leave_out(capability);
        }
        self.scan.is_short |= !backlog.is_complete;
        let is_only_part = after.is_none() && backlog.next.is_none();
        if is_only_part {
            self.replace(number, backlog);
        } else {
            self.end_search(number, found);
        }
        self.scan.after.clone_from(&backlog.next);
        let pause = took * SHARE_OF_READING;
        let pause = if backlog.next.is_some() {
            pause
        } else {
            let Scan { left_out, is_short, .. } = std::mem::take(&mut self.scan);
            self.left_out = left_out;
            self.is_complete = !is_short;
            match (self.hears, is_only_part) {
                (true, _) => pause.max(READ_ALL_AGAIN),
                (false, true) => Duration::ZERO,
                (false, false) => pause,
            }
        };
        self.read_next_at = Some(Instant::now() + pause);
    }

    /// What was found is all that there is, but for what was noted since.
    fn replace(&mut self, number: SearchNumber, backlog: &Backlog) {
        let Some(noted) = self.searches.remove(&number) else { return };
        self.kinds = KindMap::default();
        for found in &backlog.kinds {
            self.set(&found.kind, found.cursor);
        }
        for KindCursor { kind, cursor } in noted.after(None) {
            let first = match self.kinds.get(&kind) {
                Some(first) => first.min(cursor),
                // Before it others may wait, which were not read.
                None if self.left_out.contains(&kind.capability) => QueueCursor::START,
                None => cursor,
            };
            self.set(&kind, first);
        }
    }
}

#[cfg(test)]
mod tests;
