//! Where requests that change something meet.
//!
//! Commands that wait at the same time are applied in one transaction, and each is answered after its commit:
//! durability costs one fsync a batch, not one a request, and a lone request waits for nobody.

mod hand_off;
mod held_up;
#[cfg(test)]
mod tests;
mod undelivered;
mod under_way;
mod weight;
mod work;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use slamon_protocol::{PollRequest, PostTask, ResultPost};
use slamon_store::{
    Command, Outcome, Polled, Refusal, Reported, Running, Store, Submitted, Sweep, Swept, Task,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

use crate::clock::Clock;
use crate::health::Health;
use crate::known::Known;
use crate::waiters::Waiters;
use undelivered::{Awaited, Undelivered};
use under_way::UnderWay;
use weight::kib;
use work::Work;

/// How many commands may wait; past that, requests are turned away at once.
const QUEUE: usize = 4_096;

/// How large they may be together, in KiB.
const QUEUE_KIB: u32 = 64 * 1_024;

/// Why a command was not applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// Too many wait already.
    #[error("too many requests are waiting")]
    Busy,
    /// Somebody else keeps a row locked that it needs.
    #[error("another session of the database has locked what the request is about")]
    Locked,
    /// The database is away; why has been logged.
    #[error("the database is not available")]
    Unavailable,
    /// The database would not have it; why has been logged.
    #[error("the database refused")]
    Failed,
}

/// Takes commands from request handlers. All clones lead to one committer.
#[derive(Clone)]
pub struct Committer {
    queue: mpsc::Sender<Request>,
    room: Arc<Semaphore>,
    undelivered: Arc<Undelivered>,
    under_way: Arc<UnderWay>,
    clock: Clock,
    known: Known,
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

#[derive(Debug)]
struct Request {
    command: Command,
    answer: oneshot::Sender<Answer>,
    /// Since when it is held up by a row that somebody else has locked.
    held_up_since: Option<Instant>,
    /// Its place in the queue, given back with the answer; `None` if it was never in there.
    room: Option<OwnedSemaphorePermit>,
}

/// An outcome, and when it came about.
type Answer = Result<(Outcome, Timestamp), CommitError>;

impl Committer {
    /// A committer and the future that does its work, which ends when all clones are gone.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        clock: Clock,
        waiters: Waiters,
        known: Known,
        health: Arc<Health>,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (queue, requests) = mpsc::channel(QUEUE);
        let undelivered = Arc::new(Undelivered::default());
        let under_way = Arc::new(UnderWay::default());
        let work = Work::new(
            store,
            clock.clone(),
            waiters,
            known.clone(),
            Arc::clone(&undelivered),
            Arc::clone(&under_way),
            health,
        );
        let room = Arc::new(Semaphore::new(QUEUE_KIB as usize));
        let committer = Self { queue, room, undelivered, under_way, clock, known };
        (committer, work.run(requests))
    }

    /// Posts a task.
    ///
    /// # Errors
    /// The outer one when it was not applied, the inner one when the rules refuse it.
    pub async fn submit(&self, task: PostTask) -> Result<Result<Submitted, Refusal>, CommitError> {
        match self.apply(Command::Submit(task)).await? {
            Outcome::Submit(submitted) => Ok(submitted),
            _ => Err(CommitError::Failed),
        }
    }

    /// Registers an agent and claims tasks for it. If the future is dropped, it claims none.
    ///
    /// A poll that is known to bring nothing and to say nothing new is answered at once. What the agent was given before
    /// and does not say that it executes is lost, where it says so.
    ///
    /// # Errors
    /// When it was not applied.
    pub async fn poll(&self, poll: PollRequest, said: Option<Said>) -> Result<Polled, CommitError> {
        let now = self.clock.now();
        let look = self.known.look(&poll, said.as_ref().map(|said| &*said.running), now);
        let Some(mut command) = look.into_command(poll) else { return Ok(Polled::default()) };
        if let (Command::Poll { running, .. }, Some(said)) = (&mut command, said) {
            // What a batch claims that is under way, the agent cannot have been told.
            let ago = self.under_way.since(said.at).elapsed() + Duration::from_micros(1);
            let until = now.checked_sub(ago).unwrap_or(now);
            *running = Some(Running { aliases: said.running, until });
        }
        match self.apply(command).await? {
            Outcome::Poll(polled) => Ok(polled),
            _ => Err(CommitError::Failed),
        }
    }

    /// Ends a task.
    ///
    /// # Errors
    /// The outer one when it was not applied, the inner one when the rules refuse it.
    pub async fn report(&self, result: ResultPost) -> Result<Result<Reported, Refusal>, CommitError> {
        match self.apply(Command::Report(result)).await? {
            Outcome::Report(reported) => Ok(reported),
            _ => Err(CommitError::Failed),
        }
    }

    /// Cancels a task, and reads it; `None` if there is none with this id.
    ///
    /// # Errors
    /// The outer one when it was not applied, the inner one when the rules refuse it.
    pub async fn cancel(&self, id: Uuid) -> Result<Option<Result<Box<Task>, Refusal>>, CommitError> {
        match self.apply(Command::Cancel(id)).await? {
            Outcome::Cancel(cancelled) => Ok(cancelled),
            _ => Err(CommitError::Failed),
        }
    }

    /// Does what time has made due.
    ///
    /// # Errors
    /// When it was not applied.
    pub async fn sweep(&self, sweep: Sweep) -> Result<Swept, CommitError> {
        match self.apply(Command::Sweep(sweep)).await? {
            Outcome::Sweep(swept) => Ok(swept),
            _ => Err(CommitError::Failed),
        }
    }

    /// Saves when agents were seen; those that the store does not know.
    ///
    /// # Errors
    /// When it was not applied.
    pub async fn see(&self, seen: Vec<(Uuid, Timestamp)>) -> Result<Vec<Uuid>, CommitError> {
        match self.apply(Command::Seen(seen)).await? {
            Outcome::Seen(unknown) => Ok(unknown),
            _ => Err(CommitError::Failed),
        }
    }

    async fn apply(&self, command: Command) -> Result<Outcome, CommitError> {
        let room =
            Arc::clone(&self.room).try_acquire_many_owned(kib(&command)).map_err(|_| CommitError::Busy)?;
        let agent_id = command.poll().map(|poll| poll.agent_id);
        let (answer, answered) = oneshot::channel();
        let mut awaited = Awaited::new(answered, agent_id, &self.undelivered);
        let request = Request { command, answer, held_up_since: None, room: Some(room) };
        self.queue.try_send(request).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => CommitError::Busy,
            mpsc::error::TrySendError::Closed(_) => CommitError::Unavailable,
        })?;
        let (outcome, _) = awaited.answer().await?;
        Ok(outcome)
    }
}

impl fmt::Debug for Committer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Committer")
    }
}
