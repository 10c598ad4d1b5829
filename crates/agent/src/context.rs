//! What a handler knows about the task that it executes.

use std::future;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// What a handler knows about the task that it executes, beside its data.
#[derive(Debug, Clone)]
pub struct Context {
    pub(crate) task_id: Uuid,
    pub(crate) attempt: u32,
    pub(crate) deadline: Option<Instant>,
    pub(crate) cancellation: CancellationToken,
}

impl Context {
    /// A task that no AFM has handed out, and that nobody ends.
    pub(crate) fn alone() -> Self {
        Self { task_id: Uuid::nil(), attempt: 1, deadline: None, cancellation: CancellationToken::new() }
    }

    /// The id under which the result will be posted. A further attempt of the same task has another one.
    #[must_use]
    pub fn task_id(&self) -> Uuid {
        self.task_id
    }

    /// Which attempt of the task this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// When a result comes too late; `None` where there is no such time.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// How long a handler may still take, at most `most`.
    #[must_use]
    pub fn time_left(&self, most: Duration) -> Duration {
        let left = |deadline: Instant| deadline.saturating_duration_since(Instant::now());
        self.deadline.map_or(most, |deadline| left(deadline).min(most))
    }

    /// Ends when nobody waits for the result any more: the task was cancelled, or its time is over. A moment later the
    /// handler's future is dropped.
    pub async fn cancelled(&self) {
        self.cancellation.cancelled().await;
    }

    /// Whether nobody waits for the result any more.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancellation.is_cancelled()
    }

    /// Ends at the deadline; never where there is none.
    pub(crate) async fn deadline_passed(&self) {
        match self.deadline {
            Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
            None => future::pending().await,
        }
    }
}
