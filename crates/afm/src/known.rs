//! What an AFM knows by heart, so that a poll that brings nothing touches no database: what waits, and which agents
//! have said before what they say now.
//!
//! It may say that there is something where there is nothing: then the poll asks the store. Where it says that there is
//! nothing, there was nothing a moment ago: what this AFM commits is noted before it is answered, what others commit
//! comes as hints, and it is read anew every second (on PostgreSQL, all of it every 15 s), so that a hint that was missed
//! delays a task, and no more.

mod board;
mod fleet;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use slamon_protocol::PollRequest;
use slamon_store::{Applied, Backlog, Command, Hint, Outcome, Store, StoreError, WaitingKind};
use uuid::Uuid;

use self::board::Board;
pub use self::board::Mark;
use self::fleet::Fleet;

/// How much of what there is for agents is read at once. Where there is more, every poll asks the store.
const BACKLOG: u32 = 10_000;

/// What is known of a poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// It brings nothing, and says nothing new.
    Nothing,
    /// It says nothing new, and there may be tasks of these kinds for it.
    Tasks(Vec<WaitingKind>),
    /// The store has to be told, or asked for more. There may be tasks of these kinds for it; `None`: of any.
    Unknown(Option<Vec<WaitingKind>>),
}

impl Look {
    /// What finds out what the poll brings; `None`: it brings nothing.
    #[must_use]
    pub fn into_command(self, poll: PollRequest) -> Option<Command> {
        match self {
            Self::Nothing => None,
            Self::Tasks(kinds) => Some(Command::Claim { poll, kinds }),
            Self::Unknown(kinds) => Some(Command::Poll { poll, kinds, running: None }),
        }
    }

    /// As if there might be a task of this kind, too.
    #[must_use]
    pub fn with(self, kind: WaitingKind) -> Self {
        let with = |mut kinds: Vec<WaitingKind>| {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
            kinds
        };
        match self {
            Self::Nothing => Self::Tasks(with(Vec::new())),
            Self::Tasks(kinds) => Self::Tasks(with(kinds)),
            Self::Unknown(kinds) => Self::Unknown(kinds.map(with)),
        }
    }
}

/// All clones are one. At first it knows nothing: every poll asks the store.
#[derive(Debug, Clone, Default)]
pub struct Known(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    board: Mutex<Board>,
    fleet: Mutex<Fleet>,
}

impl Known {
    /// What is known of a poll at `now`, whose agent may say what it executes. Unless that is [`Look::Unknown`], its agent was seen, which is to be saved.
    #[must_use]
    pub fn look(&self, poll: &PollRequest, running: Option<&[Uuid]>, now: Timestamp) -> Look {
        let Some(kinds) = self.board().kinds_for(poll) else { return Look::Unknown(None) };
        if !self.fleet().sees(poll, running, now) {
            return Look::Unknown(Some(kinds));
        }
        if kinds.is_empty() { Look::Nothing } else { Look::Tasks(kinds) }
    }

    /// To be taken before the store is asked: what is noted after it may be news to the store.
    #[must_use]
    pub fn mark(&self) -> Mark {
        self.board().mark()
    }

    /// A batch that was begun after `mark` was committed.
    pub fn committed(&self, commands: &[Command], applied: &Applied, mark: Mark, now: Timestamp) {
        let mut board = self.board();
        for kind in &applied.waiting {
            board.add(kind);
        }
        for agent_id in &applied.untold {
            board.add_untold(*agent_id);
        }
        let mut fleet = self.fleet();
        // They say it again with their next poll.
        fleet.forget(&applied.unsaved);
        for (command, outcome) in commands.iter().zip(&applied.outcomes) {
            let Outcome::Poll(polled) = outcome else { continue };
            let found_nothing =
                polled.tasks.is_empty() && command.poll().is_some_and(|poll| poll.max_tasks > 0);
            if let Command::Poll { poll, .. } = command {
                if !applied.unsaved.contains(&poll.agent_id) {
                    fleet.saved(poll, now);
                }
                board.told(poll.agent_id, mark);
            }
            match command {
                Command::Poll { poll, kinds: None, .. } if found_nothing => board.has_nothing_for(poll, mark),
                Command::Poll { kinds: Some(kinds), .. } | Command::Claim { kinds, .. } if found_nothing => {
                    board.has_none_of(kinds, mark);
                }
                _ => {}
            }
        }
        if !applied.accounted.is_empty() {
            for command in commands {
                if let Command::Poll { poll, running: Some(running), .. } = command
                    && applied.accounted.contains(&poll.agent_id)
                {
                    fleet.accounted(poll.agent_id, &running.aliases, now);
                }
            }
        }
        // Only then: of what the batch gives, they knew nothing yet.
        for (command, outcome) in commands.iter().zip(&applied.outcomes) {
            if let (Some(poll), Outcome::Poll(polled)) = (command.poll(), outcome)
                && !polled.tasks.is_empty()
            {
                fleet.given(poll.agent_id);
            }
        }
    }

