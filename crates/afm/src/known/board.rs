//! What there is for agents.

use std::collections::HashMap;

use slamon_protocol::{AgentFilter, Capability, PollRequest};
use slamon_store::{Backlog, WaitingKind};
use uuid::Uuid;

/// Of a type and version, the most filters that are told apart. Where there are more, polls ask the store.
const MOST_FILTERS: usize = 1_000;

/// How much the texts of all kinds may be, in bytes. Where they are more, polls ask the store.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// How much the texts of the kinds may be that one poll is about, in bytes. Where they are more, it asks the store for all.
const MOST_BYTES_NAMED: usize = 256 * 1024;

/// A moment in the life of a board.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Mark(u64);

/// The kinds of the tasks that may wait, and the agents that may have something to be told; of each, when it was noted.
#[derive(Debug, Default)]
pub(super) struct Board {
    /// Grows with each note.
    now: Mark,
    /// The last time that the store may have changed in ways that nobody has noted.
    doubted: Mark,
    /// When all of it was read last; nothing is known before the first time.
    sure_since: Option<Mark>,
    kinds: HashMap<Capability, HashMap<AgentFilter, Mark>>,
    /// Of all kinds, each with its type.
    bytes: usize,
    untold: HashMap<Uuid, Mark>,
}

impl Board {
    pub(super) fn mark(&self) -> Mark {
        self.now
    }

    fn tick(&mut self) -> Mark {
        self.now.0 += 1;
        self.now
    }

    pub(super) fn add(&mut self, kind: &WaitingKind) {
        let mark = self.tick();
        let filters = match self.kinds.get_mut(&kind.capability) {
            Some(filters) => filters,
            None => self.kinds.entry(kind.capability.clone()).or_default(),
        };
        match filters.get_mut(&kind.agent_filter) {
            Some(noted) => *noted = mark,
            None => {
                filters.insert(kind.agent_filter.clone(), mark);
                self.bytes += kind.text_bytes();
            }
        }
        if self.bytes > MOST_BYTES {
            self.kinds.clear();
            self.bytes = 0;
            self.doubt();
        }
    }

    pub(super) fn add_untold(&mut self, agent_id: Uuid) {
        let mark = self.tick();
        self.untold.insert(agent_id, mark);
    }

    pub(super) fn doubt(&mut self) {
        self.doubted = self.tick();
        self.sure_since = None;
    }

    /// Where there may be tasks for a poll; `None` where that is not known, too much to name, or where its agent may have
    /// something to be told.
    pub(super) fn kinds_for(&self, poll: &PollRequest) -> Option<Vec<WaitingKind>> {
        self.sure_since?;
        if !self.untold.is_empty() && self.untold.contains_key(&poll.agent_id) {
            return None;
        }
        let (mut kinds, mut bytes) = (Vec::new(), 0);
        if self.kinds.is_empty() || poll.max_tasks == 0 {
            return Some(kinds);
        }
        for offer in &poll.agent_capabilities {
            let Some(filters) = self.kinds.get(offer) else { continue };
            if filters.len() > MOST_FILTERS {
                return None;
            }
            for filter in filters.keys().filter(|filter| matches(filter, poll)) {
                bytes += text_bytes(offer, filter);
                if bytes > MOST_BYTES_NAMED {
                    return None;
                }
                kinds.push(WaitingKind { capability: offer.clone(), agent_filter: filter.clone() });
            }
        }
        Some(kinds)
    }

    /// The store had no task of these kinds when it was asked after `mark`.
    pub(super) fn has_none_of(&mut self, kinds: &[WaitingKind], mark: Mark) {
        for kind in kinds {
            let Some(filters) = self.kinds.get_mut(&kind.capability) else { continue };
            if filters.get(&kind.agent_filter).is_some_and(|noted| *noted <= mark) {
                filters.remove(&kind.agent_filter);
                self.bytes -= kind.text_bytes();
            }
            if filters.is_empty() {
                self.kinds.remove(&kind.capability);
            }
        }
    }

    /// The store had no task for a poll that it was asked after `mark`.
    pub(super) fn has_nothing_for(&mut self, poll: &PollRequest, mark: Mark) {
        for offer in &poll.agent_capabilities {
            let Some(filters) = self.kinds.get_mut(offer) else { continue };
            let bytes = &mut self.bytes;
            retain(offer, filters, bytes, |filter, noted| noted > mark || !matches(filter, poll));
            if filters.is_empty() {
                self.kinds.remove(offer);
            }
        }
    }

