//! How long requests are held open, and when they look again. What looking is, their callers say.

use std::ops::ControlFlow;
use std::time::Duration;

use slamon_protocol::PollRequest;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Waiters, WaitingPoll};
use crate::dispatch::claimed::Claimed;

/// How often a request that is held open looks for itself, should a wake-up have been missed.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// The least time between two looks of an agent whose poll is held open: each of them is a sign of life.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

impl Waiters {
    /// Has a poll claim tasks; where there are none, and it can wait, as soon as there are, until its `max_wait` is over or
    /// the server stops. `None`: a newer poll of the agent has ended it, and what it was claiming meanwhile is released.
    ///
    /// `claim` is given the poll, and when the older poll of its agent began that it has ended, if it has one. While the
    /// poll is held open, `claim` is called again within a third of the time after which a silent agent is lost.
    ///
    /// # Errors
    /// When `claim` fails.
    pub async fn poll_until_claimed<C, E>(
        &self,
        poll: PollRequest,
        lost_after: Duration,
        stop: &CancellationToken,
        mut claim: impl FnMut(PollRequest, Option<Instant>) -> C,
    ) -> Result<Option<Claimed>, E>
    where
        C: Future<Output = Result<Claimed, E>>,
    {
        let waits = !poll.max_wait.is_zero() && poll.max_tasks > 0;
        // In the queue before it asks, so that no task can come in between unseen.
        let Some(waiting) = waits.then(|| self.poll(&poll)).flatten() else {
            let older_began = self.end_older(poll.agent_id);
            return claim(poll, older_began).await.map(Some);
        };
        tokio::select! {
            biased;
            () = waiting.ended() => Ok(None),
            polled = wait_for_tasks(&waiting, poll, lost_after, stop, claim) => polled.map(Some),
            // Also while it asks a database that does not answer.
            () = stop.cancelled() => Ok(Some(Claimed::default())),
        }
    }

    /// Reads a task until `look` breaks off, since it has ended; `None` when `time` is over before, or the server stops.
    ///
    /// # Errors
    /// When `look` fails.
    pub async fn read_until_ended<T, L, E>(
        &self,
        task_id: Uuid,
        time: Duration,
        stop: &CancellationToken,
        mut look: impl FnMut() -> L,
    ) -> Result<Option<T>, E>
    where
        L: Future<Output = Result<ControlFlow<T>, E>>,
    {
        if time.is_zero() {
            return Ok(None);
        }
        let waiting = self.read(task_id);
        let looks = async {
            loop {
                if let ControlFlow::Break(read) = look().await? {
                    return Ok(Some(read));
                }
                tokio::select! {
                    () = waiting.woken() => {}
                    () = tokio::time::sleep(LOOK_AGAIN) => {}
                    () = stop.cancelled() => return Ok(None),
                }
            }
        };
        tokio::time::timeout(time, looks).await.unwrap_or(Ok(None))
    }
}

async fn wait_for_tasks<C, E>(
    waiting: &WaitingPoll,
    poll: PollRequest,
    lost_after: Duration,
    stop: &CancellationToken,
    mut claim: impl FnMut(PollRequest, Option<Instant>) -> C,
) -> Result<Claimed, E>
where
    C: Future<Output = Result<Claimed, E>>,
{
    let end = tokio::time::sleep(poll.max_wait);
    tokio::pin!(end);
    // A poll that is held open is a sign of life, which is seen when it asks.
    let look_again = (lost_after / 3).clamp(SHORTEST_PAUSE, LOOK_AGAIN);
    let mut polled = claim(poll.clone(), waiting.older_began()).await?;
    loop {
        // With tasks in hand it need not have got the one it was woken for: that hint is passed on.
        if !polled.tasks.is_empty() || !polled.cancelled.is_empty() {
            return Ok(polled);
        }
        waiting.found_nothing();
        let handed = tokio::select! {
            handed = waiting.woken(look_again) => handed,
            () = stop.cancelled() => return Ok(polled),
            () = &mut end => return Ok(polled),
        };
        polled = match handed {
            Some(handed) => handed.await,
            None => claim(poll.clone(), waiting.older_began()).await?,
        };
    }
}
