//! What the log says of commands and reads that fail: each cause once a minute, however many clients try again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How often one cause is logged.
const AGAIN: Duration = Duration::from_secs(60);

/// How many causes are told apart in that time.
const MOST: usize = 16;

/// The causes of the last minute.
#[derive(Debug, Default)]
pub(crate) struct FailureLog(Mutex<Option<Round>>);

#[derive(Debug)]
struct Round {
    began: Instant,
    /// How often each has come since it was logged.
    causes: HashMap<String, u64>,
    /// How often any others have come.
    others: u64,
}

/// What to do about a failure.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ShouldLog {
    /// It is new. So many failures have not been logged before it.
    Aloud {
        /// Since the last one that was.
        not_logged: u64,
    },
    /// It has been logged.
    Nothing,
}

impl FailureLog {
    /// Notes a failure.
    pub(crate) fn note(&self, cause: &str) -> ShouldLog {
        let now = Instant::now();
        let mut round = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut not_logged = 0;
        if let Some(last) = round.take_if(|round| now >= round.began + AGAIN) {
            not_logged = last.causes.values().sum::<u64>() + last.others;
        }
        let round = round.get_or_insert_with(|| Round { began: now, causes: HashMap::new(), others: 0 });
        if let Some(count) = round.causes.get_mut(cause) {
            *count += 1;
            return ShouldLog::Nothing;
        }
        if round.causes.len() >= MOST {
            round.others += 1;
            return ShouldLog::Nothing;
        }
        round.causes.insert(cause.to_owned(), 0);
        ShouldLog::Aloud { not_logged }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_cause_is_said_once_a_minute() {
        let refusals = FailureLog::default();
        let aloud = |not_logged| ShouldLog::Aloud { not_logged };
        assert_eq!(refusals.note("a"), aloud(0));
        assert_eq!(refusals.note("a"), ShouldLog::Nothing);
        assert_eq!(refusals.note("b"), aloud(0));
        assert_eq!(refusals.note("b"), ShouldLog::Nothing);
        tokio::time::advance(AGAIN).await;
        assert_eq!(refusals.note("b"), aloud(2));
        assert_eq!(refusals.note("a"), aloud(0));
    }

    #[tokio::test(start_paused = true)]
    async fn causes_that_all_differ_are_not_all_said() {
        let refusals = FailureLog::default();
        let said = (0..1_000).filter(|n| refusals.note(&format!("{n}")) != ShouldLog::Nothing).count();
        assert_eq!(said, MOST);
        tokio::time::advance(AGAIN).await;
        assert_eq!(refusals.note("x"), ShouldLog::Aloud { not_logged: 1_000 - MOST as u64 });
    }
}
