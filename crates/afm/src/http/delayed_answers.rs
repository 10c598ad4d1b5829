//! Delays answers that tell agents to try again.
//!
//! Agents of the first protocol do not know `Retry-After`: they come back at once, on a new connection, as
//! fast as they are turned away. So a 503 is sent [`DELAY`] after its request came, at the earliest.

use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// An answer is sent this long after its request came, at the earliest.
const DELAY: Duration = Duration::from_secs(1);

/// At most this many answers wait. Any more are sent at once.
const MAX_WAITING: u64 = 4_096;

/// Answers that wait may take one in this many of the files that the process may open, since others need
/// connections, too.
const SHARE_OF_FILES: u64 = 4;

/// Room for answers that wait.
#[derive(Debug)]
pub(crate) struct DelayedAnswers {
    room: Semaphore,
}

impl DelayedAnswers {
    /// Creates as much room as there are connections to spare.
    pub(crate) fn new() -> Self {
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        Self::with_room((files / SHARE_OF_FILES).min(MAX_WAITING))
    }

    fn with_room(room: u64) -> Self {
        Self { room: Semaphore::new(usize::try_from(room).unwrap_or(Semaphore::MAX_PERMITS)) }
    }

    /// Waits until the answer to a request that came at this time may be sent. Returns `false` at once if
    /// there is no room to wait.
    pub(crate) async fn delay(&self, came: Instant, stop: &CancellationToken) -> bool {
        let Ok(_room) = self.room.try_acquire() else { return false };
        tokio::select! {
            () = tokio::time::sleep_until(came + DELAY) => {}
            () = stop.cancelled() => {}
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_leaves_a_while_after_its_request_came() {
        let (delayed, stop) = (DelayedAnswers::new(), CancellationToken::new());
        let came = Instant::now();
        tokio::time::advance(DELAY / 4).await;
        assert!(delayed.delay(came, &stop).await);
        assert_eq!(came.elapsed(), DELAY);
        // By now this answer is late by itself.
        assert!(delayed.delay(came, &stop).await);
        assert_eq!(came.elapsed(), DELAY);
    }

    #[tokio::test(start_paused = true)]
    async fn without_room_and_at_a_stop_it_leaves_at_once() {
        let (delayed, stop) = (DelayedAnswers::with_room(1), CancellationToken::new());
        let came = Instant::now();
        let mut first = Box::pin(delayed.delay(came, &stop));
        tokio::select! { biased; _ = &mut first => unreachable!("it waits"), () = async {} => {} }
        assert!(!delayed.delay(came, &stop).await, "there is no room");
        stop.cancel();
        assert!(first.await);
        assert!(delayed.delay(came, &stop).await, "whoever leaves makes room");
        assert_eq!(came.elapsed(), Duration::ZERO);
    }
}
