//! A poll of a batch, and what is chosen for it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use slamon_domain::{ClaimBudget, Command, Delivery, KindCursor, QueueCursor, State, alias, lifecycle};
use slamon_protocol::{AgentFilter, PollRequest};
use uuid::Uuid;

use super::claims::{Candidate, Chosen, Order};
use crate::postgres::stored_kind::StoredKind;

/// The candidates of a kind, the next one first.
pub(super) type Queue = VecDeque<Candidate>;

/// A poll, which is open until it has all that it may have.
pub(super) struct OpenPoll<'a> {
    pub(super) request: &'a PollRequest,
    /// Whether its agent is told of pending cancellations.
    pub(super) is_told: bool,
    /// Which of the kinds of all polls it asks for.
    pub(super) kinds: Vec<usize>,
    pub(super) budget: ClaimBudget,
    pub(super) given: Vec<(Order, Delivery)>,
    /// Whether it is to be given more, as one that has missed a task.
    pub(super) open: bool,
}

impl OpenPoll<'_> {
    /// The ids of the tasks that it is given so far.
    pub(super) fn given_ids(&self) -> Vec<Uuid> {
        self.given.iter().map(|(_, delivery)| delivery.task_id).collect()
    }

    /// Chooses the next tasks of all kinds that the poll asks for.
    pub(super) fn choose(
        &self,
        place: usize,
        queues: &mut [Queue],
        now: Timestamp,
        default_timeout: Option<Duration>,
        chosen: &mut Vec<Chosen>,
    ) {
        let mut budget = self.budget.clone();
        loop {
            let fronts = self.kinds.iter().filter_map(|kind| Some((queues.get(*kind)?.front()?, *kind)));
            let Some((next, kind)) = fronts.min_by_key(|(next, _)| next.order) else { return };
            if !budget.has_room(next.size) {
                return;
            }
            let Some(mut candidate) = queues[kind].pop_front() else { return };
            let task = &candidate.task;
            let attempt = lifecycle::claim(task, self.request, alias::new, now, default_timeout);
            let Some(attempt) = attempt else { continue };
            budget.add(candidate.size);
            candidate.task.attempts = attempt.number;
            candidate.task.state = State::Claimed(attempt.clone());
            chosen.push(Chosen { poll: place, kind, candidate, attempt });
        }
    }
}

/// The kinds that a poll asks for, with where to start; none if it asks for no tasks.
pub(super) fn kinds_of(poll: &PollRequest, command: &Command) -> BTreeMap<StoredKind, QueueCursor> {
    if ClaimBudget::of(poll).left() == 0 {
        return BTreeMap::new();
    }
    match command {
        Command::Poll { kinds: Some(named), .. } | Command::Claim { kinds: named, .. } => {
            named.iter().map(|KindCursor { kind, cursor }| (StoredKind::of(kind), *cursor)).collect()
        }
        _ => all_kinds(poll),
    }
}

/// All kinds of which an agent may have tasks.
fn all_kinds(poll: &PollRequest) -> BTreeMap<StoredKind, QueueCursor> {
    let filters = AgentFilter::matching(poll.agent_id, &poll.agent_name, poll.agent_location.as_ref());
    let of_filter = |filter: String| {
        poll.agent_capabilities.iter().map(move |offer| {
            let (task_type, version) = (offer.task_type.clone(), offer.version);
            (StoredKind { task_type, version, filter: filter.clone() }, QueueCursor::START)
        })
    };
    filters.iter().map(AgentFilter::key).flat_map(of_filter).collect()
}
