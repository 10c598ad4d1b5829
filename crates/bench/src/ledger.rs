//! What has become of each task that was posted.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

/// How far a task is, for all we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It was sent; whether the server has taken it is not known.
    Sent,
    /// The server has taken it.
    Posted,
    /// An agent has it.
    HandedOut,
    /// It came back as reported.
    Finished,
}

/// Whether a task could be handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HandedOut {
    First,
    /// Another agent, or this one, had it before.
    Again,
    /// Nobody has posted it.
    Unknown,
}

/// All tasks of a run.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    states: HashMap<Uuid, State>,
    /// How many must not be lost.
    open: u64,
}

impl Ledger {
    /// A task is about to be sent. Before the answer has come, another connection may have been handed it.
    pub(crate) fn sent(&self, task: Uuid) {
        self.lock().set(task, State::Sent);
    }

    /// The server has taken a task: from now on it must not be lost.
    pub(crate) fn posted(&self, task: Uuid) {
        let mut entries = self.lock();
        if entries.states.get(&task) == Some(&State::Sent) {
            entries.set(task, State::Posted);
        }
    }

    /// A task came with the answer to a poll. From then on it is known.
    pub(crate) fn handed_out(&self, task: Uuid) -> HandedOut {
        let mut entries = self.lock();
        match entries.states.get(&task) {
            None => {
                entries.set(task, State::HandedOut);
                HandedOut::Unknown
            }
            Some(State::HandedOut | State::Finished) => HandedOut::Again,
            Some(State::Sent | State::Posted) => {
                entries.set(task, State::HandedOut);
                HandedOut::First
            }
        }
    }

    /// A task came back as it was reported.
    pub(crate) fn finished(&self, task: Uuid) {
        self.lock().set(task, State::Finished);
    }

    /// How many tasks the server has taken that did not come to their end.
    pub(crate) fn open(&self) -> u64 {
        self.lock().open
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn set(&mut self, task: Uuid, state: State) {
        let before = self.states.insert(task, state);
        self.open += u64::from(state.is_open());
        self.open -= u64::from(before.is_some_and(State::is_open));
    }
}

impl State {
    fn is_open(self) -> bool {
        matches!(self, Self::Posted | Self::HandedOut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_lost_until_it_is_finished() {
        let (ledger, task) = (Ledger::default(), Uuid::new_v4());
        ledger.sent(task);
        assert_eq!(ledger.open(), 0);
        ledger.posted(task);
        assert_eq!(ledger.open(), 1);
        assert_eq!(ledger.handed_out(task), HandedOut::First);
        assert_eq!(ledger.open(), 1);
        assert_eq!(ledger.handed_out(task), HandedOut::Again);
        ledger.finished(task);
        assert_eq!(ledger.open(), 0);
        assert_eq!(ledger.handed_out(task), HandedOut::Again);
        assert_eq!(ledger.open(), 0);
    }

    #[test]
    fn a_task_that_nobody_posted_is_known_once_it_was_handed_out() {
        let (ledger, task) = (Ledger::default(), Uuid::new_v4());
        assert_eq!(ledger.handed_out(task), HandedOut::Unknown);
        assert_eq!(ledger.handed_out(task), HandedOut::Again);
        assert_eq!(ledger.open(), 1);
        ledger.finished(task);
        assert_eq!(ledger.open(), 0);
    }

    #[test]
    fn a_task_that_was_handed_out_before_its_answer_came_is_not_posted_again() {
        let (ledger, task) = (Ledger::default(), Uuid::new_v4());
        ledger.sent(task);
        assert_eq!(ledger.handed_out(task), HandedOut::First);
        ledger.posted(task);
        assert_eq!(ledger.handed_out(task), HandedOut::Again);
    }
}
