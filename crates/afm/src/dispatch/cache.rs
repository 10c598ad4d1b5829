//! What an AFM knows by heart, so that a poll that brings nothing touches no database: what waits, and which agents
//! have said before what they say now.
//!
//! It may say that there is something where there is nothing: then the poll asks the store. Where it says that there is
//! nothing, there was nothing a moment ago: what this AFM commits is noted before it is answered, what others commit
//! comes as hints, and it is read anew every second (on PostgreSQL, all of it every 15 s; in parts where it is much), so that
//! a hint that was missed delays a task, and no more.

mod agent_cache;
mod kind_map;
mod left_out;
mod search;
mod shared;
mod waiting_index;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use slamon_protocol::PollRequest;
use slamon_store::{Command, KindCursor, Store, StoreError, StoreEvent, WaitingKind};
use uuid::Uuid;

use self::search::Reading;
pub use self::search::Search;
use self::shared::SharedCache;
use self::waiting_index::Wanted;

/// How often what there is for agents is read anew.
const REFRESH_AGAIN: Duration = Duration::from_secs(1);

/// How much of what there is for agents is read at once.
const BACKLOG: u32 = 10_000;

/// What is known of a poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheLookup {
    /// It brings nothing, and says nothing new.
    Nothing,
    /// It says nothing new, and there may be tasks of these kinds for it.
    Tasks(Vec<KindCursor>),
    /// The store has to be told, or asked for more. There may be tasks of these kinds for it; `None`: of any.
    Unknown(Option<Vec<KindCursor>>),
}

