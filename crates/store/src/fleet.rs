//! What operators see of agents.

use std::ops::ControlFlow;

use jiff::Timestamp;
use slamon_protocol::JsonText;
use uuid::Uuid;

/// The most rows that one page of a list passes over. If it is not full by then, the next one goes on.
pub const MOST_PASSED_OVER: u32 = 5_000;

/// Up to this many bytes of capabilities are given in a list.
pub const LISTED_CAPABILITIES: u32 = 4_096;

/// Up to this many running tasks of an agent are counted, and listed.
pub const MOST_RUNNING: u32 = 100;

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// At most as many items as were asked for.
    pub items: Vec<T>,
    /// The place after which the next part begins, in words of the store; `None` if there is no more.
    pub next: Option<String>,
}

/// Which agents to list.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentQuery {
    /// Only agents in this state.
    pub state: Option<AgentState>,
    /// Only agents that offer this type.
    pub task_type: Option<String>,
    /// Only agents that offer the type in this version.
    pub task_version: Option<i64>,
    /// Only agents in this country.
    pub country: Option<String>,
    /// Only agents in this region.
    pub region: Option<String>,
    /// Only this agent.
    pub id: Option<Uuid>,
    /// Only agents whose names contain this, in any letter case.
    pub name: Option<String>,
    /// Agents seen at or after this time are active.
    pub seen_since: Timestamp,
    /// The most agents to list.
    pub limit: u32,
    /// A place that another page has given.
    pub after: Option<String>,
}

/// The state of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentState {
    /// It was seen lately, and is not paused.
    Active,
    /// It is silent, and not paused.
    Lost,
    /// It is paused, silent or not.
    Paused,
}

/// An agent in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedAgent {
    /// Its id.
    pub id: Uuid,
    /// Its name, as of its last poll; in a list, it is cut where it is long.
    pub name: String,
    /// When it polled or sent a result last.
    pub last_seen: Timestamp,
    /// Since when it is paused.
    pub paused_since: Option<Timestamp>,
    /// What it offers: a JSON object of types to versions; in a list, `None` where that is long.
    pub capabilities: Option<JsonText>,
    /// How long that is, in bytes.
    pub capabilities_bytes: u64,
    /// Where it is: a JSON object.
    pub location: Option<JsonText>,
    /// How many tasks it asked for when it polled last.
    pub max_tasks: u32,
    /// How many tasks it executes, counted up to [`MOST_RUNNING`].
    pub running: u32,
}

impl ListedAgent {
    /// Returns the state of the agent, if agents seen at or after `seen_since` are active.
    #[must_use]
    pub fn state(&self, seen_since: Timestamp) -> AgentState {
        state(self.paused_since, self.last_seen, seen_since)
    }
}

/// An agent with its tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentDetails {
    /// The agent, with its whole name and all that it offers.
    pub agent: ListedAgent,
    /// The tasks that it executes, oldest first, at most [`MOST_RUNNING`].
    pub tasks: Vec<RunningTask>,
    /// Whether it executes more.
    pub more_tasks: bool,
}

/// A task that an agent executes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningTask {
    /// Its id.
    pub task_id: Uuid,
    /// The process instance it belongs to.
    pub test_id: Uuid,
    /// Its type, cut where it is long.
    pub task_type: String,
    /// The version of the type.
    pub task_version: i64,
    /// When it was posted.
    pub created: Timestamp,
    /// When the attempt that runs began.
    pub claimed: Timestamp,
    /// The number of that attempt, from 1.
    pub attempt: u32,
    /// When a result is too late.
    pub deadline: Option<Timestamp>,
}

/// What a search reads of each agent that it passes over.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) last_seen: Timestamp,
    pub(crate) paused_since: Option<Timestamp>,
    pub(crate) country: Option<String>,
    pub(crate) region: Option<String>,
}

/// What of a query an index has not answered: each candidate is compared with it.
#[derive(Debug)]
pub(crate) struct CandidateFilter<'q> {
    query: &'q AgentQuery,
    name: Option<String>,
}

impl<'q> CandidateFilter<'q> {
    pub(crate) fn of(query: &'q AgentQuery) -> Self {
        Self { query, name: query.name.as_deref().map(str::to_lowercase) }
    }

    /// Whether every candidate is wanted.
    pub(crate) fn is_empty(&self) -> bool {
        let AgentQuery { state, country, region, id, .. } = self.query;
        state.is_none() && country.is_none() && region.is_none() && id.is_none() && self.name.is_none()
    }

    pub(crate) fn wants(&self, candidate: &Candidate) -> bool {
        let query = self.query;
        let state = state(candidate.paused_since, candidate.last_seen, query.seen_since);
        query.state.is_none_or(|wanted| wanted == state)
            && query.id.is_none_or(|id| id == candidate.id)
            && self.name.as_ref().is_none_or(|name| candidate.name.to_lowercase().contains(name))
            && [(&query.country, &candidate.country), (&query.region, &candidate.region)]
                .into_iter()
                .all(|(wanted, has)| wanted.is_none() || wanted == has)
    }
}

/// Puts the agents of a page together, from candidates in the order of a source.
#[derive(Debug)]
pub(crate) struct Search<'q> {
    filter: CandidateFilter<'q>,
    limit: usize,
    passed_over: u32,
    found: Vec<Uuid>,
    next: Option<String>,
}

impl<'q> Search<'q> {
    pub(crate) fn of(query: &'q AgentQuery) -> Self {
        let filter = CandidateFilter::of(query);
        Self { filter, limit: query.limit as usize, passed_over: 0, found: Vec::new(), next: None }
    }

    /// How many candidates to read next: all that may be needed if nothing else is asked of them.
    pub(crate) fn worth_reading(&self) -> u32 {
        let left = MOST_PASSED_OVER - self.passed_over;
        let needed = u32::try_from(self.limit - self.found.len()).unwrap_or(left).saturating_add(1);
        let at_least = if self.filter.is_empty() { 0 } else { 200 };
        needed.max(2 * self.passed_over).max(at_least).min(left)
    }

    /// Passes over the next candidate; `None` is one that is gone, or of another type. `place` is where it
    /// stands. Breaks off when the page is full.
    pub(crate) fn pass(
        &mut self,
        candidate: Option<&Candidate>,
        place: impl Fn() -> String,
    ) -> ControlFlow<()> {
        self.passed_over += 1;
        if let Some(candidate) = candidate.filter(|candidate| self.filter.wants(candidate)) {
            if self.found.len() == self.limit {
                return ControlFlow::Break(());
            }
            self.found.push(candidate.id);
            if self.found.len() == self.limit {
                self.next = Some(place());
            }
        }
        if self.passed_over == MOST_PASSED_OVER {
            self.next = Some(place());
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// Ends the search: the agents that were found, and the place from which on there may be more.
    /// `has_ended` says that there are no more candidates.
    pub(crate) fn end(self, has_ended: bool) -> (Vec<Uuid>, Option<String>) {
        (self.found, self.next.filter(|_| !has_ended))
    }
}

fn state(paused_since: Option<Timestamp>, last_seen: Timestamp, seen_since: Timestamp) -> AgentState {
    match paused_since {
        Some(_) => AgentState::Paused,
        None if last_seen >= seen_since => AgentState::Active,
        None => AgentState::Lost,
    }
}
