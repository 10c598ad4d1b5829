//! The committer takes commands and has the store apply them in batches.
//!
//! All commands that are waiting are applied in one transaction, and each is answered after the commit. So
//! durability costs one fsync a batch, not one a request, and a request that comes alone waits for no other.

mod commit_error;
mod commit_loop;
mod hand_off;
mod held_up;
mod load;
mod observers;
mod one_kind;
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
use slamon_domain::{
    Cancelled, Command, Operated, Operation, Refusal, Reported, Running, Submitted, Sweep, Swept,
};
use slamon_protocol::{PollRequest, PostTask, ResultPost};
use slamon_store::Store;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

use crate::clock::Clock;
use crate::database::health::Health;
use crate::dispatch::cache::DispatchCache;
use crate::dispatch::claimed::Claimed;
use crate::dispatch::pauses::PauseReader;
use crate::metrics::ProcessCounts;
pub use commit_error::CommitError;
use commit_loop::CommitLoop;
pub(crate) use observers::Observers;
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
    pauses: PauseReader,
    process_counts: Arc<ProcessCounts>,
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
        observers: Observers,
        health: Arc<Health>,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (queue, requests) = mpsc::channel(QUEUE);
        let undelivered = Arc::new(Undelivered::default());
        let under_way = Arc::new(UnderWay::default());
        let pauses = PauseReader::new(Arc::clone(&store), observers.cache.clone(), observers.waiters.clone());
        let work = CommitLoop::new(
            store,
            clock.clone(),
            observers.clone(),
            Arc::clone(&undelivered),
            Arc::clone(&under_way),
            pauses.clone(),
            health,
        );
        let room = Arc::new(Semaphore::new(QUEUE_KIB as usize));
        let Observers { cache, process_counts, .. } = observers;
        let committer = Self { queue, room, undelivered, under_way, clock, cache, pauses, process_counts };
        (committer, work.run(requests))
    }

    /// Returns how many more commands may wait.
    pub(crate) fn queue_room(&self) -> usize {
        self.queue.capacity()
    }

    /// Posts a task.
    ///
    /// # Errors
    /// Fails with a [`CommitError`] when the command was not applied, and with a [`Refusal`] when the rules
    /// refuse it.
    pub fn submit(
        &self,
        task: PostTask,
    ) -> impl Future<Output = Result<Result<Submitted, Refusal>, CommitError>> + use<> {
        self.apply(Command::Submit(task), ReplyTo::Submit)
    }

    /// Registers an agent and claims tasks for it. If the future is dropped, what it claims is released.
    ///
    /// A poll that brings nothing and says nothing new, as the cache knows, is answered at once. If the agent
    /// says what it executes, its other attempts are abandoned.
    ///
    /// # Errors
    /// Fails when the command was not applied.
    pub fn poll(
        &self,
        poll: PollRequest,
        reported: Option<RunningReport>,
    ) -> impl Future<Output = Result<Claimed, CommitError>> + use<'_> {
        // The command is queued here and not in the future, which would be as large as the poll.
        let queued = self.queue_poll(poll, reported);
        async move {
            match queued? {
                Some(mut awaited) => awaited.claimed().await,
                None => Ok(Claimed::default()),
            }
        }
    }

    /// Queues the command that a poll needs, if it needs one.
    fn queue_poll(
        &self,
        poll: PollRequest,
        reported: Option<RunningReport>,
    ) -> Result<Option<Awaited<&Arc<Undelivered>>>, CommitError> {
        let (now, agent_id) = (self.clock.now(), poll.agent_id);
        let lookup = self.cache.lookup(&poll, reported.as_ref().map(|reported| &*reported.running), now);
        let command = lookup.into_command(poll);
        self.process_counts.looked_up(command.is_none());
        let Some(mut command) = command else { return Ok(None) };
        if let (Command::Poll { running, .. }, Some(reported)) = (&mut command, reported) {
            // The agent cannot know what is claimed by a batch that is under way.
            let ago = self.under_way.since(reported.at).elapsed() + Duration::from_micros(1);
            let until = now.checked_sub(ago).unwrap_or(now);
            *running = Some(Running { aliases: reported.running, until });
        }
        let (sender, reply) = oneshot::channel();
        let awaited = Awaited::new(reply, agent_id, &self.undelivered);
        self.enqueue(command, ReplyTo::Poll(sender))?;
        Ok(Some(awaited))
    }

    /// Reports the result of an attempt.
    ///
    /// # Errors
    /// Fails with a [`CommitError`] when the command was not applied, and with a [`Refusal`] when the rules
    /// refuse it.
    pub fn report(
        &self,
        result: ResultPost,
    ) -> impl Future<Output = Result<Result<Reported, Refusal>, CommitError>> + use<> {
        self.apply(Command::Report(result), ReplyTo::Report)
    }

    /// Cancels a task, and returns it; `None` if there is none with this id.
    ///
    /// # Errors
    /// Fails with a [`CommitError`] when the command was not applied, and with a [`Refusal`] when the rules
    /// refuse it.
    pub fn cancel(&self, id: Uuid) -> impl Future<Output = Result<Cancelled, CommitError>> + use<> {
        self.apply(Command::Cancel(id), ReplyTo::Cancel)
    }

    /// Sweeps: does what time has made due.
    ///
    /// # Errors
    /// Fails when the command was not applied.
    pub fn sweep(&self, sweep: Sweep) -> impl Future<Output = Result<Swept, CommitError>> + use<> {
        self.apply(Command::Sweep(sweep), ReplyTo::Sweep)
    }

    /// Saves heartbeats, and returns the agents that the store does not know.
    ///
    /// # Errors
    /// Fails when the command was not applied.
    pub fn see(
        &self,
        seen: Vec<(Uuid, Timestamp)>,
    ) -> impl Future<Output = Result<Vec<Uuid>, CommitError>> + use<> {
        self.apply(Command::Seen(seen), ReplyTo::Seen)
    }

    /// Does what an operator asks for. Once this returns, it holds at this AFM: no poll that is answered later is
    /// handed what was paused.
    ///
    /// # Errors
    /// Fails when the command was not applied, or when the pauses could not be read after that: then it holds
    /// within a second.
    pub(crate) async fn operate(&self, operation: Operation) -> Result<Operated, CommitError> {
        let forgotten = match &operation {
            Operation::Forget(agent_id) => Some(*agent_id),
            Operation::Pause(_) | Operation::Resume(_) => None,
        };
        let operated = self.apply(Command::Operate(operation), ReplyTo::Operate).await?;
        if operated.is_ok() {
            // Its next poll registers it anew.
            self.cache.forget(forgotten.as_slice());
            self.pauses.read().await.map_err(|_| CommitError::Unavailable)?;
            // Batches that began before may be handing out what is paused now.
            self.under_way.all_ended().await;
        }
        Ok(operated)
    }

    /// Returns the reader of pauses, for the background.
    pub(crate) fn pauses(&self) -> &PauseReader {
        &self.pauses
    }

    /// Queues a command, and returns a future that waits for its reply.
    fn apply<T, R>(
        &self,
        command: Command,
        reply_to: R,
    ) -> impl Future<Output = Result<T, CommitError>> + use<T, R>
    where
        R: FnOnce(ReplySender<T>) -> ReplyTo,
    {
        let (sender, reply) = oneshot::channel();
        let queued = self.enqueue(command, reply_to(sender));
        async move {
            queued?;
            reply.await.unwrap_or(Err(CommitError::Unavailable))
        }
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
