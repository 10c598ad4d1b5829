//! Where the lines of waiting tasks begin.
//!
//! While somebody holds a transaction open, PostgreSQL keeps all that was claimed since: each claim would read past
//! every one before it. So an AFM remembers, for each kind of task, the first place at which one may still wait, and
//! looks from there.
//!
//! What it remembers is never too high for longer than a hint takes. A task that comes to wait is noted once it is
//! committed: by the batch that did it and, in other AFMs, when they are notified. A look that began before that may
//! not have seen the task, and so may not raise its line past it. While notifications cannot be heard nothing is
//! remembered, and every look is from the very start.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use slamon_protocol::PostTask;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::WaitingKind;

/// How many kinds are remembered: those of any more are looked for from the start.
pub(super) const MOST_KINDS: u32 = 10_000;

/// How much all that is remembered may take, in bytes of types and filters: where it is more, all are looked for from the
/// start.
const MOST_BYTES: usize = 32 * 1024 * 1024;

/// What tasks are in line by: a type in a version, and a filter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Kind {
    pub(super) task_type: String,
    pub(super) version: i64,
    /// As the table has it.
    pub(super) filter: String,
}

impl Kind {
    pub(super) fn of(kind: &WaitingKind) -> Self {
        Self {
            task_type: kind.capability.task_type.clone(),
            version: kind.capability.version,
            filter: kind.agent_filter.key(),
        }
    }

    fn text_bytes(&self) -> usize {
        self.task_type.len() + self.filter.len()
    }
}

/// A place in line, the first to be served being the lowest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The priority, negated.
    pub(super) rank: i32,
    /// The order of arrival.
    pub(super) seq: i64,
}

impl Place {
    /// Before all others.
    pub(super) const START: Self = Self { rank: i32::MIN, seq: i64::MIN };

    pub(super) fn of(posted: &PostTask, seq: i64) -> Self {
        Self { rank: posted.terms.priority.saturating_neg(), seq }
    }
}

/// What is remembered of all lines. Every connection of one AFM shares it.
#[derive(Debug, Default)]
pub(super) struct Lines {
    memory: Mutex<Memory>,
    /// Told when all was forgotten, and is to be looked for at once.
    forgotten: Notify,
}

#[derive(Debug, Default)]
struct Memory {
    /// Whether notifications are listened for.
    listening: bool,
    /// Whether others may not be able to send any.
    muffled: bool,
    /// Whether a kind without a front has nobody in line.
    complete: bool,
    /// Nobody waits before these places.
    fronts: Fronts,
    /// What was noted since they began, of the looks that may raise fronts.
    looks: HashMap<u64, Fronts>,
    /// The number of the next look.
    next: u64,
    /// Tasks that are being claimed, each by the number of its look.
    taken: HashMap<Uuid, u64>,
}

impl Memory {
    fn hears(&self) -> bool {
        self.listening && !self.muffled
    }

    fn forget(&mut self) {
        self.complete = false;
        self.fronts = Fronts::default();
        self.looks.clear();
    }

    /// Where that is more than fits, nothing is remembered.
    fn forget_if_large(&mut self) {
        let looks: usize = self.looks.values().map(|look| look.bytes).sum();
        let most = if self.complete { 2 * MOST_KINDS } else { MOST_KINDS } as usize;
        if self.fronts.places.len() > most || self.fronts.bytes + looks > MOST_BYTES {
            self.forget();
        }
    }
}

/// The first place of each kind, and how large the kinds are.
#[derive(Debug, Default)]
struct Fronts {
    places: HashMap<Kind, Place>,
    bytes: usize,
}

impl Fronts {
    fn get(&self, kind: &Kind) -> Option<Place> {
        self.places.get(kind).copied()
    }

    fn lower(&mut self, kind: &Kind, place: Place) {
        self.set(kind, self.get(kind).map_or(place, |front| place.min(front)));
    }

