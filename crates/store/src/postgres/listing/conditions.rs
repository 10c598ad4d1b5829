//! Which indexes are read for a list, and in which words they are asked for.

use tokio_postgres::types::ToSql;

use crate::listing::{ListOrder, Part, States, TaskFilter};

/// What the tasks of an index have in common, in the words of that index, which has them in the order of arrival.
///
/// Each index has statements of its own: a plan is made once, for any parameters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Condition {
    /// `{key}` stands for the parameter with the key.
    sql: &'static str,
    pub(super) key: Option<Key>,
}

/// The part of a filter that an index is searched by.
#[derive(Debug, Clone, Copy)]
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
        Self { sql, key: Some(key) }
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
const ENDED_BY_TEST: Condition = Condition::by("test_id = {key} and finished_at is not null", Key::Test);
const CLAIMED_BY_AGENT: Condition = Condition::by("agent_id = {key} and state = 'claimed'", Key::Agent);
const ENDED_BY_AGENT: Condition = Condition::by("agent_id = {key} and finished_at is not null", Key::Agent);
const UNSUCCESSFUL_BY_TYPE: Condition = Condition::by(
    "left(type, 100) = left({key}::text, 100) and finished_at is not null and result is null",
    Key::Type,
);

/// The condition of a part. It does not name the state, so that no plan for a claim or a sweep takes these indexes.
fn of_part(part: Part) -> Condition {
    let sql = match part {
        Part::Pending => "claimed_at is null and available_at is null and finished_at is null",
        Part::Claimed => "claimed_at is not null and finished_at is null",
        Part::Delayed => "available_at is not null",
        Part::Completed => "result is not null",
        Part::Unsuccessful => "error is not null",
    };
    Condition { sql, key: None }
}

/// Chooses the indexes that are read, each of which has some of the tasks, and no two the same; none where no task can
/// be in the list.
pub(super) fn conditions(filter: &TaskFilter, states: States) -> Vec<Condition> {
    if filter.task_id.is_some() {
        return vec![BY_ID];
    }
    let parts = Part::ALL.into_iter().filter(|part| !part.states().and(states).is_empty());
    if filter.test_id.is_some() {
        // What a process instance has that has not ended is looked for among all such tasks: an index of those
        // would be written to twice more in the life of each task.
        let unfinished = parts.filter(|part| part.states().are_among(States::UNFINISHED)).map(of_part);
        let has_ended = !states.are_among(States::UNFINISHED);
        return unfinished.chain(has_ended.then_some(ENDED_BY_TEST)).collect();
    }
    if filter.agent_id.is_some() {
        // What waits is nobody's.
        let claimed = !Part::Claimed.states().and(states).is_empty();
        let has_ended = !states.are_among(States::UNFINISHED);
        return [(claimed, CLAIMED_BY_AGENT), (has_ended, ENDED_BY_AGENT)]
            .into_iter()
            .filter_map(|(is_read, condition)| is_read.then_some(condition))
            .collect();
    }
    if filter.task_type.is_some() && states.are_among(States::UNSUCCESSFUL) {
        return vec![UNSUCCESSFUL_BY_TYPE];
    }
    parts.map(of_part).collect()
}

/// All conditions, each with the index that it is of.
#[cfg(test)]
pub(super) fn with_indexes() -> Vec<(Condition, &'static str)> {
    let of_part = |part| {
        let index = match part {
            Part::Pending => "task_arrived",
            Part::Claimed => "task_running",
            Part::Delayed => "task_delayed",
            Part::Completed => "task_completed",
            Part::Unsuccessful => "task_unsuccessful",
        };
        (of_part(part), index)
    };
    let by_key = [
        (BY_ID, "task_pkey"),
        (ENDED_BY_TEST, "task_ended_of_test"),
        (CLAIMED_BY_AGENT, "task_of_holder"),
        (ENDED_BY_AGENT, "task_ended_of_agent"),
        (UNSUCCESSFUL_BY_TYPE, "task_unsuccessful_of_type"),
    ];
    Part::ALL.into_iter().map(of_part).chain(by_key).collect()
}

/// The conditions that all tasks fulfil, each one of them.
pub(super) fn all() -> impl Iterator<Item = String> {
    Part::ALL.into_iter().map(|part| of_part(part).in_terms_of(|_| ""))
}

pub(super) fn direction(order: ListOrder) -> &'static str {
    match order {
        ListOrder::NewestFirst => "desc",
        ListOrder::OldestFirst => "asc",
    }
}
