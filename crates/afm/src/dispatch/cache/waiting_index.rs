//! The waiting index knows which kinds of tasks may be waiting and from which cursor on, and which agents
//! have pending cancellations.
//!
//! While another session keeps a transaction open, PostgreSQL keeps in its own index all tasks that were
//! claimed since, and each claim would read past all of them. So the waiting index keeps the first place of
//! each kind at which a task may still be waiting, and claims start there.
//!
//! No cursor is too high for longer than a notification takes. A task that comes to wait is noted after the
//! commit: by the batch that did it and, in other AFMs, when they are notified. A search that began before
//! that may not have seen the task, so it must not raise a cursor past it, nor remove the kind. While events
//! do not arrive, every cursor is at the very start, and all that waits is read every second.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use slamon_domain::{Command, KindCursor, QueueCursor, WaitingKind};
use slamon_protocol::{Capability, PollRequest};
use slamon_store::Backlog;
use tokio::time::Instant;
use uuid::Uuid;

use super::kind_map::KindMap;
use super::left_out::LeftOut;

/// All kinds together may take this many bytes, which is enough for a million. If there are more, the others
/// are left out: agents that could take them ask the store.
const MOST_BYTES: usize = 256 * 1024 * 1024;

/// Their texts may take this many of these bytes.
const MOST_TEXT_BYTES: usize = 48 * 1024 * 1024;

/// The texts of the kinds that one poll looks for may have this many bytes. If they have more, the poll asks
/// the store for all kinds.
const MOST_BYTES_NAMED: usize = 256 * 1024;

/// While events arrive, all that waits is read again after this long.
const READ_ALL_AGAIN: Duration = Duration::from_secs(15);

/// If all that waits is read in parts, the next part follows after this many times as long as the last one
/// took.
const SHARE_OF_READING: u32 = 20;

/// This many of the known kinds are read again at once.
const MOST_READ_AGAIN: usize = 10_000;

/// A moment in the life of an index, which says which of two notes came first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Epoch(u64);

/// The number of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SearchNumber(u64);

/// How far all that waits has been read, one part after the other.
#[derive(Debug, Default)]
struct Scan {
    /// The last kind of the last part; `None` if no part was read.
    after: Option<WaitingKind>,
    /// The capabilities that are left out so far.
    left_out: LeftOut,
    /// Whether some agents with pending cancellations were not read.
    is_short: bool,
}

/// What a refresh reads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReadScope {
    /// The next part of all that waits, after this kind.
    After(Option<WaitingKind>),
    /// The first waiting tasks of these kinds.
    Of(Arc<[KindCursor]>),
}

/// What the index has forgotten. It may hold a million kinds, so it is to be dropped after the index is
/// unlocked.
#[must_use]
pub(super) struct Forgotten {
    _kinds: KindMap,
    _left_out: LeftOut,
    _scan: Scan,
    _searches: HashMap<SearchNumber, KindMap>,
}

#[derive(Debug, Default)]
pub(super) struct WaitingIndex {
    /// The epoch, which grows with each note of an agent.
    now: Epoch,
    /// Whether events of other AFMs arrive.
    is_listening: bool,
    /// Whether no task is waiting whose kind is neither in here nor left out.
    is_complete: bool,
    /// When the next part of all that waits is to be read.
    read_next_at: Option<Instant>,
    /// How far the scan has come.
    scan: Scan,
    /// The last of the known kinds that were read again in turn; `None` if the next round begins.
    read_last: Option<WaitingKind>,
    /// The kinds that may be waiting, each with a cursor before which no task is.
    kinds: KindMap,
    /// The capabilities of which other kinds may be waiting than are in `kinds`.
    left_out: LeftOut,
    /// The searches under way, each with what was noted since it began.
    searches: HashMap<SearchNumber, KindMap>,
    next_search: u64,
    /// The agents that may have pending cancellations, and when that was noted.
    pending_cancellations: HashMap<Uuid, Epoch>,
}

impl WaitingIndex {
    pub(super) fn now(&self) -> Epoch {
        self.now
    }

    /// Returns the kinds of which there may be tasks for a poll; `None` if that is unknown, or too much to
    /// name.
    pub(super) fn kinds_for(&self, poll: &PollRequest) -> Option<Vec<KindCursor>> {
        if !self.is_complete {
            return None;
        }
        if poll.max_tasks == 0 || (self.kinds.is_empty() && self.left_out.is_empty()) {
            return Some(Vec::new());
        }
        self.kinds.matching(poll, &self.left_out, MOST_BYTES_NAMED)
    }

    pub(super) fn has_pending_cancellation(&self, agent_id: Uuid) -> bool {
        !self.pending_cancellations.is_empty() && self.pending_cancellations.contains_key(&agent_id)
    }

    /// Gives the polls of a batch their cursors and begins a search, if it looks for tasks at all. The search
    /// may miss what is noted until it ends.
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

    /// Says whether all waiting kinds of a capability are in here.
    fn knows_all_of(&self, capability: &Capability) -> bool {
        self.is_complete && !self.left_out.contains(capability)
    }

