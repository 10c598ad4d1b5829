//! The dispatch cache answers polls that bring nothing, without the database. It knows which kinds of tasks
//! may be waiting, and whether an agent says what it has said before.
//!
//! It errs on the side of asking: where it says that there may be tasks, the poll asks the store, which may
//! find none. Where it says that there are none, there were none a moment ago. What this AFM commits is noted
//! before it is answered, what other AFMs commit comes as events, and the waiting tasks are read again every
//! second (on PostgreSQL, all of them every 15 s; in parts, if there are many). So an event that was missed
//! delays a task, and does no other harm.

mod agent_cache;
mod gathered;
mod held_pauses;
mod kind_map;
mod left_out;
mod search;
mod shared;
mod waiting_index;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use slamon_domain::{Command, KindCursor, Pauses, WaitingKind};
use slamon_protocol::PollRequest;
use slamon_store::{Store, StoreError, StoreEvent};
use uuid::Uuid;

use self::search::Reading;
pub use self::search::Search;
use self::shared::SharedCache;
use self::waiting_index::ReadScope;

/// The waiting tasks are read again once in this long.
const REFRESH_AGAIN: Duration = Duration::from_secs(1);

/// At most this many kinds, and this many agents with pending cancellations, are read at once.
const BACKLOG: u32 = 10_000;

/// The result of looking a poll up in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheLookup {
    /// The poll brings nothing, and says nothing new.
    Nothing,
    /// The poll says nothing new, and there may be tasks of these kinds for it.
    Tasks(Vec<KindCursor>),
    /// The store must be asked. There may be tasks of these kinds for the poll; with `None`, of any kind.
    Unknown(Option<Vec<KindCursor>>),
}

impl CacheLookup {
    /// Returns the command that finds out what the poll brings; `None` if it brings nothing.
    #[must_use]
    pub fn into_command(self, poll: PollRequest) -> Option<Command> {
        match self {
            Self::Nothing => None,
            Self::Tasks(kinds) => Some(Command::Claim { poll, kinds }),
            Self::Unknown(kinds) => Some(Command::Poll { poll, kinds, running: None }),
        }
    }

    /// Adds a kind of which there may be a task, too.
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

/// The dispatch cache. All clones are one. At first it knows nothing, and every poll asks the store.
#[derive(Debug, Clone, Default)]
pub struct DispatchCache(Arc<SharedCache>);

impl DispatchCache {
    /// Looks a poll up at the time `now`. The agent may say which attempts it executes. Unless the result is
    /// [`CacheLookup::Unknown`], the cache has buffered a heartbeat of the agent.
    #[must_use]
    pub fn lookup(&self, poll: &PollRequest, running: Option<&[Uuid]>, now: Timestamp) -> CacheLookup {
        let (mut kinds, has_pending_cancellation) = {
            let waiting = self.0.waiting();
            (waiting.kinds_for(poll), waiting.has_pending_cancellation(poll.agent_id))
        };
        if let Some(kinds) = &mut kinds
            && let Some(pauses) = self.0.pauses.known()
        {
            held_pauses::retain(kinds, poll, &pauses);
        }
        if has_pending_cancellation {
            return CacheLookup::Unknown(kinds);
        }
        let Some(kinds) = kinds else { return CacheLookup::Unknown(None) };
        if !self.0.agents().buffer_heartbeat(poll, running, now) {
            return CacheLookup::Unknown(Some(kinds));
        }
        if kinds.is_empty() { CacheLookup::Nothing } else { CacheLookup::Tasks(kinds) }
    }

    /// Begins a search; to be called before the store applies a batch, which may miss what is noted from then
    /// on. Leaves out of the polls in the batch what is paused, and gives them the cursors from which to look for
    /// tasks.
    pub fn begin(&self, batch: &mut [Command]) -> Search<'_> {
        self.0.pauses.leave_out(batch);
        Search::begin(&self.0, batch)
    }

    /// Returns the pauses that hold; `None` if nothing is paused.
    #[must_use]
    pub fn pauses(&self) -> Option<Arc<Pauses>> {
        self.0.pauses.known()
    }

    /// Whether the pauses were read. Until then, no poll is handed anything.
    #[must_use]
    pub fn knows_pauses(&self) -> bool {
        self.0.pauses.is_known()
    }

    /// Replaces the pauses by those that were read.
    pub fn set_pauses(&self, pauses: Arc<Pauses>) {
        self.0.pauses.set(pauses);
    }

    /// Forgets which tasks wait, because the state of the store is unknown: until it was read, every poll
    /// asks it.
    pub fn invalidate(&self) {
        let forgotten = self.0.waiting().invalidate();
        drop(forgotten);
    }

