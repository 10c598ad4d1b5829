//! The commit loop forms batches, has the store apply them, and sends the replies.

use std::sync::Arc;
use std::time::Duration;

use slamon_domain::{Command, Locked};
use slamon_store::{Store, StoreError, WriteConcurrency};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::commit_error::CommitError;
use super::hand_off::HandOffs;
use super::held_up::HeldUp;
use super::load::Load;
use super::observers::Observers;
use super::one_kind;
use super::queued::{Caller, QueuedCommand};
use super::replies::Replier;
use super::undelivered::Undelivered;
use super::under_way::UnderWay;
use crate::clock::Clock;
use crate::database::health::Health;
use crate::dispatch::pauses::PauseReader;
use crate::logging::failure_log::{FailureLog, ShouldLog};

/// A batch has at most this many commands, besides the claims for held polls, of which each post has one at
/// most.
const LARGEST_BATCH: usize = 512;

/// The commands of a batch may have this many KiB together, so that nobody waits for long for the data of
/// others. A larger command is a batch of its own.
const LARGEST_BATCH_KIB: usize = 8 * 1_024;

/// A release that failed is tried again after this long.
const RELEASE_AGAIN: Duration = Duration::from_secs(1);

/// The commit loop, with all that it works with.
pub(super) struct CommitLoop {
    store: Arc<dyn Store>,
    clock: Clock,
    observers: Observers,
    undelivered: Arc<Undelivered>,
    under_way: Arc<UnderWay>,
    pauses: PauseReader,
    held_up: Arc<HeldUp>,
    failure_log: Arc<FailureLog>,
    health: Arc<Health>,
    replier: Replier,
    hand_offs: HandOffs,
}

impl CommitLoop {
    pub(super) fn new(
        store: Arc<dyn Store>,
        clock: Clock,
        observers: Observers,
        undelivered: Arc<Undelivered>,
        under_way: Arc<UnderWay>,
        pauses: PauseReader,
        health: Arc<Health>,
    ) -> Self {
        let (held_up, failure_log) = (Arc::<HeldUp>::default(), Arc::<FailureLog>::default());
        let replier = Replier {
            undelivered: Arc::clone(&undelivered),
            held_up: Arc::clone(&held_up),
            failure_log: Arc::clone(&failure_log),
        };
        let hand_offs = HandOffs {
            waiters: observers.waiters.clone(),
            cache: observers.cache.clone(),
            clock: clock.clone(),
            undelivered: Arc::clone(&undelivered),
        };
        Self {
            store,
            clock,
            observers,
            undelivered,
            under_way,
            pauses,
            held_up,
            failure_log,
            health,
            replier,
            hand_offs,
        }
    }