    fn set(&mut self, kind: &Kind, place: Place) {
        match self.places.get_mut(kind) {
            Some(front) => *front = place,
            None => {
                self.bytes += kind.text_bytes();
                self.places.insert(kind.clone(), place);
            }
        }
    }

    fn remove(&mut self, kind: &Kind) {
        if self.places.remove(kind).is_some() {
            self.bytes -= kind.text_bytes();
        }
    }
}

/// Somebody looks for waiting tasks. To be begun before the database is asked.
#[derive(Debug)]
pub(super) struct Look<'l> {
    lines: &'l Lines,
    number: u64,
}

impl Lines {
    pub(super) fn look(&self) -> Look<'_> {
        let mut memory = self.memory();
        let number = memory.next;
        memory.next += 1;
        if memory.hears() {
            memory.looks.insert(number, Fronts::default());
        }
        Look { lines: self, number }
    }

    /// Tasks wait, the first of them in this place. To be called once that is committed.
    pub(super) fn note(&self, waiting: impl IntoIterator<Item = (Kind, Place)>) {
        let mut memory = self.memory();
        let Memory { complete, fronts, looks, .. } = &mut *memory;
        for (kind, place) in waiting {
            if *complete || fronts.get(&kind).is_some() {
                fronts.lower(&kind, place);
            }
            for look in looks.values_mut() {
                look.lower(&kind, place);
            }
        }
        memory.forget_if_large();
    }

    /// Whether notifications are heard.
    pub(super) fn are_heard(&self) -> bool {
        self.memory().hears()
    }

    /// Notifications are heard from now on.
    pub(super) fn hear(&self) {
        let mut memory = self.memory();
        memory.forget();
        memory.listening = true;
    }

    /// Whether others may not be able to send any, although they are listened for. Says whether that is news.
    pub(super) fn muffle(&self, muffled: bool) -> bool {
        let mut memory = self.memory();
        if memory.muffled == muffled {
            return false;
        }
        memory.muffled = muffled;
        memory.forget();
        drop(memory);
        self.forgotten.notify_one();
        true
    }

    /// They are not heard any more.
    pub(super) fn deafen(&self) {
        let mut memory = self.memory();
        memory.forget();
        memory.listening = false;
    }

    /// Something may have come to wait anywhere.
    pub(super) fn forget(&self) {
        self.memory().forget();
        self.forgotten.notify_one();
    }

    /// Waits for [`Lines::forget`].
    pub(super) async fn forgotten(&self) {
        self.forgotten.notified().await;
    }

    /// The fronts of all lines that anybody may be in; `None` where not all are known.
    pub(super) fn all(&self) -> Option<Vec<(Kind, Place)>> {
        let memory = self.memory();
        let all = || memory.fronts.places.iter().map(|(kind, place)| (kind.clone(), *place)).collect();
        memory.complete.then(all)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Look<'_> {
    /// From where to look for each kind; `None`: nobody is in line.
    pub(super) fn fronts<'k>(&self, kinds: impl IntoIterator<Item = &'k Kind>) -> Vec<Option<Place>> {
        let memory = self.lines.memory();
        let unknown = (!memory.complete).then_some(Place::START);
        kinds.into_iter().map(|kind| memory.fronts.get(kind).or(unknown)).collect()
    }

    /// Takes tasks to claim them, until this look ends. What another look has taken stays with that.
    pub(super) fn take(&self, ids: impl IntoIterator<Item = Uuid>) {
        let mut memory = self.lines.memory();
        for id in ids {
            memory.taken.entry(id).or_insert(self.number);
        }
    }

    /// The tasks that other batches of this AFM are claiming just now.
    pub(super) fn taken_by_others(&self) -> HashSet<Uuid> {
        let taken = &self.lines.memory().taken;
        taken.iter().filter(|(_, look)| **look != self.number).map(|(id, _)| *id).collect()
    }

    /// What was found: of each kind the first place at which anybody may still wait, `None` if nowhere.
    pub(super) fn end<'k>(self, found: impl IntoIterator<Item = (&'k Kind, Option<Place>)>) {
        let mut memory = self.lines.memory();
        let Some(noted) = memory.looks.remove(&self.number) else { return };
        for (kind, place) in found {
            match (place, noted.get(kind)) {
                (None, None) => memory.fronts.remove(kind),
                (Some(front), None) | (None, Some(front)) => memory.fronts.set(kind, front),
                (Some(front), Some(noted)) => memory.fronts.set(kind, front.min(noted)),
            }
        }
        memory.forget_if_large();
    }

    /// What was found from the very start: the first place of each kind, and whether these are all kinds. It only
    /// lowers what is known, as it may have been raised meanwhile.
    pub(super) fn end_of_all<'k>(self, found: impl IntoIterator<Item = (&'k Kind, Place)>, is_all: bool) {
        let mut memory = self.lines.memory();
        let Some(noted) = memory.looks.remove(&self.number) else { return };
        let Memory { complete, fronts, .. } = &mut *memory;
        for (kind, place) in found {
            fronts.lower(kind, place);
        }
        if !*complete && is_all {
            for (kind, place) in &noted.places {
                fronts.lower(kind, *place);
            }
            *complete = true;
        }
        memory.forget_if_large();
    }
}