    /// Reads the waiting tasks and pending cancellations from the store. From then on, a poll that brings
    /// nothing need not ask it.
    ///
    /// # Errors
    /// Fails when they cannot be read; then every poll asks the store.
    pub async fn refresh(&self, store: &dyn Store) -> Result<(), StoreError> {
        loop {
            let reading = Reading::begin(&self.0);
            let backlog = match &reading.scope {
                ReadScope::Of(kinds) => store.backlog_of(Arc::clone(kinds), BACKLOG).await,
                ReadScope::After(kind) => store.backlog(kind.clone(), BACKLOG).await,
            };
            let backlog = backlog.inspect_err(|_| self.invalidate())?;
            let has_more = backlog.next.is_some();
            if reading.ended(&backlog) || !has_more {
                return Ok(());
            }
        }
    }

    /// Refreshes the cache for ever, since events of other AFMs may have been missed.
    pub(crate) async fn keep_refreshed(self, store: Arc<dyn Store>) {
        loop {
            if let Err(error) = self.refresh(&*store).await {
                // Now every poll asks the store, whose failure is logged at a higher level.
                tracing::debug!(error = format!("{error:#}"), "could not read which tasks wait");
            }
            tokio::time::sleep(REFRESH_AGAIN).await;
        }
    }

    /// Notes what another AFM has done.
    pub fn on_event(&self, event: &StoreEvent) {
        match event {
            StoreEvent::TaskWaiting(waiting) => self.0.waiting().note(waiting),
            StoreEvent::CancellationPending(agent_id) => self.0.waiting().note_cancellation(*agent_id),
            StoreEvent::TaskEnded(_)
            | StoreEvent::Changed(_)
            | StoreEvent::ChangesMissed
            | StoreEvent::Watched
            | StoreEvent::PausesChanged => {}
            StoreEvent::EventsMissed => {
                let forgotten = self.0.waiting().listening_began();
                drop(forgotten);
            }
            // Until events arrive again, all that waits is read every second.
            StoreEvent::ListeningStopped | StoreEvent::NotListening => self.0.waiting().listening_stopped(),
        }
    }

    /// Notes when a poll of an agent that was held open is answered.
    pub fn answered(&self, agent_id: Uuid, at: Timestamp) {
        self.0.agents().answered(agent_id, at);
    }

    /// Returns when each of these agents, which the store has as last seen at a time, polled here last; `None` where it
    /// has not, or may have polled at another AFM since.
    #[must_use]
    pub fn polled_at(&self, agents: &[(Uuid, Timestamp)]) -> Vec<Option<Timestamp>> {
        let cached = self.0.agents();
        agents.iter().map(|(agent_id, last_seen)| cached.polled_at(*agent_id, *last_seen)).collect()
    }

    /// Returns how many heartbeats are buffered, at most.
    #[must_use]
    pub fn unsaved(&self) -> usize {
        self.0.agents().unsaved()
    }

    /// The buffered heartbeats.
    #[must_use]
    pub fn unsaved_heartbeats(&self) -> Vec<(Uuid, Timestamp)> {
        self.0.agents().unsaved_heartbeats()
    }

    /// Takes the oldest of the buffered heartbeats, at most `most`, in the order of agent ids.
    #[must_use]
    pub fn take_unsaved(&self, most: usize) -> Vec<(Uuid, Timestamp)> {
        self.0.agents().take_unsaved(most)
    }

    /// Puts heartbeats back that could not be saved.
    pub fn put_back(&self, unsaved: &[(Uuid, Timestamp)]) {
        self.0.agents().put_back(unsaved);
    }

    /// Forgets agents that the store does not know: their next poll registers them.
    pub fn forget(&self, agents: &[Uuid]) {
        self.0.agents().forget(agents);
    }

    /// Forgets agents that have been silent for longer than `silence`.
    pub fn forget_silent(&self, silence: Duration, now: Timestamp) {
        self.0.agents().forget_silent(silence, now);
    }
}

#[cfg(test)]
mod tests {
    use slamon_domain::{Applied, Polled, Replies};
    use slamon_protocol::{AgentFilter, Capability};
    use slamon_store::Backlog;

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

    /// Applies a poll that finds nothing where it looks.
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
        cache.on_event(&StoreEvent::TaskWaiting(kind.clone()));
        assert_eq!(lookup(), CacheLookup::Unknown(Some(vec![kind.clone()])));
        apply(&cache, Command::Poll { poll: poll(), kinds: Some(vec![]), running: None });
        assert_eq!(lookup(), CacheLookup::Tasks(vec![kind.clone()]), "it was not asked for");
        cache.on_event(&StoreEvent::CancellationPending(poll().agent_id));
        assert_eq!(lookup(), CacheLookup::Unknown(Some(vec![kind.clone()])), "it has something to be told");
        apply(&cache, Command::Poll { poll: poll(), kinds: Some(vec![kind]), running: None });
        assert_eq!(lookup(), CacheLookup::Nothing);
    }
}
