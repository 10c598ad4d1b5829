//! What an AFM remembers from batch to batch. All of it may be lost.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use uuid::Uuid;

use super::claiming::Claiming;
use super::in_doubt::TransactionsInDoubt;
use super::notifications::InstanceId;
use super::notify_pause::NotifyPause;
use super::reception::Reception;

/// How long before a sweep a time may be that it must look for again: what makes it due may have been
/// committed late.
const LATE: SignedDuration = SignedDuration::from_secs(15);

/// How often a sweep looks for whatever is due, however long ago.
const ALL_AGAIN: Duration = Duration::from_secs(60);

/// One for all connections.
#[derive(Debug)]
pub(super) struct Memory {
    /// This AFM, to others.
    pub(super) me: InstanceId,
    pub(super) reception: Reception,
    pub(super) claiming: Claiming,
    pub(super) signs: Signs,
    pub(super) swept: Swept,
    pub(super) in_doubt: TransactionsInDoubt,
    pub(super) notify_pause: NotifyPause,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self {
            me: InstanceId::random(),
            reception: Reception::default(),
            claiming: Claiming::default(),
            signs: Signs::default(),
            swept: Swept::default(),
            in_doubt: TransactionsInDoubt::default(),
            notify_pause: NotifyPause::default(),
        }
    }

    /// The tables are not what they were.
    pub(super) fn clear(&self) {
        self.signs.clear();
        *self.swept.state() = None;
    }
}

/// How old a sign of life must be for the next to be saved. Agents that poll and report all the time would be
/// written with each: while somebody holds a transaction open, every version of their rows stays, and is read
/// past.
const OLD: SignedDuration = SignedDuration::from_secs(1);

/// Of how many agents it is remembered when they were saved last.
const MOST_SAVED: usize = 100_000;

/// Signs of life that agents gave soon after the last one that was saved. Sweeps know of them when they look
/// who is lost, and save them.
#[derive(Debug, Default)]
pub(super) struct Signs(Mutex<Given>);

#[derive(Debug, Default)]
struct Given {
    kept: HashMap<Uuid, Timestamp>,
    saved: HashMap<Uuid, Timestamp>,
}

impl Signs {
    /// Whether a sign of life at `at` is to be saved after one at `saved`.
    pub(super) fn is_due(saved: Timestamp, at: Timestamp) -> bool {
        at.duration_since(saved) >= OLD
    }

    /// Keeps a sign of life, if one was saved a moment before; else `false`.
    pub(super) fn keeps(&self, id: Uuid, at: Timestamp) -> bool {
        let mut given = self.given();
        let is_fresh = given.saved.get(&id).is_some_and(|saved| !Self::is_due(*saved, at));
        if is_fresh {
            given.keep(id, at);
        }
        is_fresh
    }

    /// Keeps signs of life of agents that were last saved at these times.
    pub(super) fn keep(&self, signs: impl IntoIterator<Item = (Uuid, Timestamp, Timestamp)>) {
        let mut given = self.given();
        if given.saved.len() > MOST_SAVED {
            given.saved.clear();
        }
        for (id, at, saved) in signs {
            given.keep(id, at);
            given.saved.insert(id, saved);
        }
    }

    /// The latest of an agent that was kept.
    pub(super) fn kept_of(&self, id: Uuid) -> Option<Timestamp> {
        self.given().kept.get(&id).copied()
    }

    /// All that were kept.
    pub(super) fn all(&self) -> HashMap<Uuid, Timestamp> {
        self.given().kept.clone()
    }

    /// These are saved.
    pub(super) fn saved(&self, signs: &HashMap<Uuid, Timestamp>) {
        let mut given = self.given();
        for (id, at) in signs {
            if given.kept.get(id).is_some_and(|kept| kept <= at) {
                given.kept.remove(id);
            }
        }
        given.saved.clear();
    }

    pub(super) fn clear(&self) {
        *self.given() = Given::default();
    }

