//! Where requests that change something meet.
//!
//! Commands that wait at the same time are applied in one transaction, and each is answered after its commit:
//! durability costs one fsync a batch, not one a request, and a lone request waits for nobody.

#[cfg(test)]
mod tests;
mod undelivered;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use slamon_protocol::{PollRequest, PostTask, ResultPost, TaskOutcome};
use slamon_store::{
    Applied, Command, Outcome, Polled, Refusal, Reported, Store, StoreError, Submitted, Sweep, Swept, Task,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

use crate::clock::Clock;
use crate::wakeups::Wakeups;
use undelivered::{Awaited, Undelivered};

/// How many commands may wait; past that, requests are turned away at once.
const QUEUE: usize = 4_096;

/// How large they may be together, in KiB.
const QUEUE_KIB: u32 = 64 * 1_024;

/// The most commands of one transaction.
const LARGEST_BATCH: usize = 512;

/// How long to wait before a release that failed is tried again.
const RELEASE_AGAIN: Duration = Duration::from_secs(1);

/// Why a command was not applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// Too many wait already.
    #[error("too many requests are waiting")]
    Busy,
    /// The database is away; why has been logged.
    #[error("the database is not available")]
    Unavailable,
    /// The database would not have it; why has been logged.
    #[error("the database refused")]
    Failed,
}

/// Takes commands from request handlers. All clones lead to one committer.
#[derive(Debug, Clone)]
pub struct Committer {
    queue: mpsc::Sender<Request>,
    room: Arc<Semaphore>,
    undelivered: Arc<Undelivered>,
}

#[derive(Debug)]
struct Request {
    command: Command,
    answer: oneshot::Sender<Answer>,
    /// Its place in the queue, given back with the answer.
    _room: OwnedSemaphorePermit,
}

/// An outcome, and when it came about.
type Answer = Result<(Outcome, Timestamp), CommitError>;

impl Committer {
    /// A committer and the future that does its work, which ends when all clones are gone.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Clock,
        wakeups: Wakeups,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (queue, requests) = mpsc::channel(QUEUE);
        let undelivered = Arc::new(Undelivered::default());
        let room = Arc::new(Semaphore::new(QUEUE_KIB as usize));
        let work = Work {
            store,
            clock,
            wakeups,
            undelivered: Arc::clone(&undelivered),
            release_at: None,
            failing_since: None,
        };
        (Self { queue, room, undelivered }, work.run(requests))
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
    /// # Errors
    /// When it was not applied.
    pub async fn poll(&self, poll: PollRequest) -> Result<Polled, CommitError> {
        match self.apply(Command::Poll(poll)).await? {
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

    async fn apply(&self, command: Command) -> Result<Outcome, CommitError> {
        let room =
            Arc::clone(&self.room).try_acquire_many_owned(kib(&command)).map_err(|_| CommitError::Busy)?;
        let agent_id = match &command {
            Command::Poll(poll) => Some(poll.agent_id),
            _ => None,
        };
        let (answer, answered) = oneshot::channel();
        let mut awaited = Awaited::new(answered, agent_id, &self.undelivered);
        self.queue.try_send(Request { command, answer, _room: room }).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => CommitError::Busy,
            mpsc::error::TrySendError::Closed(_) => CommitError::Unavailable,
        })?;
        let (outcome, _) = awaited.answer().await?;
        Ok(outcome)
    }
}

/// How large a command is, in KiB; none is larger than the queue.
fn kib(command: &Command) -> u32 {
    let bytes = match command {
        Command::Submit(task) => task.task_data.as_ref().map_or(0, |data| data.as_str().len()),
        Command::Report(result) => match &result.outcome {
            TaskOutcome::Completed(text) | TaskOutcome::Failed(text) => text.as_str().len(),
        },
        Command::Seen(agents) => size_of_val(agents.as_slice()),
        Command::Poll(_) | Command::Cancel(_) | Command::Release { .. } | Command::Sweep(_) => 0,
    };
    u32::try_from(bytes / 1_024 + 1).unwrap_or(QUEUE_KIB).min(QUEUE_KIB)
}

struct Work {
    store: Arc<dyn Store>,
    clock: Clock,
    wakeups: Wakeups,
    undelivered: Arc<Undelivered>,
    /// When releases that failed are tried again.
    release_at: Option<Instant>,
    /// Since when nothing could be committed.
    failing_since: Option<Instant>,
}