    /// An agent was told all that there was after `mark`.
    pub(super) fn told(&mut self, agent_id: Uuid, mark: Mark) {
        if self.untold.get(&agent_id).is_some_and(|noted| *noted <= mark) {
            self.untold.remove(&agent_id);
        }
    }

    /// What the store held after `mark`; what was noted since then counts on.
    pub(super) fn replace(&mut self, backlog: &Backlog, mark: Mark) {
        let bytes = &mut self.bytes;
        self.kinds.retain(|offer, filters| {
            retain(offer, filters, bytes, |_, noted| noted > mark);
            !filters.is_empty()
        });
        self.untold.retain(|_, noted| *noted > mark);
        for kind in &backlog.kinds {
            self.add(kind);
        }
        for agent_id in &backlog.untold {
            self.add_untold(*agent_id);
        }
        let is_sure = backlog.is_complete && self.doubted <= mark;
        self.sure_since = is_sure.then_some(mark);
    }
}

/// Keeps filters of a type and version, and counts off the others.
fn retain(
    offer: &Capability,
    filters: &mut HashMap<AgentFilter, Mark>,
    bytes: &mut usize,
    keep: impl Fn(&AgentFilter, Mark) -> bool,
) {
    filters.retain(|filter, noted| {
        let is_kept = keep(filter, *noted);
        if !is_kept {
            *bytes -= text_bytes(offer, filter);
        }
        is_kept
    });
}

fn text_bytes(offer: &Capability, filter: &AgentFilter) -> usize {
    offer.task_type.len() + filter.text_bytes()
}

