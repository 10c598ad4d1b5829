//! Where requests that change something meet.
//!
//! Commands that wait at the same time are applied in one transaction, and each is answered after its commit:
//! durability costs one fsync a batch, not one a request, and a lone request waits for nobody.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use slamon_protocol::{PollRequest, PostTask, ResultPost};
use slamon_store::{
    Applied, Command, Outcome, Polled, Refusal, Reported, Store, StoreError, Submitted, Sweep, Swept, Task,
};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::clock::Clock;
use crate::wakeups::Wakeups;

/// How many commands may wait; past that, requests are turned away at once.
const QUEUE: usize = 4_096;

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
}

#[derive(Debug)]
struct Request {
    command: Command,
    answer: oneshot::Sender<Result<Outcome, CommitError>>,
}

impl Committer {
    /// A committer and the future that does its work, which ends when all clones are gone.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Clock,
        wakeups: Wakeups,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (queue, requests) = mpsc::channel(QUEUE);
        (Self { queue }, Work { store, clock, wakeups, undelivered: Vec::new() }.run(requests))
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
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(Request { command, answer }).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => CommitError::Busy,
            mpsc::error::TrySendError::Closed(_) => CommitError::Unavailable,
        })?;
        answered.await.unwrap_or(Err(CommitError::Unavailable))
    }
}

struct Work {
    store: Arc<dyn Store>,
    clock: Clock,
    wakeups: Wakeups,
    /// Releases of tasks that were claimed for somebody who never got them.
    undelivered: Vec<Command>,
}

impl Work {
    async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut batch = Vec::with_capacity(LARGEST_BATCH);
        let mut pause = Duration::ZERO;
        loop {
            let releases_due = async {
                if self.undelivered.is_empty() { pending().await } else { tokio::time::sleep(pause).await }
            };
            tokio::select! {
                received = requests.recv_many(&mut batch, LARGEST_BATCH) => if received == 0 { break },
                () = releases_due => {
                    let released = self.release().await;
                    pause = if released { Duration::ZERO } else { RELEASE_AGAIN };
                }
            }
            // Whoever has hung up would never see the answer.
            batch.retain(|request: &Request| !request.answer.is_closed());
            if !batch.is_empty() {
                self.commit(std::mem::take(&mut batch)).await;
            }
        }
        if !self.undelivered.is_empty() && !self.release().await {
            tracing::error!(
                releases = self.undelivered.len(),
                "stopped before undelivered tasks could be released"
            );
        }
    }

    async fn commit(&mut self, batch: Vec<Request>) {
        let (commands, answers): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|request| (request.command, request.answer)).unzip();
        let commands: Arc<[Command]> = commands.into();
        let results = self.apply(&commands).await;
        for ((result, answer), command) in results.into_iter().zip(answers).zip(commands.iter()) {
            if let Err(Ok(Outcome::Poll(polled))) = answer.send(result.0)
                && let (Command::Poll(poll), false) = (command, polled.tasks.is_empty())
            {
                // The agent hung up while its tasks were claimed: nobody else may have to wait for them.
                self.undelivered.push(Command::Release {
                    agent_id: poll.agent_id,
                    claimed_at: result.1,
                    task_ids: polled.tasks.iter().map(|task| task.task_id).collect(),
                });
            }
        }
    }

    /// One result a command, and when it was applied.
    async fn apply(
        &mut self,
        commands: &Arc<[Command]>,
    ) -> Vec<(Result<Outcome, CommitError>, jiff::Timestamp)> {
        let now = self.clock.now();
        match self.store.apply(Arc::clone(commands), now).await {
            Ok(applied) => self.committed(applied).into_iter().map(|outcome| (Ok(outcome), now)).collect(),
            Err(StoreError::Failed(error)) if commands.len() > 1 => {
                tracing::warn!(%error, commands = commands.len(), "a batch failed: its commands are applied one by one");
                let mut results = Vec::with_capacity(commands.len());
                for command in commands.iter() {
                    let alone: Arc<[Command]> = Arc::new([command.clone()]);
                    results.extend(Box::pin(self.apply(&alone)).await);
                }
                results
            }
            Err(error) => {
                tracing::error!(
                    error = format!("{error:#}"),
                    commands = commands.len(),
                    "nothing was committed"
                );
                let why =
                    match error {
                        StoreError::Unavailable(_) | StoreError::Schema(_) => CommitError::Unavailable,
                        StoreError::Failed(_) => CommitError::Failed,
                        StoreError::InDoubt { claimed_at, claims, .. } => {
                            self.undelivered.extend(claims.into_iter().map(|(agent_id, task_ids)| {
                                Command::Release { agent_id, claimed_at, task_ids }
                            }));
                            CommitError::Unavailable
                        }
                    };
                commands.iter().map(|_| (Err(why), now)).collect()
            }
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

    /// Releases what is undelivered; `false` if that must be tried again.
    async fn release(&mut self) -> bool {
        let commands: Arc<[Command]> = self.undelivered.clone().into();
        match self.store.apply(commands, self.clock.now()).await {
            Ok(applied) => {
                for outcome in self.committed(applied) {
                    if let Outcome::Release(tasks) = outcome {
                        tracing::info!(tasks, "tasks wait again: the agent hung up before it got them");
                    }
                }
                self.undelivered.clear();
                true
            }
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "undelivered tasks could not be released yet");
                false
            }
        }
    }
}
