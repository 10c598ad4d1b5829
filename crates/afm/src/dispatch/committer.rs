//! The committer takes commands and has the store apply them in batches.
//!
//! All commands that are waiting are applied in one transaction, and each is answered after the commit. So
//! durability costs one fsync a batch, not one a request, and a request that comes alone waits for no other.

mod commit_error;
mod commit_loop;
mod hand_off;
mod held_up;
mod load;
mod queued;
mod replies;
#[cfg(test)]
mod tests;
mod undelivered;
mod under_way;
mod weight;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use slamon_domain::{Cancelled, Command, Refusal, Reported, Running, Submitted, Sweep, Swept};
use slamon_protocol::{PollRequest, PostTask, ResultPost};
use slamon_store::Store;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

use crate::clock::Clock;
use crate::database::health::Health;
use crate::dispatch::cache::DispatchCache;
use crate::dispatch::claimed::Claimed;
use crate::dispatch::waiters::Waiters;
pub use commit_error::CommitError;
use commit_loop::CommitLoop;
use queued::{QueuedCommand, ReplySender, ReplyTo};
use undelivered::{Awaited, Undelivered};
use under_way::UnderWay;
use weight::{QUEUE_KIB, kib};

/// This many commands may wait. When there are more, requests are turned away at once.
const QUEUE: usize = 4_096;

/// Takes commands from request handlers. All clones lead to one committer.
#[derive(Clone)]
pub struct Committer {
    queue: mpsc::Sender<QueuedCommand>,
    room: Arc<Semaphore>,
    undelivered: Arc<Undelivered>,
    under_way: Arc<UnderWay>,
    clock: Clock,
    cache: DispatchCache,
}

/// The attempts that an agent said it executes.
#[derive(Debug)]
pub struct RunningReport {
    /// The ids of the attempts, as the agent was given them.
    pub running: Vec<Uuid>,
    /// When the agent said so: it need not have known what was claimed later.
    pub at: Instant,
}

impl RunningReport {
    /// Counts it as said before an older poll began that was ended without an answer, so that what that poll
    /// was given is released and not lost.
    #[must_use]
    pub fn before(self, began: Option<Instant>) -> Self {
        Self { at: began.map_or(self.at, |began| began.min(self.at)), ..self }
    }
}

impl Committer {
    /// Creates a committer and the future of its commit loop, which ends when all clones are gone.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        clock: Clock,
        waiters: Waiters,
        cache: DispatchCache,
        health: Arc<Health>,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (queue, requests) = mpsc::channel(QUEUE);
        let undelivered = Arc::new(Undelivered::default());
        let under_way = Arc::new(UnderWay::default());
        let work = CommitLoop::new(
            store,
            clock.clone(),
            waiters,
            cache.clone(),
            Arc::clone(&undelivered),
            Arc::clone(&under_way),
            health,
        );
        let room = Arc::new(Semaphore::new(QUEUE_KIB as usize));
        let committer = Self { queue, room, undelivered, under_way, clock, cache };
        (committer, work.run(requests))
    }

    /// Posts a task.
    ///
    /// # Errors
    /// Fails with a [`CommitError`] when the command was not applied, and with a [`Refusal`] when the rules
    /// refuse it.
    pub async fn submit(&self, task: PostTask) -> Result<Result<Submitted, Refusal>, CommitError> {
        self.apply(Command::Submit(task), ReplyTo::Submit).await
    }

    /// Registers an agent and claims tasks for it. If the future is dropped, it claims none.
    ///
    /// A poll that brings nothing and says nothing new, as the cache knows, is answered at once. If the agent
    /// says what it executes, its other attempts are abandoned.
    ///
    /// # Errors
    /// Fails when the command was not applied.
    pub async fn poll(
        &self,
        poll: PollRequest,
        reported: Option<RunningReport>,
    ) -> Result<Claimed, CommitError> {
        let (now, agent_id) = (self.clock.now(), poll.agent_id);
        let lookup = self.cache.lookup(&poll, reported.as_ref().map(|reported| &*reported.running), now);
        let Some(mut command) = lookup.into_command(poll) else { return Ok(Claimed::default()) };
        if let (Command::Poll { running, .. }, Some(reported)) = (&mut command, reported) {
            // The agent cannot know what is claimed by a batch that is under way.
            let ago = self.under_way.since(reported.at).elapsed() + Duration::from_micros(1);
            let until = now.checked_sub(ago).unwrap_or(now);
            *running = Some(Running { aliases: reported.running, until });
        }
        let (sender, reply) = oneshot::channel();
        let mut awaited = Awaited::new(reply, agent_id, &self.undelivered);
        self.enqueue(command, ReplyTo::Poll(sender))?;
        awaited.claimed().await
    }

    /// Reports the result of an attempt.
    ///
    /// # Errors
    /// Fails with a [`CommitError`] when the command was not applied, and with a [`Refusal`] when the rules
    /// refuse it.
    pub async fn report(&self, result: ResultPost) -> Result<Result<Reported, Refusal>, CommitError> {
        self.apply(Command::Report(result), ReplyTo::Report).await
    }

    /// Cancels a task, and returns it; `None` if there is none with this id.
    ///
    /// # Errors
    /// Fails with a [`CommitError`] when the command was not applied, and with a [`Refusal`] when the rules
    /// refuse it.
    pub async fn cancel(&self, id: Uuid) -> Result<Cancelled, CommitError> {
        self.apply(Command::Cancel(id), ReplyTo::Cancel).await
    }

    /// Sweeps: does what time has made due.
    ///
    /// # Errors
    /// Fails when the command was not applied.
    pub async fn sweep(&self, sweep: Sweep) -> Result<Swept, CommitError> {
        self.apply(Command::Sweep(sweep), ReplyTo::Sweep).await
    }

    /// Saves heartbeats, and returns the agents that the store does not know.
    ///
    /// # Errors
    /// Fails when the command was not applied.
    pub async fn see(&self, seen: Vec<(Uuid, Timestamp)>) -> Result<Vec<Uuid>, CommitError> {
        self.apply(Command::Seen(seen), ReplyTo::Seen).await
    }

    /// Queues a command, and waits for its reply.
    async fn apply<T>(
        &self,
        command: Command,
        reply_to: impl FnOnce(ReplySender<T>) -> ReplyTo,
    ) -> Result<T, CommitError> {
        let (sender, reply) = oneshot::channel();
        self.enqueue(command, reply_to(sender))?;
        reply.await.unwrap_or(Err(CommitError::Unavailable))
    }

    fn enqueue(&self, command: Command, reply_to: ReplyTo) -> Result<(), CommitError> {
        let room =
            Arc::clone(&self.room).try_acquire_many_owned(kib(&command)).map_err(|_| CommitError::Busy)?;
        self.queue.try_send(QueuedCommand::new(command, reply_to, Some(room))).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => CommitError::Busy,
            mpsc::error::TrySendError::Closed(_) => CommitError::Unavailable,
        })
    }
}

impl fmt::Debug for Committer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Committer")
    }
}
