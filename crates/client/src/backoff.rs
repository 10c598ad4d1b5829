//! How long to wait before another try.

use std::time::Duration;

use uuid::Uuid;

/// Waits that double from a second on, up to a longest one, each less up to half of it at random: agents that lost an
/// AFM at the same time do not come back at the same time.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
    longest: Duration,
}

const FIRST: Duration = Duration::from_secs(1);

impl Backoff {
    /// Waits of at most `longest`.
    #[must_use]
    pub fn new(longest: Duration) -> Self {
        Self { next: FIRST.min(longest), longest }
    }

    /// The wait before the next try. `asked` is what the other side asked for, which is a least wait.
    pub fn wait(&mut self, asked: Option<Duration>) -> Duration {
        let wait = self.next.mul_f64(1.0 - random() / 2.0);
        self.next = (self.next * 2).min(self.longest);
        wait.max(asked.unwrap_or_default().min(self.longest))
    }

    /// Begins anew, after something went well.
    pub fn reset(&mut self) {
        self.next = FIRST.min(self.longest);
    }
}

/// A random number from 0 up to 1.
fn random() -> f64 {
    let (_, bits) = Uuid::new_v4().as_u64_pair();
    f64::from((bits & 0xffff_ffff) as u32) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_begin_anew() {
        let longest = Duration::from_secs(10);
        let mut backoff = Backoff::new(longest);
        for most in [1, 2, 4, 8, 10, 10] {
            let most = Duration::from_secs(most);
            let wait = backoff.wait(None);
            assert!(wait <= most && wait >= most / 2, "{wait:?} of {most:?}");
        }
        backoff.reset();
        assert!(backoff.wait(None) <= FIRST);
    }

    #[test]
    fn what_the_other_side_asks_for_is_the_least_and_never_more_than_the_longest() {
        let mut backoff = Backoff::new(Duration::from_secs(10));
        assert_eq!(backoff.wait(Some(Duration::from_secs(5))), Duration::from_secs(5));
        assert_eq!(backoff.wait(Some(Duration::from_secs(500))), Duration::from_secs(10));
    }
}
