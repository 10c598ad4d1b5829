//! Commands that are held up, because another session has locked a row that they need. They are tried again
//! for a while, beside all others: no other command waits for them, and they wait for no lock.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slamon_domain::{Command, Operation};
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

use super::queued::QueuedCommand;

/// A command is tried for this long. Most are held up by a transaction that ends in a moment.
pub(super) const TRIED_FOR: Duration = Duration::from_secs(1);

/// The pause between two tries is half of the time that the command has waited, within these bounds.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// This many commands may be held up. Any more are given up at once.
const MOST: usize = 4_096;

/// For this long a locked row is remembered. Commands that need it are not tried together with others.
const REMEMBERED: Duration = Duration::from_secs(10);

/// A command that is held up.
#[derive(Debug)]
struct HeldUpCommand {
    request: QueuedCommand,
    /// When the command is tried again.
    next: Instant,
}

/// All commands that are held up.
#[derive(Debug, Default)]
pub(super) struct HeldUp {
    state: Mutex<HeldUpState>,
    added: Notify,
}

#[derive(Debug, Default)]
struct HeldUpState {
    waiting: Vec<HeldUpCommand>,
    /// The tasks and agents whose rows were locked, and when that was found.
    locked: HashMap<Uuid, Instant>,
}

impl HeldUp {
    /// Adds a command that has just been tried; returns it if it was tried for long enough.
    pub(super) fn add(&self, mut request: QueuedCommand) -> Option<QueuedCommand> {
        let now = Instant::now();
        let mut state = self.state();
        if let Some(name) = name(&request.command) {
            if state.locked.len() >= MOST {
                state.locked.retain(|_, found| now < *found + REMEMBERED);
            }
            if state.locked.len() < MOST {
                state.locked.insert(name, now);
            }
        }
        let since = *request.caller.held_up_since.get_or_insert(now);
        let waited = now.duration_since(since);
        if waited >= TRIED_FOR || state.waiting.len() >= MOST {
            return Some(request);
        }
        let next = now + (waited / 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        state.waiting.push(HeldUpCommand { request, next });
        self.added.notify_one();
        None
    }

    /// Takes the commands from `batch` that need a row that was locked a moment ago.
    pub(super) fn take_from(&self, batch: &mut Vec<QueuedCommand>) {
        let mut state = self.state();
        if state.locked.is_empty() {
            return;
        }
        let now = Instant::now();
        let HeldUpState { waiting, locked } = &mut *state;
        locked.retain(|_, found| now < *found + REMEMBERED);
        let is_locked = |request: &mut QueuedCommand| {
            name(&request.command).is_some_and(|name| locked.contains_key(&name))
        };
        let room = MOST.saturating_sub(waiting.len());
        let taken: Vec<QueuedCommand> = batch.extract_if(.., is_locked).take(room).collect();
        waiting.extend(taken.into_iter().map(|request| HeldUpCommand { request, next: now }));
    }

    /// Takes at most `most` commands that are to be tried now. Drops those whose callers have hung up.
    pub(super) fn due(&self, most: usize) -> Vec<QueuedCommand> {
        let mut state = self.state();
        if state.waiting.is_empty() {
            return Vec::new();
        }
        let now = Instant::now();
        state.waiting.retain(|waiting| !waiting.request.is_given_up());
        let due = state.waiting.extract_if(.., |waiting| waiting.next <= now).take(most);
        due.map(|waiting| waiting.request).collect()
    }

    /// Puts commands back that were due and were not tried.
    pub(super) fn put_back(&self, requests: Vec<QueuedCommand>) {
        let next = Instant::now();
        self.state().waiting.extend(requests.into_iter().map(|request| HeldUpCommand { request, next }));
    }

    /// Waits until a command is to be tried.
    pub(super) async fn next_due(&self) {
        loop {
            let next = self.state().waiting.iter().map(|waiting| waiting.next).min();
            let sleep = async {
                match next {
                    Some(next) => tokio::time::sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = sleep => return,
                () = self.added.notified() => {}
            }
        }
    }

    /// Notes that the row that a command needs is not locked any more.
    pub(super) fn note_free(&self, command: &Command) {
        if let Some(name) = name(command) {
            self.state().locked.remove(&name);
        }
    }

    fn state(&self) -> MutexGuard<'_, HeldUpState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the task or agent whose row can hold a command up.
pub(super) fn name(command: &Command) -> Option<Uuid> {
    match command {
        Command::Submit(task) => Some(task.task_id),
        Command::Report(result) => Some(result.task_id),
        Command::Cancel(id) => Some(*id),
        Command::Poll { poll, .. } | Command::Claim { poll, .. } => Some(poll.agent_id),
        Command::Operate(Operation::Forget(agent_id)) => Some(*agent_id),
        Command::Release { .. } | Command::Seen(_) | Command::Sweep(_) | Command::Operate(_) => None,
    }
}
