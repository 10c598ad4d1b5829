//! Counts log lines that clients can cause as fast as they like: the first is logged, those that follow are
//! counted, and the count is logged once a second.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The count of one kind of line is logged once in this long.
const SUMMARY_AGAIN: Duration = Duration::from_secs(1);

/// What the lines have in common that count as repeats of each other: an answer that says that the server
/// failed. There are few kinds, since clients choose none of these values.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct AnswerKind {
    pub(crate) method: &'static str,
    pub(crate) route: String,
    pub(crate) status: u16,
}

/// Says whether a line of this kind is to be logged now. If not, it is counted.
pub(crate) fn is_first(kind: AnswerKind) -> bool {
    REPEATS.is_first(kind)
}

/// Logs what has been counted, when the program ends.
pub(crate) fn finish() {
    REPEATS.take(Duration::ZERO).iter().for_each(log);
}

static REPEATS: Repeats = Repeats { state: Mutex::new(None), counted: Condvar::new() };

struct Repeats {
    /// `None` until the first line, with which the thread that logs the counts is started.
    state: Mutex<Option<HashMap<AnswerKind, Series>>>,
    /// Notified when the first line of a kind is counted.
    counted: Condvar,
}

/// The lines of one kind.
#[derive(Debug, Clone, Copy)]
struct Series {
    /// When one of them, or their count, was last logged.
    logged_at: Instant,
    count: u64,
}

impl Repeats {
    fn is_first(&'static self, kind: AnswerKind) -> bool {
        let mut state = self.lock();
        let all = state.get_or_insert_with(|| {
            // If the thread cannot start, only `finish` logs the counts.
            let _ = thread::Builder::new().name("log-repeats".to_owned()).spawn(|| self.log_counts());
            HashMap::new()
        });
        let now = Instant::now();
        match all.get_mut(&kind) {
            Some(series) if series.count > 0 || now.duration_since(series.logged_at) < SUMMARY_AGAIN => {
                series.count += 1;
                if series.count == 1 {
                    self.counted.notify_one();
                }
                false
            }
            _ => {
                all.insert(kind, Series { logged_at: now, count: 0 });
                true
            }
        }
    }

    fn log_counts(&self) {
        loop {
            let nothing = |state: &mut Option<HashMap<AnswerKind, Series>>| {
                state.iter().flat_map(HashMap::values).all(|series| series.count == 0)
            };
            drop(self.counted.wait_while(self.lock(), nothing));
            thread::sleep(SUMMARY_AGAIN);
            self.take(SUMMARY_AGAIN / 2).iter().for_each(log);
        }
    }

    /// Takes the counts of which nothing was logged for this long.
    fn take(&self, silent_for: Duration) -> Vec<(AnswerKind, u64)> {
        let (mut state, now) = (self.lock(), Instant::now());
        let all = state.iter_mut().flatten();
        let due = all.filter(|(_, series)| {
            series.count > 0 && now.saturating_duration_since(series.logged_at) >= silent_for
        });
        due.map(|(kind, series)| {
            series.logged_at = now;
            (kind.clone(), std::mem::take(&mut series.count))
        })
        .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Option<HashMap<AnswerKind, Series>>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn log((AnswerKind { method, route, status }, repeats): &(AnswerKind, u64)) {
    tracing::info!(method, route, status, repeats, "answered");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A set of its own, which no other test counts in; it lives as long as its thread.
    fn repeats() -> &'static Repeats {
        Box::leak(Box::new(Repeats { state: Mutex::new(Some(HashMap::new())), counted: Condvar::new() }))
    }

    fn answer(status: u16) -> AnswerKind {
        AnswerKind { method: "POST", route: "/task".to_owned(), status }
    }

    #[test]
    fn the_first_is_logged_and_the_rest_is_counted_by_kind() {
        let repeats = repeats();
        assert!(repeats.is_first(answer(503)));
        for _ in 0..1_000 {
            assert!(!repeats.is_first(answer(503)));
        }
        assert!(repeats.is_first(answer(500)));
        assert_eq!(repeats.take(Duration::ZERO), [(answer(503), 1_000)]);
        assert_eq!(repeats.take(Duration::ZERO), []);
        // A kind whose count was just taken goes on to be counted.
        assert!(!repeats.is_first(answer(503)));
        assert_eq!(repeats.take(Duration::from_secs(60)), [], "not again so soon");
        assert_eq!(repeats.take(Duration::ZERO), [(answer(503), 1)]);
    }
}
