//! Which indexes are read for a list, and in which words they are asked for.

use tokio_postgres::types::ToSql;

use crate::listing::{ListOrder, Part, States, TaskFilter};

/// What the tasks of an index have in common, in the words of that index.
///
/// Each index has statements of its own: a plan is made once, for any parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Condition {
    /// `{key}` stands for the parameter with the key.
    sql: &'static str,
    pub(super) key: Option<Key>,
    /// Whether the index has its tasks in the order of arrival. If not, all of them are read and sorted.
    pub(super) is_in_order: bool,
}

/// The part of a filter that an index is searched by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Task,
    Test,
    Agent,
    Type,
}

impl Key {
    /// The value of the key.
    pub(super) fn of(self, filter: &TaskFilter) -> &(dyn ToSql + Sync) {
        match self {
            Self::Task => &filter.task_id,
            Self::Test => &filter.test_id,
            Self::Agent => &filter.agent_id,
            Self::Type => &filter.task_type,
        }
    }
}

impl Condition {
    const fn by(sql: &'static str, key: Key) -> Self {
        Self { sql, key: Some(key), is_in_order: true }
    }

    /// Writes the condition with the parameter that `parameter` names for the key.
    pub(super) fn in_terms_of(self, parameter: impl FnOnce(Key) -> &'static str) -> String {
        match self.key {
            Some(key) => self.sql.replace("{key}", parameter(key)),
            None => self.sql.to_owned(),
        }
    }
}

const BY_ID: Condition = Condition::by("id = {key}", Key::Task);
/// All but what is running, whose index would be written to once more with each claim.
const NOT_RUNNING_BY_TEST: Condition =
    Condition::by("test_id = {key} and (claimed_at is null or finished_at is not null)", Key::Test);
const CLAIMED_BY_AGENT: Condition = Condition::by("agent_id = {key} and state = 'claimed'", Key::Agent);
const ENDED_BY_AGENT: Condition = Condition::by("agent_id = {key} and finished_at is not null", Key::Agent);
const UNSUCCESSFUL_BY_TYPE: Condition = Condition::by(
    "left(type, 100) = left({key}::text, 100) and finished_at is not null and result is null",
    Key::Type,
);

/// What is running, which is sorted: there is no more of it than the fleet executes.
pub(super) const RUNNING: Condition = Condition { sql: "state = 'claimed'", key: None, is_in_order: false };

/// The condition of a part. But for what is running it does not name the state, so that no plan for a claim or a sweep
/// takes these indexes.
fn of_part(part: Part) -> Condition {
    let sql = match part {
        Part::Claimed => return RUNNING,
        Part::Pending => "claimed_at is null and available_at is null and finished_at is null",
        Part::Delayed => "available_at is not null",
        Part::Completed => "result is not null",
        Part::Unsuccessful => "error is not null",
    };
    Condition { sql, key: None, is_in_order: true }
}

/// Chooses the indexes that are read, each of which has some of the tasks, and no two the same; none where no task can
/// be in the list.
pub(super) fn conditions(filter: &TaskFilter, states: States) -> Vec<Condition> {
    if filter.task_id.is_some() {
        return vec![BY_ID];
    }
    let parts = Part::ALL.into_iter().filter(|part| !part.states().and(states).is_empty());
    let chosen = |conditions: [(bool, Condition); 2]| {
        conditions.into_iter().filter_map(|(is_read, condition)| is_read.then_some(condition)).collect()
    };
    let claimed = !Part::Claimed.states().and(states).is_empty();
    if filter.test_id.is_some() {
        let others = !states.are_among(Part::Claimed.states());
        return chosen([(claimed, RUNNING), (others, NOT_RUNNING_BY_TEST)]);
    }
    if filter.agent_id.is_some() {
        // What waits is nobody's.
        let has_ended = !states.are_among(States::UNFINISHED);
        return chosen([(claimed, CLAIMED_BY_AGENT), (has_ended, ENDED_BY_AGENT)]);
    }
    if filter.task_type.is_some() && states.are_among(States::UNSUCCESSFUL) {
        return vec![UNSUCCESSFUL_BY_TYPE];
    }
    parts.map(of_part).collect()
}

/// All conditions, each with the indexes any of which may be read for it.
#[cfg(test)]
pub(super) fn with_indexes() -> Vec<(Condition, &'static [&'static str])> {
    let of_part = |part| -> (Condition, &'static [&'static str]) {
        let indexes: &[&str] = match part {
            Part::Pending => &["task_arrived"],
            Part::Claimed => &["task_held", "task_of_holder"],
            Part::Delayed => &["task_delayed"],
            Part::Completed => &["task_completed"],
            Part::Unsuccessful => &["task_unsuccessful"],
        };
        (of_part(part), indexes)
    };
    let by_key: [(Condition, &[&str]); 5] = [
        (BY_ID, &["task_pkey"]),
        (NOT_RUNNING_BY_TEST, &["task_of_test"]),
        (CLAIMED_BY_AGENT, &["task_of_holder"]),
        (ENDED_BY_AGENT, &["task_ended_of_agent"]),
        (UNSUCCESSFUL_BY_TYPE, &["task_unsuccessful_of_type"]),
    ];
    Part::ALL.into_iter().map(of_part).chain(by_key).collect()
}

/// The conditions of which all tasks that are not running fulfil one each. All have the order of arrival.
pub(super) fn not_running() -> impl Iterator<Item = String> {
    let parts = Part::ALL.into_iter().map(of_part).filter(|condition| condition.is_in_order);
    parts.map(|condition| condition.in_terms_of(|_| ""))
}

pub(super) fn direction(order: ListOrder) -> &'static str {
    match order {
        ListOrder::NewestFirst => "desc",
        ListOrder::OldestFirst => "asc",
    }
}