    /// Sets a cursor, or leaves the kind out if there is no room.
    fn set(&mut self, kind: &WaitingKind, cursor: QueueCursor) {
        let cursor = if self.is_listening { cursor } else { QueueCursor::START };
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

    /// Ends a search that has found nothing, or has failed.
    pub(super) fn give_up(&mut self, number: SearchNumber) {
        self.searches.remove(&number);
    }

    /// Ends a search: of each kind, it has found where tasks may still be waiting, or nothing (`None`). If a
    /// kind comes twice, the later finding counts.
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

    /// Notes that a task has come to wait; to be called after the commit, and before anybody is told.
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
            // Without their notes, the searches can find nothing.
            self.searches.clear();
        }
    }

    pub(super) fn note_cancellation(&mut self, agent_id: Uuid) {
        self.now.0 += 1;
        self.pending_cancellations.insert(agent_id, self.now);
    }

    /// Notes that an agent was told all that was pending at `epoch`.
    pub(super) fn told(&mut self, agent_id: Uuid, epoch: Epoch) {
        if self.pending_cancellations.get(&agent_id).is_some_and(|noted| *noted <= epoch) {
            self.pending_cancellations.remove(&agent_id);
        }
    }

    /// Forgets all kinds, since the store may have changed in ways that nobody has noted.
    pub(super) fn invalidate(&mut self) -> Forgotten {
        self.is_complete = false;
        Forgotten {
            _kinds: std::mem::take(&mut self.kinds),
            _left_out: std::mem::take(&mut self.left_out),
            _scan: std::mem::take(&mut self.scan),
            _searches: std::mem::take(&mut self.searches),
        }
    }

    /// Notes that events arrive from now on. Some may have been missed, so all kinds are forgotten.
    pub(super) fn listening_began(&mut self) -> Forgotten {
        self.is_listening = true;
        self.invalidate()
    }

    /// Notes that events do not arrive: a task may come to wait before any cursor.
    pub(super) fn listening_stopped(&mut self) {
        if self.is_listening {
            self.is_listening = false;
            self.kinds.set_all(QueueCursor::START);
            self.searches.clear();
            self.scan = Scan::default();
            self.read_next_at = None;
        }
    }

    /// Begins a refresh: it reads the next part of all that waits, or some of the known kinds again.
    pub(super) fn begin_reading(&mut self) -> (SearchNumber, ReadScope) {
        let is_due = !self.is_complete || self.read_next_at.is_none_or(|at| at <= Instant::now());
        if is_due && self.scan.after.is_none() {
            // The scan finds again what was left out before.
            self.scan = Scan::default();
        }
        let scope =
            if is_due { ReadScope::After(self.scan.after.clone()) } else { ReadScope::Of(self.next_known()) };
        (self.begin(), scope)
    }

    /// Says whether all waiting kinds are known, except those that are left out.
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

    /// Ends a refresh that began at `epoch`, took this long and has read `backlog`.
    pub(super) fn end_reading(
        &mut self,
        number: SearchNumber,
        epoch: Epoch,
        took: Duration,
        scope: &ReadScope,
        backlog: &Backlog,
    ) {
        // The other agents have been told since.
        self.pending_cancellations.retain(|_, noted| *noted > epoch);
        for agent_id in &backlog.pending_cancellations {
            self.note_cancellation(*agent_id);
        }
        let found = backlog.kinds.iter().map(|found| (&found.kind, Some(found.cursor)));
        let after = match scope {
            ReadScope::Of(asked) => {
                let nowhere = asked.iter().map(|asked| (&asked.kind, None));
                let mut kinds: HashMap<&WaitingKind, Option<QueueCursor>> = nowhere.collect();
                kinds.extend(found);
                self.end_search(number, kinds);
                self.is_complete &= backlog.is_complete;
                return;
            }
            ReadScope::After(after) => after,
        };
        if !self.searches.contains_key(&number) || self.scan.after != *after {
            // The search may have missed something: this part is read again.
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
            match (self.is_listening, is_only_part) {
                (true, _) => pause.max(READ_ALL_AGAIN),
                (false, true) => Duration::ZERO,
                (false, false) => pause,
            }
        };
        self.read_next_at = Some(Instant::now() + pause);
    }

    /// Replaces all kinds by those that were read, and adds what was noted since.
    fn replace(&mut self, number: SearchNumber, backlog: &Backlog) {
        let Some(noted) = self.searches.remove(&number) else { return };
        self.kinds = KindMap::default();
        for found in &backlog.kinds {
            self.set(&found.kind, found.cursor);
        }
        for KindCursor { kind, cursor } in noted.after(None) {
            let first = match self.kinds.get(&kind) {
                Some(first) => first.min(cursor),
                // Tasks that were not read may be waiting before it.
                None if self.left_out.contains(&kind.capability) => QueueCursor::START,
                None => cursor,
            };
            self.set(&kind, first);
        }
    }
}

#[cfg(test)]
mod tests;