    pub(super) async fn run(self, mut requests: mpsc::Receiver<QueuedCommand>) {
        let this = Arc::new(self);
        let WriteConcurrency { max, min_batch, one_kind_below } = this.store.write_concurrency();
        let mut load = Load::new(min_batch.min(LARGEST_BATCH));
        let mut running = JoinSet::new();
        // Commands that are held up are tried again beside all others.
        let mut trying_again = JoinSet::new();
        // The commands that wait until another batch may begin.
        let mut batch = Vec::new();
        // When releases that have failed are tried again.
        let mut release_at = None;
        loop {
            // Releases come first, since under load there is always another command.
            if !this.undelivered.is_empty() && release_at.is_none_or(|at| at <= Instant::now()) {
                release_at = this.release().await;
            }
            if trying_again.is_empty() {
                let mut due = this.held_up.due(LARGEST_BATCH);
                if !due.is_empty() {
                    this.held_up.put_back(due.split_off(batch_length(&due)));
                    let this = Arc::clone(&this);
                    trying_again.spawn(async move { this.commit(due).await });
                }
            }
            let may_begin =
                running.is_empty() || (running.len() < max && load.is_worth_another_batch(batch.len()));
            if may_begin && !batch.is_empty() {
                while batch.len() < LARGEST_BATCH
                    && let Ok(request) = requests.try_recv()
                {
                    batch.push(request);
                }
                let of_one_kind = one_kind::move_to_front(&mut batch, one_kind_below);
                let mut rest = batch.split_off(of_one_kind);
                // What is too much goes behind the other kinds, or large commands would keep them waiting.
                rest.extend(batch.split_off(batch_length(&batch)));
                let waiting = rest.len();
                let mut batch: Vec<QueuedCommand> = std::mem::replace(&mut batch, rest);
                batch.retain(|request| !request.is_given_up());
                this.held_up.take_from(&mut batch);
                if batch.is_empty() {
                    continue;
                }
                this.hand_offs.add_claims(&mut batch);
                let commands = batch.len();
                load.began(commands, waiting);
                if max == 1 {
                    this.commit(batch).await;
                    load.ended(commands);
                } else {
                    let this = Arc::clone(&this);
                    running.spawn(async move {
                        this.commit(batch).await;
                        commands
                    });
                }
                continue;
            }
            let room = LARGEST_BATCH - batch.len();
            tokio::select! {
                biased;
                () = this.releases_due(release_at) => {}
                Some(ended) = running.join_next() => {
                    load.ended(resume_panic(ended));
                }
                Some(ended) = trying_again.join_next() => {
                    resume_panic(ended);
                }
                () = this.held_up.next_due(), if trying_again.is_empty() => {}
                received = requests.recv_many(&mut batch, room), if room > 0 && running.len() < max => {
                    if received == 0 {
                        break;
                    }
                }
            }
        }
        while let Some(ended) = running.join_next().await {
            resume_panic(ended);
        }
        while let Some(ended) = trying_again.join_next().await {
            resume_panic(ended);
        }
        if !batch.is_empty() {
            this.commit(batch).await;
        }
        this.release().await;
        let left = this.undelivered.take().len();
        if left > 0 {
            tracing::error!(releases = left, "could not release undelivered tasks before the stop");
        }
    }

    async fn releases_due(&self, release_at: Option<Instant>) {
        match release_at {
            Some(at) => tokio::time::sleep_until(at).await,
            None => self.undelivered.added().await,
        }
    }

    async fn commit(&self, batch: Vec<QueuedCommand>) {
        let _under_way = self.under_way.begin();
        let (commands, callers): (Vec<Command>, Vec<Caller>) =
            batch.into_iter().map(|QueuedCommand { command, caller }| (command, caller)).unzip();
        if commands.iter().any(|command| command.poll().is_some()) {
            self.pauses.read_first().await;
        }
        self.apply(commands.into(), callers).await;
    }