    fn given(&self) -> MutexGuard<'_, Given> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Given {
    fn keep(&mut self, id: Uuid, at: Timestamp) {
        let latest = self.kept.entry(id).or_insert(at);
        *latest = at.max(*latest);
    }
}

/// All was found that was due before `now`, from `from` on; `None`: however long ago.
#[derive(Debug, Clone, Copy)]
pub(super) struct Done {
    pub(super) from: Option<Timestamp>,
    pub(super) now: Timestamp,
    /// The same moment as `now`.
    pub(super) clock: Instant,
}

/// Up to when all that was due is done, so that sweeps do not read again what is only left because somebody
/// holds a transaction open.
#[derive(Debug, Default)]
pub(super) struct Swept(Mutex<Option<(Timestamp, Instant)>>);

impl Swept {
    /// From when on to look; `None`: for whatever is due.
    pub(super) fn until(&self, clock: Instant) -> Option<Timestamp> {
        let state = *self.state();
        state.filter(|(_, all)| clock < *all + ALL_AGAIN).map(|(until, _)| until)
    }

    /// Nothing of that is left.
    pub(super) fn done(&self, Done { from, now, clock }: Done) {
        let mut state = self.state();
        let all = state.filter(|_| from.is_some()).map_or(clock, |(_, all)| all);
        *state = now.checked_sub(LATE).ok().map(|until| (until, all));
    }

    /// Something is due at `time`.
    pub(super) fn note(&self, time: Timestamp) {
        if let Some((until, _)) = &mut *self.state() {
            *until = time.min(*until);
        }
    }

    fn state(&self) -> MutexGuard<'_, Option<(Timestamp, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap_or(Timestamp::MAX)
    }

    #[test]
    fn the_latest_sign_counts() {
        let signs = Signs::default();
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        signs.keep([(a, at(1), at(1)), (b, at(9), at(9))]);
        signs.keep([(a, at(3), at(3)), (b, at(5), at(5))]);
        let all = signs.all();
        assert_eq!(all, HashMap::from([(a, at(3)), (b, at(9))]));
        // One that came meanwhile is kept.
        signs.keep([(a, at(4), at(3))]);
        signs.saved(&all);
        assert_eq!(signs.all(), HashMap::from([(a, at(4))]));
    }

    #[test]
    fn a_sign_soon_after_one_that_was_saved_is_kept() {
        let (signs, a) = (Signs::default(), Uuid::from_u128(1));
        assert!(!signs.keeps(a, at(5)));
        signs.keep([(a, at(5), at(5))]);
        let soon = at(5) + SignedDuration::from_millis(999);
        assert!(signs.keeps(a, soon));
        assert!(!signs.keeps(a, at(6)));
        assert_eq!(signs.all(), HashMap::from([(a, soon)]));
        signs.saved(&signs.all());
        assert!(!signs.keeps(a, soon));
    }

    #[test]
    fn a_sweep_begins_where_the_last_one_was() {
        let (swept, clock) = (Swept::default(), Instant::now());
        assert_eq!(swept.until(clock), None);
        swept.done(Done { from: None, now: at(100), clock });
        assert_eq!(swept.until(clock), Some(at(85)));
        swept.note(at(90));
        assert_eq!(swept.until(clock), Some(at(85)));
        swept.note(at(7));
        assert_eq!(swept.until(clock), Some(at(7)));
        swept.done(Done { from: Some(at(7)), now: at(101), clock });
        assert_eq!(swept.until(clock), Some(at(86)));
    }

    #[test]
    fn from_time_to_time_a_sweep_looks_for_everything() {
        let (swept, clock) = (Swept::default(), Instant::now());
        swept.done(Done { from: None, now: at(100), clock });
        let later = clock + ALL_AGAIN / 2;
        swept.done(Done { from: swept.until(later), now: at(130), clock: later });
        assert_eq!(swept.until(later), Some(at(115)));
        assert_eq!(swept.until(clock + ALL_AGAIN), None);
    }
}