impl Drop for Look<'_> {
    fn drop(&mut self) {
        let mut memory = self.lines.memory();
        memory.looks.remove(&self.number);
        memory.taken.retain(|_, look| *look != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(task_type: &str) -> Kind {
        Kind { task_type: task_type.to_owned(), version: 1, filter: String::new() }
    }

    fn at(seq: i64) -> Place {
        Place { rank: 0, seq }
    }

    fn front(lines: &Lines, kind: &Kind) -> Option<Place> {
        lines.look().fronts([kind])[0]
    }

    #[test]
    fn who_cannot_hear_knows_nothing() {
        let (lines, t) = (Lines::default(), kind("t"));
        lines.look().end([(&t, Some(at(7)))]);
        lines.look().end_of_all([], true);
        assert_eq!((front(&lines, &t), lines.all()), (Some(Place::START), None));
        // A look that began in that time says nothing, either.
        let look = lines.look();
        lines.hear();
        look.end([(&t, Some(at(7)))]);
        assert_eq!(front(&lines, &t), Some(Place::START));
    }

    #[test]
    fn who_hears_others_that_cannot_speak_knows_nothing() {
        let (lines, t) = (Lines::default(), kind("t"));
        lines.hear();
        lines.look().end([(&t, Some(at(7)))]);
        assert!(lines.are_heard() && lines.muffle(true) && !lines.muffle(true));
        assert_eq!((front(&lines, &t), lines.are_heard()), (Some(Place::START), false));
        lines.look().end([(&t, Some(at(7)))]);
        assert_eq!(front(&lines, &t), Some(Place::START));
        assert!(lines.muffle(false) && lines.are_heard());
        lines.look().end([(&t, Some(at(7)))]);
        assert_eq!(front(&lines, &t), Some(at(7)));
    }

    #[test]
    fn a_look_moves_the_front_but_not_past_what_it_may_have_missed() {
        let (lines, t) = (Lines::default(), kind("t"));
        lines.hear();
        lines.look().end([(&t, Some(at(7)))]);
        assert_eq!(front(&lines, &t), Some(at(7)));
        let look = lines.look();
        lines.note([(t.clone(), at(20)), (t.clone(), at(9)), (kind("u"), at(1))]);
        look.end([(&t, Some(at(30)))]);
        assert_eq!(front(&lines, &t), Some(at(9)));
        lines.note([(t.clone(), at(5)), (t.clone(), at(6))]);
        assert_eq!(front(&lines, &t), Some(at(5)));
        // One of a higher priority comes before all.
        lines.note([(t.clone(), Place { rank: -1, seq: 90 })]);
        assert_eq!(front(&lines, &t), Some(Place { rank: -1, seq: 90 }));
        lines.forget();
        assert_eq!(front(&lines, &t), Some(Place::START));
    }

    #[test]
    fn where_all_kinds_are_known_nobody_waits_in_others() {
        let (lines, t, u) = (Lines::default(), kind("t"), kind("u"));
        lines.hear();
        let look = lines.look();
        lines.note([(u.clone(), at(3))]);
        look.end_of_all([(&t, at(1))], true);
        let mut all = lines.all().unwrap_or_default();
        all.sort_unstable();
        assert_eq!(all, [(t.clone(), at(1)), (u.clone(), at(3))]);
        assert_eq!(front(&lines, &kind("v")), None);
        // A line that has ended begins again with the next task.
        lines.look().end([(&t, None)]);
        assert_eq!(front(&lines, &t), None);
        lines.note([(t.clone(), at(8))]);
        assert_eq!(front(&lines, &t), Some(at(8)));
        // What was noted while somebody looked, and found nobody, is still there.
        let look = lines.look();
        lines.note([(u.clone(), at(9))]);
        look.end([(&u, None)]);
        assert_eq!(front(&lines, &u), Some(at(9)));
    }

    #[test]
    fn a_look_at_all_only_lowers() {
        let (lines, t, u) = (Lines::default(), kind("t"), kind("u"));
        lines.hear();
        lines.look().end([(&t, Some(at(7))), (&u, Some(at(7)))]);
        lines.look().end_of_all([(&t, at(9)), (&u, at(5))], false);
        assert_eq!((front(&lines, &t), front(&lines, &u)), (Some(at(7)), Some(at(5))));
        assert_eq!(front(&lines, &kind("v")), Some(Place::START));
    }

    #[test]
    fn a_look_that_began_before_all_was_forgotten_says_nothing() {
        let (lines, t) = (Lines::default(), kind("t"));
        lines.hear();
        let (look, all) = (lines.look(), lines.look());
        lines.forget();
        look.end([(&t, Some(at(7)))]);
        all.end_of_all([], true);
        assert_eq!((front(&lines, &t), lines.all()), (Some(Place::START), None));
    }

    #[test]
    fn a_task_is_taken_by_one_at_a_time() {
        let lines = Lines::default();
        let [a, b, c] = [1, 2, 3].map(Uuid::from_u128);
        let (one, other) = (lines.look(), lines.look());
        one.take([a, b]);
        other.take([b, c]);
        assert_eq!(one.taken_by_others(), HashSet::from([c]));
        assert_eq!(other.taken_by_others(), HashSet::from([a, b]));
        one.end([]);
        assert_eq!(other.taken_by_others(), HashSet::new());
    }

    #[test]
    fn what_is_too_large_to_remember_is_looked_for_from_the_start() {
        let large = |n: i64| kind(&format!("{n}{}", "x".repeat(1024 * 1024)));
        let lines = Lines::default();
        lines.hear();
        lines.look().end_of_all([], true);
        // A look that goes on for long notes what comes meanwhile.
        let look = lines.look();
        for n in 0..100 {
            lines.note([(large(n), at(n))]);
            let memory = lines.memory();
            assert!(
                memory.fronts.bytes + memory.looks.values().map(|look| look.bytes).sum::<usize>()
                    <= MOST_BYTES
            );
        }
        assert_eq!((lines.all(), front(&lines, &large(0))), (None, Some(Place::START)));
        look.end([(&large(99), None)]);
        assert_eq!(front(&lines, &large(99)), Some(Place::START), "it has missed some");
        lines.look().end(
            (0..10).map(|n| (large(n), at(n))).collect::<Vec<_>>().iter().map(|(kind, at)| (kind, Some(*at))),
        );
        assert_eq!(front(&lines, &large(9)), Some(at(9)));
        lines.look().end((0..10).map(large).collect::<Vec<_>>().iter().map(|kind| (kind, None)));
        assert_eq!(lines.memory().fronts.bytes, 0);
    }
}