    /// Applies commands, and sends the replies to their callers. If the database refuses the batch, each half
    /// of it is applied by itself.
    async fn apply(&self, mut commands: Arc<[Command]>, mut callers: Vec<Caller>) {
        let (now, search) = (self.clock.now(), self.observers.cache.begin(Arc::make_mut(&mut commands)));
        let fail_all = |callers: Vec<Caller>, error| {
            for (command, caller) in commands.iter().zip(callers) {
                self.replier.fail(command, caller, error);
            }
        };
        let began = Instant::now();
        match self.store.apply(Arc::clone(&commands), now).await {
            Ok(applied) => {
                self.observers.process_counts.committed(commands.len(), began.elapsed());
                self.health.committed(&applied.replies);
                search.committed(&commands, &applied, now);
                self.observers.waiters.on_batch(&applied);
                self.observers.tally.note(&applied);
                self.observers.tracer.note(&applied.transitions);
                self.observers.event_log.add(applied.transitions);
                self.replier.reply(&commands, callers, applied.replies, now);
            }
            Err(StoreError::Failed(error) | StoreError::Locked(error)) if commands.len() > 1 => {
                tracing::debug!(
                    error = format!("{error:#}"),
                    commands = commands.len(),
                    "could not commit a batch: each half of it is applied by itself"
                );
                drop(search);
                let (first, second) = commands.split_at(commands.len() / 2);
                let others = callers.split_off(first.len());
                for (half, callers) in [(first, callers), (second, others)] {
                    Box::pin(self.apply(half.into(), callers)).await;
                }
            }
            Err(StoreError::Locked(_)) => {
                for (command, caller) in commands.iter().zip(callers) {
                    self.replier.hold_up(command, caller);
                }
            }
            Err(error @ StoreError::Failed(_)) => {
                let error = format!("{error:#}");
                if let ShouldLog::Yes { not_logged } = self.failure_log.note(&error) {
                    tracing::error!(error, not_logged, "could not commit a command");
                }
                fail_all(callers, CommitError::Failed);
            }
            Err(error) => {
                self.observers.cache.invalidate();
                self.health.commit_failed(&error, commands.len());
                self.observers.tally.note_doubt_of(&error);
                if let StoreError::InDoubt { claimed_at, claims, cancelled, .. } = error {
                    self.undelivered.add(claims.into_iter().map(|(agent_id, task_ids)| Command::Release {
                        agent_id,
                        claimed_at,
                        task_ids,
                        cancelled: Vec::new(),
                    }));
                    self.undelivered.add(cancelled.into_iter().map(|(agent_id, cancelled)| {
                        Command::Release { agent_id, claimed_at, task_ids: Vec::new(), cancelled }
                    }));
                }
                fail_all(callers, CommitError::Unavailable);
            }
        }
    }

    /// Releases what is undelivered. If the database is away, it returns when to try the rest again.
    async fn release(&self) -> Option<Instant> {
        let mut releases = self.undelivered.take().into_iter();
        let mut locked = Vec::new();
        while let Some(release) = releases.next() {
            let command: Arc<[Command]> = Arc::new([release.clone()]);
            let (now, search) = (self.clock.now(), self.observers.cache.begin(&mut []));
            match self.store.apply(Arc::clone(&command), now).await {
                Ok(applied) => {
                    search.committed(&command, &applied, now);
                    self.observers.waiters.on_batch(&applied);
                    self.observers.tally.note(&applied);
                    self.observers.tracer.note(&applied.transitions);
                    self.observers.event_log.add(applied.transitions);
                    for reply in applied.replies.releases {
                        match reply {
                            Ok(0) => {}
                            Ok(tasks) => {
                                tracing::info!(tasks, "released tasks: the agent hung up before it got them");
                            }
                            Err(Locked) => locked.push(release.clone()),
                        }
                    }
                }
                Err(StoreError::Locked(_)) => locked.push(release),
                Err(StoreError::Failed(error)) => {
                    tracing::error!(
                        error = format!("{error:#}"),
                        ?release,
                        "could not release undelivered tasks"
                    );
                }
                Err(error) => {
                    // The tasks may have been released: then they are waiting, and nobody has noted it.
                    self.observers.cache.invalidate();
                    self.observers.tally.note_doubt_of(&error);
                    tracing::warn!(error = format!("{error:#}"), "could not release undelivered tasks yet");
                    self.undelivered.add(locked.into_iter().chain([release]).chain(releases));
                    return Some(Instant::now() + RELEASE_AGAIN);
                }
            }
        }
        if locked.is_empty() {
            return None;
        }
        self.undelivered.add(locked);
        Some(Instant::now() + RELEASE_AGAIN)
    }
}

/// Returns how many of the waiting commands make one batch.
fn batch_length(requests: &[QueuedCommand]) -> usize {
    let mut kib = 0_usize;
    let fits = |request: &&QueuedCommand| {
        kib += request.caller.room.as_ref().map_or(1, OwnedSemaphorePermit::num_permits);
        kib <= LARGEST_BATCH_KIB
    };
    requests.iter().take_while(fits).count().max(1)
}

/// Resumes the panic of a batch: the program ends, so that a supervisor starts it again.
fn resume_panic<T>(ended: Result<T, JoinError>) -> T {
    match ended {
        Ok(ended) => ended,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