impl CacheLookup {
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
        let with = |mut kinds: Vec<KindCursor>| {
            if kinds.iter().all(|known| known.kind != kind) {
                kinds.push(kind.into());
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
pub struct DispatchCache(Arc<SharedCache>);

impl DispatchCache {
    /// What is known of a poll at `now`, whose agent may say what it executes. Unless that is [`CacheLookup::Unknown`], its agent was
    /// seen, which is to be saved.
    #[must_use]
    pub fn lookup(&self, poll: &PollRequest, running: Option<&[Uuid]>, now: Timestamp) -> CacheLookup {
        let (kinds, has_untold) = {
            let waiting = self.0.waiting();
            (waiting.kinds_for(poll), waiting.has_untold(poll.agent_id))
        };
        if has_untold {
            return CacheLookup::Unknown(kinds);
        }
        let Some(kinds) = kinds else { return CacheLookup::Unknown(None) };
        if !self.0.agents().sees(poll, running, now) {
            return CacheLookup::Unknown(Some(kinds));
        }
        if kinds.is_empty() { CacheLookup::Nothing } else { CacheLookup::Tasks(kinds) }
    }

    /// To be called before a batch is applied: what is noted after it may be news to the store. Has its polls look for tasks
    /// where these may wait.
    pub fn begin(&self, batch: &mut [Command]) -> Search<'_> {
        Search::begin(&self.0, batch)
    }

    /// Nobody knows what the store holds: until it was read, every poll asks it.
    pub fn doubt(&self) {
        let forgotten = self.0.waiting().doubt();
        drop(forgotten);
    }

    /// Reads from the store what there is for agents: from then on, a poll that brings nothing need not ask it.
    ///
    /// # Errors
    /// When it cannot be read; then every poll asks the store.
    pub async fn refresh(&self, store: &dyn Store) -> Result<(), StoreError> {
        loop {
            let reading = Reading::begin(&self.0);
            let backlog = match &reading.wanted {
                Wanted::Of(kinds) => store.backlog_of(Arc::clone(kinds), BACKLOG).await,
                Wanted::After(kind) => store.backlog(kind.clone(), BACKLOG).await,
            };
            let backlog = backlog.inspect_err(|_| self.doubt())?;
            let has_more = backlog.next.is_some();
            if reading.ended(&backlog) || !has_more {
                return Ok(());
            }
        }
    }

    /// Refreshes it for ever: what other AFMs have done may not have been heard.
    pub(crate) async fn keep_refreshed(self, store: Arc<dyn Store>) {
        loop {
            if let Err(error) = self.refresh(&*store).await {
                // Every poll asks the store then, which says so louder.
                tracing::debug!(error = format!("{error:#}"), "could not read which tasks wait");
            }
            tokio::time::sleep(REFRESH_AGAIN).await;
        }
    }

    /// What another AFM has done.
    pub fn hint(&self, hint: &StoreEvent) {
        match hint {
            StoreEvent::TaskWaiting(waiting) => self.0.waiting().note(waiting),
            StoreEvent::CancellationPending(agent_id) => self.0.waiting().note_untold(*agent_id),
            StoreEvent::TaskEnded(_) => {}
            StoreEvent::EventsMissed => {
                let forgotten = self.0.waiting().hear();
                drop(forgotten);
            }
            // All that waits is read anew every second then.
            StoreEvent::ListeningStopped | StoreEvent::NotListening => self.0.waiting().deafen(),
        }
    }

    /// Of how many agents, at most, the store does not know yet when they were seen.
    #[must_use]
    pub fn unsaved(&self) -> usize {
        self.0.agents().unsaved()
    }

    /// When agents were seen that the store does not know of yet; at most `most` of them, those seen first, by id.
    #[must_use]
    pub fn take_unsaved(&self, most: usize) -> Vec<(Uuid, Timestamp)> {
        self.0.agents().take_unsaved(most)
    }

    /// They could not be saved after all.
    pub fn put_back(&self, unsaved: &[(Uuid, Timestamp)]) {
        self.0.agents().put_back(unsaved);
    }

    /// These agents are not known to the store: their next poll tells it.
    pub fn forget(&self, agents: &[Uuid]) {
        self.0.agents().forget(agents);
    }

    /// Forgets agents that have been silent for longer than `silence`, as the store does.
    pub fn forget_silent(&self, silence: Duration, now: Timestamp) {
        self.0.agents().forget_silent(silence, now);
    }
}

#[cfg(test)]
mod tests {
    use slamon_protocol::{AgentFilter, Capability};
    use slamon_store::{Applied, Backlog, Polled, Replies};

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

    /// A poll that finds nothing where it looks.
    fn apply(cache: &DispatchCache, command: Command) {
        let Command::Poll { kinds: Some(kinds), .. } = &command else { panic!("{command:?}") };
        let searched = kinds.iter().map(|searched| (searched.kind.clone(), None)).collect();
        let replies = Replies { polls: vec![Ok(Polled::default())], ..Replies::default() };
        let applied = Applied { replies, searched, ..Applied::default() };
        let mut batch = [command];
        cache.begin(&mut batch).committed(&batch, &applied, Timestamp::UNIX_EPOCH);
    }

    #[test]
    fn the_store_is_asked_only_for_what_may_wait_also_by_an_agent_that_is_new() {
        let cache = DispatchCache::default();
        let lookup = || cache.lookup(&poll(), None, Timestamp::UNIX_EPOCH);
        assert_eq!(lookup(), CacheLookup::Unknown(None));
        Reading::begin(&cache.0).ended(&Backlog { is_complete: true, ..Backlog::default() });
        assert_eq!(lookup(), CacheLookup::Unknown(Some(vec![])));
        let kind = KindCursor::from(WaitingKind { capability: wait(), agent_filter: AgentFilter::default() });
        cache.hint(&StoreEvent::TaskWaiting(kind.clone()));
        assert_eq!(lookup(), CacheLookup::Unknown(Some(vec![kind.clone()])));
        apply(&cache, Command::Poll { poll: poll(), kinds: Some(vec![]), running: None });
        assert_eq!(lookup(), CacheLookup::Tasks(vec![kind.clone()]), "it was not asked for");
        cache.hint(&StoreEvent::CancellationPending(poll().agent_id));
        assert_eq!(lookup(), CacheLookup::Unknown(Some(vec![kind.clone()])), "it has something to be told");
        apply(&cache, Command::Poll { poll: poll(), kinds: Some(vec![kind]), running: None });
        assert_eq!(lookup(), CacheLookup::Nothing);
    }
}