fn matches(filter: &AgentFilter, poll: &PollRequest) -> bool {
    filter.matches(poll.agent_id, &poll.agent_name, poll.agent_location.as_ref())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn poll(agent: u128, max_tasks: u32) -> PollRequest {
        PollRequest {
            agent_id: Uuid::from_u128(agent),
            agent_name: format!("agent {agent}"),
            agent_capabilities: [1, 2].map(wait).to_vec(),
            max_tasks,
            agent_location: None,
            max_wait: Duration::ZERO,
            agent_running: None,
        }
    }

    fn wait(version: i64) -> Capability {
        Capability { task_type: "wait".to_owned(), version }
    }

    fn any(version: i64) -> WaitingKind {
        WaitingKind { capability: wait(version), agent_filter: AgentFilter::default() }
    }

    fn named(agent: u128) -> WaitingKind {
        let agent_filter =
            AgentFilter { agent_name: Some(format!("agent {agent}")), ..AgentFilter::default() };
        WaitingKind { agent_filter, ..any(1) }
    }

    impl Board {
        fn has_something_for(&self, poll: &PollRequest) -> bool {
            self.kinds_for(poll).is_none_or(|kinds| !kinds.is_empty())
        }
    }

    fn sure() -> Board {
        let mut board = Board::default();
        board.replace(&Backlog { is_complete: true, ..Backlog::default() }, board.mark());
        board
    }

    #[test]
    fn until_all_was_read_there_may_be_anything() {
        let mut board = Board::default();
        assert!(board.has_something_for(&poll(1, 0)));
        board.replace(&Backlog::default(), board.mark());
        assert!(board.has_something_for(&poll(1, 0)), "that was not all");
        board.replace(&Backlog { is_complete: true, ..Backlog::default() }, board.mark());
        assert!(!board.has_something_for(&poll(1, 1)));
        let before = board.mark();
        board.doubt();
        assert!(board.has_something_for(&poll(1, 1)));
        board.replace(&Backlog { is_complete: true, ..Backlog::default() }, before);
        assert!(board.has_something_for(&poll(1, 1)), "it was read before the doubt");
    }

    #[test]
    fn a_kind_is_for_those_who_offer_it_and_match_its_filter() {
        let mut board = sure();
        board.add(&any(3));
        board.add(&named(2));
        assert!(!board.has_something_for(&poll(1, 1)));
        assert!(board.has_something_for(&poll(2, 1)));
        assert!(!board.has_something_for(&poll(2, 0)), "it takes no task");
        board.add(&any(2));
        assert!(board.has_something_for(&poll(1, 1)));
    }

    #[test]
    fn a_poll_that_found_nothing_says_so_of_what_it_could_have_taken() {
        let mut board = sure();
        board.add(&any(1));
        board.add(&named(2));
        board.has_nothing_for(&poll(1, 1), board.mark());
        assert!(!board.has_something_for(&poll(1, 1)));
        assert!(board.has_something_for(&poll(2, 1)), "the filtered one was none of its");
    }

    #[test]
    fn the_kinds_that_match_are_named_and_can_be_taken_back() {
        let mut board = sure();
        assert_eq!(board.kinds_for(&poll(2, 1)), Some(Vec::new()));
        for kind in [any(1), named(2), named(3), any(3)] {
            board.add(&kind);
        }
        let mut kinds = board.kinds_for(&poll(2, 1)).unwrap();
        kinds.sort_by_key(|kind| kind.agent_filter.key());
        assert_eq!(kinds, [any(1), named(2)]);
        board.has_none_of(&kinds[..1], board.mark());
        assert_eq!(board.kinds_for(&poll(2, 1)), Some(vec![named(2)]));
        let before = board.mark();
        board.add(&named(2));
        board.has_none_of(&kinds, before);
        assert_eq!(board.kinds_for(&poll(2, 1)), Some(vec![named(2)]), "it was noted since");
        for n in 0..MOST_FILTERS as u128 {
            board.add(&named(10 + n));
        }
        assert_eq!(board.kinds_for(&poll(2, 1)), None, "too many to look through");
    }

    #[test]
    fn what_was_noted_since_counts_on() {
        let mut board = sure();
        board.add(&any(1));
        board.add_untold(Uuid::from_u128(1));
        let before = board.mark();
        board.add(&any(1));
        board.add_untold(Uuid::from_u128(1));
        board.has_nothing_for(&poll(2, 1), before);
        assert!(board.has_something_for(&poll(2, 1)));
        board.replace(&Backlog { is_complete: true, ..Backlog::default() }, before);
        assert!(board.has_something_for(&poll(2, 1)));
        board.told(Uuid::from_u128(1), before);
        assert!(board.has_something_for(&poll(1, 0)));
        board.has_nothing_for(&poll(2, 1), board.mark());
        board.told(Uuid::from_u128(1), board.mark());
        assert!(!board.has_something_for(&poll(1, 1)));
    }

    #[test]
    fn what_the_store_does_not_hold_any_more_goes() {
        let mut board = sure();
        board.add(&any(1));
        board.add_untold(Uuid::from_u128(1));
        let backlog = Backlog { kinds: vec![any(2)], untold: vec![Uuid::from_u128(3)], is_complete: true };
        board.replace(&backlog, board.mark());
        let only = |version| PollRequest { agent_capabilities: vec![wait(version)], ..poll(9, 1) };
        assert!(!board.has_something_for(&only(1)) && board.has_something_for(&only(2)));
        assert!(!board.has_something_for(&poll(1, 0)) && board.has_something_for(&poll(3, 0)));
    }

    #[test]
    fn kinds_that_are_too_large_together_are_asked_for() {
        let large = |n: usize| {
            let task_type = format!("{n}{}", "x".repeat(1024 * 1024));
            WaitingKind { capability: Capability { task_type, version: 1 }, ..any(1) }
        };
        let mut board = sure();
        let few = Backlog { kinds: (0..10).map(large).collect(), untold: Vec::new(), is_complete: true };
        board.replace(&few, board.mark());
        assert!(!board.has_something_for(&poll(1, 1)), "they fit");
        let offers_large = PollRequest { agent_capabilities: vec![large(0).capability], ..poll(1, 1) };
        assert_eq!(board.kinds_for(&offers_large), None, "too large to name");
        for n in 10..400 {
            board.add(&large(n));
            assert!(board.bytes <= MOST_BYTES);
        }
        assert_eq!(board.kinds_for(&poll(1, 1)), None);
        // What was noted before is asked for, too.
        let many = Backlog { kinds: (0..20).map(large).collect(), ..few.clone() };
        board.replace(&many, board.mark());
        assert_eq!(board.kinds_for(&poll(1, 1)), None);
        board.replace(&few, board.mark());
        assert_eq!(board.kinds_for(&poll(1, 1)), Some(Vec::new()));
        board.replace(&Backlog { is_complete: true, ..Backlog::default() }, board.mark());
        for n in 0..3 {
            board.add(&large(n));
        }
        board.has_none_of(&[large(0)], board.mark());
        board.has_nothing_for(
            &PollRequest { agent_capabilities: vec![large(1).capability], ..poll(1, 1) },
            board.mark(),
        );
        board.replace(&Backlog { is_complete: true, ..Backlog::default() }, board.mark());
        assert_eq!(board.bytes, 0, "what goes is counted off");
    }
}