impl Work {
    async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut batch = Vec::with_capacity(LARGEST_BATCH);
        loop {
            // Before anything else: under load there is always a request to be had.
            if !self.undelivered.is_empty() && self.release_at.is_none_or(|at| at <= Instant::now()) {
                self.release().await;
            }
            tokio::select! {
                biased;
                () = self.releases_due() => continue,
                received = requests.recv_many(&mut batch, LARGEST_BATCH) => if received == 0 { break },
            }
            // Whoever has hung up would never see the answer.
            batch.retain(|request: &Request| !request.answer.is_closed());
            if !batch.is_empty() {
                self.commit(std::mem::take(&mut batch)).await;
            }
        }
        self.release().await;
        let left = self.undelivered.take().len();
        if left > 0 {
            tracing::error!(releases = left, "stopped before undelivered tasks could be released");
        }
    }

    async fn releases_due(&self) {
        match self.release_at {
            Some(at) => tokio::time::sleep_until(at).await,
            None => self.undelivered.added().await,
        }
    }

    async fn commit(&mut self, batch: Vec<Request>) {
        let mut answers = Vec::with_capacity(batch.len());
        let mut commands = Vec::with_capacity(batch.len());
        for Request { command, answer, _room: room } in batch {
            commands.push(command);
            answers.push((answer, room));
        }
        let commands: Arc<[Command]> = commands.into();
        let results = self.apply(&commands).await;
        for ((result, (answer, _room)), command) in results.into_iter().zip(answers).zip(commands.iter()) {
            // The agent hung up while its tasks were claimed: nobody else may have to wait for them.
            if let (Err(Ok((Outcome::Poll(polled), claimed_at))), Command::Poll(poll)) =
                (answer.send(result), command)
            {
                self.undelivered.add_polled(poll.agent_id, claimed_at, &polled);
            }
        }
    }

    /// One answer a command.
    async fn apply(&mut self, commands: &Arc<[Command]>) -> Vec<Answer> {
        let now = self.clock.now();
        match self.store.apply(Arc::clone(commands), now).await {
            Ok(applied) => {
                self.succeeded();
                self.committed(applied).into_iter().map(|outcome| Ok((outcome, now))).collect()
            }
            Err(StoreError::Failed(error)) if commands.len() > 1 => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    commands = commands.len(),
                    "a batch failed: its commands are applied one by one"
                );
                let mut answers = Vec::with_capacity(commands.len());
                for command in commands.iter() {
                    let alone: Arc<[Command]> = Arc::new([command.clone()]);
                    answers.extend(Box::pin(self.apply(&alone)).await);
                }
                answers
            }
            Err(error) => {
                self.failed(&error, commands.len());
                let why =
                    match error {
                        StoreError::Unavailable(_) | StoreError::Schema(_) => CommitError::Unavailable,
                        StoreError::Failed(_) => CommitError::Failed,
                        StoreError::InDoubt { claimed_at, claims, .. } => {
                            self.undelivered.add(claims.into_iter().map(|(agent_id, task_ids)| {
                                Command::Release { agent_id, claimed_at, task_ids }
                            }));
                            CommitError::Unavailable
                        }
                    };
                commands.iter().map(|_| Err(why)).collect()
            }
        }
    }

    /// Logs the first failure and the end of a row of them as such, so that there is an edge to see.
    fn failed(&mut self, error: &StoreError, commands: usize) {
        let error = format!("{error:#}");
        if self.failing_since.is_none() {
            self.failing_since = Some(Instant::now());
            tracing::error!(error, commands, "nothing was committed; what follows is logged at debug level");
        } else {
            tracing::debug!(error, commands, "nothing was committed");
        }
    }

    fn succeeded(&mut self) {
        if let Some(since) = self.failing_since.take() {
            tracing::info!(after_seconds = since.elapsed().as_secs(), "the database takes commits again");
        }
    }

    /// Tells whoever waits.
    fn committed(&self, applied: Applied) -> Vec<Outcome> {
        for kind in &applied.waiting {
            self.wakeups.tasks_wait(kind);
        }
        for id in applied.ended {
            self.wakeups.task_ended(id);
        }
        applied.outcomes
    }

    /// Releases what is undelivered; what fails because the database is away is tried again later.
    async fn release(&mut self) {
        let releases = self.undelivered.take();
        self.release_at = None;
        for release in releases {
            let command: Arc<[Command]> = Arc::new([release.clone()]);
            match self.store.apply(command, self.clock.now()).await {
                Ok(applied) => {
                    for outcome in self.committed(applied) {
                        if let Outcome::Release(tasks) = outcome {
                            tracing::info!(tasks, "tasks wait again: the agent hung up before it got them");
                        }
                    }
                }
                Err(StoreError::Failed(error)) => {
                    tracing::error!(
                        error = format!("{error:#}"),
                        ?release,
                        "undelivered tasks cannot be released"
                    );
                }
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), "undelivered tasks cannot be released yet");
                    self.undelivered.add([release]);
                    self.release_at = Some(Instant::now() + RELEASE_AGAIN);
                }
            }
        }
    }
}
