//! Logs failures of commands and reads by cause: each once a minute, however many clients try again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// One cause is logged once in this long.
const AGAIN: Duration = Duration::from_secs(60);

/// This many causes are told apart in that time.
const MOST: usize = 16;

/// The causes of the last minute.
#[derive(Debug, Default)]
pub(crate) struct FailureLog(Mutex<Option<Round>>);

#[derive(Debug)]
struct Round {
    began: Instant,
    /// How often each cause has come since it was logged.
    causes: HashMap<String, u64>,
    /// How often any other cause has come.
    others: u64,
}

/// Whether a failure is to be logged.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ShouldLog {
    /// The cause is new.
    Yes {
        /// How many failures before it were not logged.
        not_logged: u64,
    },
    /// The cause has been logged.
    No,
}

impl FailureLog {
    /// Notes a failure, and says whether to log it.
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
            return ShouldLog::No;
        }
        if round.causes.len() >= MOST {
            round.others += 1;
            return ShouldLog::No;
        }
        round.causes.insert(cause.to_owned(), 0);
        ShouldLog::Yes { not_logged }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_cause_is_said_once_a_minute() {
        let refusals = FailureLog::default();
        let aloud = |not_logged| ShouldLog::Yes { not_logged };
        assert_eq!(refusals.note("a"), aloud(0));
        assert_eq!(refusals.note("a"), ShouldLog::No);
        assert_eq!(refusals.note("b"), aloud(0));
        assert_eq!(refusals.note("b"), ShouldLog::No);
        tokio::time::advance(AGAIN).await;
        assert_eq!(refusals.note("b"), aloud(2));
        assert_eq!(refusals.note("a"), aloud(0));
    }

    #[tokio::test(start_paused = true)]
    async fn causes_that_all_differ_are_not_all_said() {
        let refusals = FailureLog::default();
        let said = (0..1_000).filter(|n| refusals.note(&format!("{n}")) != ShouldLog::No).count();
        assert_eq!(said, MOST);
        tokio::time::advance(AGAIN).await;
        assert_eq!(refusals.note("x"), ShouldLog::Yes { not_logged: 1_000 - MOST as u64 });
    }
}
