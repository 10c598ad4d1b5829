//! What an AFM remembers from batch to batch. All of it may be lost.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use uuid::Uuid;

use super::lines::Lines;
use super::notices::Speaker;

/// How long before a sweep a time may be that it must look for again: what makes it due may have been committed late.
const LATE: SignedDuration = SignedDuration::from_secs(15);

/// How often a sweep looks for whatever is due, however long ago.
const ALL_AGAIN: Duration = Duration::from_secs(60);

/// One for all connections.
#[derive(Debug)]
pub(super) struct Memory {
    /// This AFM, to others.
    pub(super) me: Speaker,
    pub(super) lines: Lines,
    pub(super) signs: Signs,
    pub(super) swept: Swept,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self { me: Speaker::new(), lines: Lines::default(), signs: Signs::default(), swept: Swept::default() }
    }

    /// The tables are not what they were.
    pub(super) fn clear(&self) {
        self.lines.forget();
        self.signs.take();
        *self.swept.state() = None;
    }
}

/// Signs of life that agents gave within a second of the last one that was saved. Sweeps save them before they look
/// who is lost.
#[derive(Debug, Default)]
pub(super) struct Signs(Mutex<HashMap<Uuid, Timestamp>>);

impl Signs {
    pub(super) fn keep(&self, signs: impl IntoIterator<Item = (Uuid, Timestamp)>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, at) in signs {
            let latest = kept.entry(id).or_insert(at);
            *latest = at.max(*latest);
        }
    }

    pub(super) fn take(&self) -> HashMap<Uuid, Timestamp> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Up to when all that was due is done, so that sweeps do not read again what is only left because somebody holds a
/// transaction open.
#[derive(Debug, Default)]
pub(super) struct Swept(Mutex<Option<(Timestamp, Instant)>>);

impl Swept {
    /// From when on to look; `None`: for whatever is due.
    pub(super) fn until(&self, clock: Instant) -> Option<Timestamp> {
        let state = *self.state();
        state.filter(|(_, all)| clock < *all + ALL_AGAIN).map(|(until, _)| until)
    }

    /// Nothing that was due before `now` is left, as far as was looked for: from `from` on.
    pub(super) fn done(&self, from: Option<Timestamp>, now: Timestamp, clock: Instant) {
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
        signs.keep([(a, at(1)), (b, at(9))]);
        signs.keep([(a, at(3)), (b, at(5))]);
        assert_eq!(signs.take(), HashMap::from([(a, at(3)), (b, at(9))]));
        assert!(signs.take().is_empty());
    }

    #[test]
    fn a_sweep_begins_where_the_last_one_was() {
        let (swept, clock) = (Swept::default(), Instant::now());
        assert_eq!(swept.until(clock), None);
        swept.done(None, at(100), clock);
        assert_eq!(swept.until(clock), Some(at(85)));
        swept.note(at(90));
        assert_eq!(swept.until(clock), Some(at(85)));
        swept.note(at(7));
        assert_eq!(swept.until(clock), Some(at(7)));
        swept.done(Some(at(7)), at(101), clock);
        assert_eq!(swept.until(clock), Some(at(86)));
    }

    #[test]
    fn from_time_to_time_a_sweep_looks_for_everything() {
        let (swept, clock) = (Swept::default(), Instant::now());
        swept.done(None, at(100), clock);
        let later = clock + ALL_AGAIN / 2;
        swept.done(swept.until(later), at(130), later);
        assert_eq!(swept.until(later), Some(at(115)));
        assert_eq!(swept.until(clock + ALL_AGAIN), None);
    }
}
