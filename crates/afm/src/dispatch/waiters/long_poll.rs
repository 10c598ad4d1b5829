//! The loops of requests that are held open: how long they wait, and when they look again. Their callers say
//! how they look.

use std::ops::ControlFlow;
use std::time::Duration;

use futures_util::{FutureExt, TryFutureExt};
use slamon_protocol::PollRequest;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Waiters, WaitingPoll};
use crate::dispatch::claimed::Claimed;

/// A request that is held open looks again once in this long, in case an event was missed.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// A held poll asks again after at least this long; each time is a heartbeat of its agent.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

impl Waiters {
    /// Claims tasks for a poll. If there are none and the poll can wait, claims them as soon as there are,
    /// until its `max_wait` is over or the server stops. Returns `None` if a newer poll of the agent has
    /// ended this one; what was being claimed for it is released.
    ///
    /// `claim` gets the poll, and when the older poll of the agent began, if this one has ended one. While
    /// the poll is held, `claim` is called again within a third of `lost_after`, after which a silent agent
    /// is lost.
    ///
    /// # Errors
    /// Fails when `claim` fails.
    pub fn poll_until_claimed<C, E>(
        &self,
        poll: PollRequest,
        lost_after: Duration,
        stop: &CancellationToken,
        mut claim: impl FnMut(PollRequest, Option<Instant>) -> C,
    ) -> impl Future<Output = Result<Option<Claimed>, E>>
    where
        C: Future<Output = Result<Claimed, E>>,
    {
        let waits = !poll.max_wait.is_zero() && poll.max_tasks > 0;
        // The poll has its place in the queues before it asks, so that no task can come in between unnoticed.
        let Some(waiting) = waits.then(|| self.poll(&poll)).flatten() else {
            let older_began = self.end_older(poll.agent_id);
            return claim(poll, older_began).map_ok(Some).left_future();
        };
        // The future is in a box, since most polls do not wait, and theirs would be as large.
        Box::pin(hold(waiting, poll, lost_after, stop, claim)).right_future()
    }

    /// Calls `look` until it breaks, because the task has ended. Returns `None` if `time` is over before, or
    /// the server stops.
    ///
    /// # Errors
    /// Fails when `look` fails.
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
        // The future is in a box, since most reads do not wait, and theirs would be as large.
        let looks = Box::pin(async {
            loop {
                if let ControlFlow::Break(read) = look().await? {
                    return Ok(Some(read));
                }
                tokio::select! {
                    biased;
                    () = waiting.woken() => {}
                    () = tokio::time::sleep(LOOK_AGAIN) => {}
                    () = stop.cancelled() => return Ok(None),
                }
            }
        });
        tokio::time::timeout(time, looks).await.unwrap_or(Ok(None))
    }
}

/// Waits for tasks, until a newer poll of the agent ends this one.
async fn hold<C, E>(
    waiting: WaitingPoll,
    poll: PollRequest,
    lost_after: Duration,
    stop: &CancellationToken,
    claim: impl FnMut(PollRequest, Option<Instant>) -> C,
) -> Result<Option<Claimed>, E>
where
    C: Future<Output = Result<Claimed, E>>,
{
    tokio::select! {
        biased;
        () = waiting.ended() => Ok(None),
        polled = wait_for_tasks(&waiting, poll, lost_after, stop, claim) => polled.map(Some),
        // A stop also ends a poll that asks a database that does not answer.
        () = stop.cancelled() => Ok(Some(Claimed::default())),
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
    // Each time that a held poll asks, its agent is seen.
    let look_again = (lost_after / 3).clamp(SHORTEST_PAUSE, LOOK_AGAIN);
    let mut polled = claim(poll.clone(), waiting.older_began()).await?;
    loop {
        // The poll has tasks, but perhaps not the one it was woken for: when it is dropped, the next poll is
        // woken for that one.
        if !polled.tasks.is_empty() || !polled.cancelled.is_empty() {
            return Ok(polled);
        }
        waiting.found_nothing();
        let handed = tokio::select! {
            biased;
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
