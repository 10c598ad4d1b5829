//! How far sweeps have looked for tasks that are due.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// How far before its own time a sweep must look again: what makes a task due may have been committed late.
const LATE: SignedDuration = SignedDuration::from_secs(15);

/// How often a sweep looks for whatever is due, however long ago.
const ALL_AGAIN: Duration = Duration::from_secs(60);

/// A span of time of which a sweep has found all that was due: before `now`, from `from` on, or (`None`)
/// however long ago.
#[derive(Debug, Clone, Copy)]
pub(super) struct SweptSpan {
    pub(super) from: Option<Timestamp>,
    pub(super) now: Timestamp,
    /// The same moment as `now`, by the clock of this machine.
    pub(super) clock: Instant,
}

/// Up to which time all that was due is done, so that sweeps do not read again rows that are only left
/// because a transaction is held open.
#[derive(Debug, Default)]
pub(super) struct SweepProgress(Mutex<Option<(Timestamp, Instant)>>);

impl SweepProgress {
    /// From when on a sweep has to look; `None`: for whatever is due.
    pub(super) fn until(&self, clock: Instant) -> Option<Timestamp> {
        let state = *self.state();
        state.filter(|(_, all)| clock < *all + ALL_AGAIN).map(|(until, _)| until)
    }

    /// Notes that nothing of a span is left to do.
    pub(super) fn done(&self, SweptSpan { from, now, clock }: SweptSpan) {
        let mut state = self.state();
        let all = state.filter(|_| from.is_some()).map_or(clock, |(_, all)| all);
        *state = now.checked_sub(LATE).ok().map(|until| (until, all));
    }

    /// Notes that something will be due at `time`.
    pub(super) fn note(&self, time: Timestamp) {
        if let Some((until, _)) = &mut *self.state() {
            *until = time.min(*until);
        }
    }

    /// Forgets how far sweeps have looked.
    pub(super) fn forget(&self) {
        *self.state() = None;
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
    fn a_sweep_begins_where_the_last_one_was() {
        let (swept, clock) = (SweepProgress::default(), Instant::now());
        assert_eq!(swept.until(clock), None);
        swept.done(SweptSpan { from: None, now: at(100), clock });
        assert_eq!(swept.until(clock), Some(at(85)));
        swept.note(at(90));
        assert_eq!(swept.until(clock), Some(at(85)));
        swept.note(at(7));
        assert_eq!(swept.until(clock), Some(at(7)));
        swept.done(SweptSpan { from: Some(at(7)), now: at(101), clock });
        assert_eq!(swept.until(clock), Some(at(86)));
    }

    #[test]
    fn from_time_to_time_a_sweep_looks_for_everything() {
        let (swept, clock) = (SweepProgress::default(), Instant::now());
        swept.done(SweptSpan { from: None, now: at(100), clock });
        let later = clock + ALL_AGAIN / 2;
        swept.done(SweptSpan { from: swept.until(later), now: at(130), clock: later });
        assert_eq!(swept.until(later), Some(at(115)));
        assert_eq!(swept.until(clock + ALL_AGAIN), None);
    }
}
