//! Where requests that change something meet.
//!
//! Commands that wait at the same time are applied in one transaction, and each is answered after its commit:
//! durability costs one fsync a batch, not one a request, and a lone request waits for nobody.

mod commit_error;
mod commit_loop;
mod hand_off;
mod held_up;
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
use slamon_protocol::{PollRequest, PostTask, ResultPost};
use slamon_store::{Cancelled, Command, Refusal, Reported, Running, Store, Submitted, Sweep, Swept};
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

/// How many commands may wait; past that, requests are turned away at once.
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

/// What an agent said that it executes.
#[derive(Debug)]
pub struct Said {
    /// Attempts, by the ids that it was handed.
    pub running: Vec<Uuid>,
    /// When it said so: of what was claimed later it need not have known.
    pub at: Instant,
}

impl Said {
    /// As if it had been said before a poll of the agent began that was ended without an answer: what that one was given
    /// is released, not lost.
    #[must_use]
    pub fn before(self, began: Option<Instant>) -> Self {
        Self { at: began.map_or(self.at, |began| began.min(self.at)), ..self }
    }
}

impl Committer {
    /// A committer and the future that does its work, which ends when all clones are gone.
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
    /// The outer one when it was not applied, the inner one when the rules refuse it.
    pub async fn submit(&self, task: PostTask) -> Result<Result<Submitted, Refusal>, CommitError> {
        self.apply(Command::Submit(task), ReplyTo::Submit).await
    }

    /// Registers an agent and claims tasks for it. If the future is dropped, it claims none.
    ///
    /// A poll that is known to bring nothing and to say nothing new is answered at once. What the agent was given before
    /// and does not say that it executes is lost, where it says so.
    ///
    /// # Errors
    /// When it was not applied.
    pub async fn poll(&self, poll: PollRequest, said: Option<Said>) -> Result<Claimed, CommitError> {
        let (now, agent_id) = (self.clock.now(), poll.agent_id);
        let look = self.cache.lookup(&poll, said.as_ref().map(|said| &*said.running), now);
        let Some(mut command) = look.into_command(poll) else { return Ok(Claimed::default()) };
        if let (Command::Poll { running, .. }, Some(said)) = (&mut command, said) {
            // What a batch claims that is under way, the agent cannot have been told.
            let ago = self.under_way.since(said.at).elapsed() + Duration::from_micros(1);
            let until = now.checked_sub(ago).unwrap_or(now);
            *running = Some(Running { aliases: said.running, until });
        }
        let (sender, reply) = oneshot::channel();
        let mut awaited = Awaited::new(reply, agent_id, &self.undelivered);
        self.enqueue(command, ReplyTo::Poll(sender))?;
        awaited.claimed().await
    }

    /// Ends a task.
    ///
    /// # Errors
    /// The outer one when it was not applied, the inner one when the rules refuse it.
    pub async fn report(&self, result: ResultPost) -> Result<Result<Reported, Refusal>, CommitError> {
        self.apply(Command::Report(result), ReplyTo::Report).await
    }

    /// Cancels a task, and reads it; `None` if there is none with this id.
    ///
    /// # Errors
    /// The outer one when it was not applied, the inner one when the rules refuse it.
    pub async fn cancel(&self, id: Uuid) -> Result<Cancelled, CommitError> {
        self.apply(Command::Cancel(id), ReplyTo::Cancel).await
    }

    /// Does what time has made due.
    ///
    /// # Errors
    /// When it was not applied.
    pub async fn sweep(&self, sweep: Sweep) -> Result<Swept, CommitError> {
        self.apply(Command::Sweep(sweep), ReplyTo::Sweep).await
    }

    /// Saves when agents were seen; those that the store does not know.
    ///
    /// # Errors
    /// When it was not applied.
    pub async fn see(&self, seen: Vec<(Uuid, Timestamp)>) -> Result<Vec<Uuid>, CommitError> {
        self.apply(Command::Seen(seen), ReplyTo::Seen).await
    }

    /// Has a command applied, and waits for its reply.
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