    /// Nobody knows what the store holds: until [`Known::read`], every poll asks it.
    pub fn doubt(&self) {
        self.board().doubt();
    }

    /// Reads from the store what there is for agents: from then on, a poll that brings nothing need not ask it.
    ///
    /// # Errors
    /// When it cannot be read; then every poll asks the store.
    pub async fn refresh(&self, store: &dyn Store) -> Result<(), StoreError> {
        let mark = self.mark();
        let backlog = store.backlog(BACKLOG).await.inspect_err(|_| self.doubt())?;
        self.read(&backlog, mark);
        Ok(())
    }

    /// All that there is for agents, as it was read after `mark`.
    pub fn read(&self, backlog: &Backlog, mark: Mark) {
        self.board().replace(backlog, mark);
    }

    /// What another AFM has done.
    pub fn hint(&self, hint: &Hint) {
        match hint {
            Hint::Waiting(kind) => self.board().add(kind),
            Hint::Untold(agent_id) => self.board().add_untold(*agent_id),
            // What waits is read anew every second in any case.
            Hint::Ended(_) | Hint::Unheard => {}
            Hint::Anything => self.doubt(),
        }
    }

    /// Of how many agents, at most, the store does not know yet when they were seen.
    #[must_use]
    pub fn unsaved(&self) -> usize {
        self.fleet().unsaved()
    }

    /// When agents were seen that the store does not know of yet; at most `most` of them, those seen first, by id.
    #[must_use]
    pub fn take_unsaved(&self, most: usize) -> Vec<(Uuid, Timestamp)> {
        self.fleet().take_unsaved(most)
    }

    /// They could not be saved after all.
    pub fn put_back(&self, unsaved: &[(Uuid, Timestamp)]) {
        self.fleet().put_back(unsaved);
    }

    /// These agents are not known to the store: their next poll tells it.
    pub fn forget(&self, agents: &[Uuid]) {
        self.fleet().forget(agents);
    }

    /// Forgets agents that have been silent for longer than `silence`, as the store does.
    pub fn forget_silent(&self, silence: Duration, now: Timestamp) {
        self.fleet().forget_silent(silence, now);
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.0.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fleet(&self) -> MutexGuard<'_, Fleet> {
        self.0.fleet.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use slamon_protocol::{AgentFilter, Capability};
    use slamon_store::Polled;

    use super::*;

    fn wait() -> Capability {
        Capability { task_type: "wait".to_owned(), version: 1 }
    }

    fn poll() -> PollRequest {
        PollRequest {
            agent_id: Uuid::from_u128(1),
            agent_name: "one".to_owned(),
            agent_capabilities: vec![wait()],
            max_tasks: 1,
            agent_location: None,
            max_wait: Duration::ZERO,
            agent_running: None,
        }
    }

    fn apply(known: &Known, command: Command) {
        let applied = Applied { outcomes: vec![Outcome::Poll(Polled::default())], ..Applied::default() };
        known.committed(&[command], &applied, known.mark(), Timestamp::UNIX_EPOCH);
    }

    #[test]
    fn the_store_is_asked_only_for_what_may_wait_also_by_an_agent_that_is_new() {
        let known = Known::default();
        let look = || known.look(&poll(), None, Timestamp::UNIX_EPOCH);
        assert_eq!(look(), Look::Unknown(None));
        known.read(&Backlog { is_complete: true, ..Backlog::default() }, known.mark());
        assert_eq!(look(), Look::Unknown(Some(vec![])));
        let kind = WaitingKind { capability: wait(), agent_filter: AgentFilter::default() };
        known.hint(&Hint::Waiting(kind.clone()));
        assert_eq!(look(), Look::Unknown(Some(vec![kind.clone()])));
        apply(&known, Command::Poll { poll: poll(), kinds: Some(vec![]), running: None });
        assert_eq!(look(), Look::Tasks(vec![kind.clone()]), "it was not asked for");
        apply(&known, Command::Poll { poll: poll(), kinds: Some(vec![kind]), running: None });
        assert_eq!(look(), Look::Nothing);
    }
}
