//! The ways to the tasks of a list: which indexes are read, and by which statements.

use crate::listing::{ListOrder, Part, Span, States, TaskFilter, TaskPlace};
use crate::sqlite::test_index;

/// A way to tasks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Path {
    /// What is read, and the column that says a task's place there.
    from: &'static str,
    place: &'static str,
    /// What tells its tasks from others.
    tasks: &'static str,
    /// Whether it has them in the order of their arrival.
    pub(super) is_in_order: bool,
}

impl Path {
    const fn new(from: &'static str, tasks: &'static str) -> Self {
        Self { from, place: "seq", tasks, is_in_order: true }
    }
}

const BY_ID: Path = Path::new("task", "id = :task_id");
const OF_TEST: Path = Path {
    place: "place",
    ..Path::new(
        "(select seq as place from task_of_test where test_id = :test_id) cross join task on seq = place",
        "true",
    )
};
/// The tasks that are not in the index of tests yet.
const OF_TEST_AT_END: Path = Path::new("task not indexed", "test_id = :test_id");
const OF_AGENT: Path = Path::new("task indexed by task_of_agent", "agent_id = :agent_id");
const RUNNING_OF_AGENT: Path =
    Path::new("task indexed by task_held", "state = 'claimed' and agent_id = :agent_id");
const PENDING: Path = Path::new("task indexed by task_arrived", "state = 'pending'");
/// What is running is sorted: there is no more of it than the fleet executes.
const RUNNING: Path =
    Path { is_in_order: false, ..Path::new("task indexed by task_held", "state = 'claimed'") };
const DELAYED: Path = Path::new("task indexed by task_delayed", "available_at is not null");
const UNSUCCESSFUL: Path = Path::new("task indexed by task_unsuccessful", "error is not null");
const UNSUCCESSFUL_OF_TYPE: Path =
    Path::new("task indexed by task_unsuccessful_of_type", "type = :type and error is not null");
/// All tasks lie in the order of their arrival.
pub(super) const ALL: Path = Path::new("task not indexed", "true");

/// The way to a part; completed tasks have no index of their own.
fn path_of(part: Part) -> Option<Path> {
    match part {
        Part::Pending => Some(PENDING),
        Part::Claimed => Some(RUNNING),
        Part::Delayed => Some(DELAYED),
        Part::Completed => None,
        Part::Unsuccessful => Some(UNSUCCESSFUL),
    }
}

/// Chooses the paths that are read, each with its span. Each has some of the tasks, and no two have the same.
pub(super) fn paths(filter: &TaskFilter, states: States, span: Span, last: TaskPlace) -> Vec<(Path, Span)> {
    if filter.task_id.is_some() {
        return vec![(BY_ID, span)];
    }
    if filter.test_id.is_some() {
        let indexed = test_index::end(last);
        return vec![
            (OF_TEST, Span { last: span.last.min(indexed), ..span }),
            (OF_TEST_AT_END, Span { first: span.first.max(indexed.saturating_add(1)), ..span }),
        ];
    }
    if filter.agent_id.is_some() {
        let is_running = states.are_among(Part::Claimed.states());
        return vec![(if is_running { RUNNING_OF_AGENT } else { OF_AGENT }, span)];
    }
    if states.are_among(States::UNSUCCESSFUL) && filter.task_type.is_some() {
        return vec![(UNSUCCESSFUL_OF_TYPE, span)];
    }
    let parts = Part::ALL.into_iter().filter(|part| !part.states().and(states).is_empty());
    let paths: Option<Vec<_>> = parts.map(|part| Some((path_of(part)?, span))).collect();
    paths.unwrap_or_else(|| vec![(ALL, span)])
}

/// Writes the statement that sorts the places of a path, and does not look at the tasks.
pub(super) fn sorted_places(path: &Path, order: ListOrder) -> String {
    let Path { from, tasks, .. } = path;
    let direction = direction(order);
    format!(
        "select seq from {from} where {tasks} and seq between ?1 and ?2 order by seq {direction} limit ?3"
    )
}

fn direction(order: ListOrder) -> &'static str {
    match order {
        ListOrder::NewestFirst => "desc",
        ListOrder::OldestFirst => "asc",
    }
}

/// Writes the statement that reads the tasks of a path in the order of their arrival.
pub(super) fn statement(path: &Path, order: ListOrder) -> String {
    let Path { from, place, tasks, .. } = path;
    let direction = direction(order);
    format!(
        "select {place},
                (:task_id is null or id = :task_id) and (:test_id is null or test_id = :test_id)
                and (:type is null or type = :type) and (:version is null or version = :version)
                and (:agent_id is null or agent_id = :agent_id)
                and (:agent_filter is null or substr(agent_filter, 1, length(:agent_filter)) = :agent_filter)
                and (:from is null or created_at >= :from) and (:to is null or created_at < :to)
                and instr(:states, ',' || state || ',') > 0 as is_listed,
                iif(:searches, error, null) as error
         from {from}
         where {tasks} and {place} between :first and :last
         order by {place} {direction}"
    )
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::listing::every_filter;
    use crate::sqlite::schema;

    fn plan(connection: &Connection, sql: &str) -> String {
        let mut steps = connection.prepare(&format!("explain query plan {sql}")).unwrap();
        let mut rows = steps.raw_query();
        let mut plan = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            plan.push(row.get::<_, String>("detail").unwrap());
        }
        plan.join("; ")
    }

    /// Whatever is asked for, nothing is read but a span of an index or of places, and what runs.
    #[test]
    fn no_list_reads_all_tasks() {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::create(&mut connection).unwrap();
        let mut checked = std::collections::HashSet::new();
        let span = Span { first: 1, last: 1_000 };
        for filter in every_filter() {
            let states = filter.possible_states();
            if states.is_empty() {
                continue;
            }
            for (path, _) in paths(&filter, states, span, 1_000) {
                for order in [ListOrder::NewestFirst, ListOrder::OldestFirst] {
                    let sql =
                        if path.is_in_order { statement(&path, order) } else { sorted_places(&path, order) };
                    if !checked.insert(sql.clone()) {
                        continue;
                    }
                    let plan = plan(&connection, &sql);
                    let is_running = plan.contains("COVERING INDEX task_held");
                    assert!(
                        is_running || plan.starts_with("SEARCH") && !plan.contains("SCAN"),
                        "{filter:?}: {plan}"
                    );
                }
            }
        }
    }

    /// Every index is read in its order, and nothing is sorted but places of tasks that are running.
    #[test]
    fn lists_are_read_by_their_indexes() {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::create(&mut connection).unwrap();
        let by_rowid = "SEARCH task USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)";
        let of_agent = "(agent_id=? AND rowid>? AND rowid<?)";
        for (path, expected) in [
            (
                OF_TEST,
                "SEARCH task_of_test USING PRIMARY KEY (test_id=? AND seq>? AND seq<?); \
                       SEARCH task USING INTEGER PRIMARY KEY (rowid=?)"
                    .to_owned(),
            ),
            (OF_TEST_AT_END, by_rowid.to_owned()),
            (OF_AGENT, "SEARCH task USING INDEX task_of_agent (agent_id=? AND seq>? AND seq<?)".to_owned()),
            (RUNNING_OF_AGENT, format!("SEARCH task USING INDEX task_held {of_agent}")),
            (PENDING, "SEARCH task USING INDEX task_arrived (seq>? AND seq<?)".to_owned()),
            (DELAYED, "SEARCH task USING INDEX task_delayed (seq>? AND seq<?)".to_owned()),
            (UNSUCCESSFUL, "SEARCH task USING INDEX task_unsuccessful (seq>? AND seq<?)".to_owned()),
            (
                UNSUCCESSFUL_OF_TYPE,
                "SEARCH task USING INDEX task_unsuccessful_of_type (type=? AND seq>? AND seq<?)".to_owned(),
            ),
            (ALL, by_rowid.to_owned()),
        ] {
            for order in [ListOrder::NewestFirst, ListOrder::OldestFirst] {
                assert_eq!(plan(&connection, &statement(&path, order)), expected);
            }
        }
        for order in [ListOrder::NewestFirst, ListOrder::OldestFirst] {
            let one = plan(&connection, &statement(&BY_ID, order));
            assert!(one.starts_with("SEARCH task USING INDEX sqlite_autoindex_task_1 (id=?"), "{one}");
            let places = plan(&connection, &sorted_places(&RUNNING, order));
            assert_eq!(places, "SCAN task USING COVERING INDEX task_held; USE TEMP B-TREE FOR ORDER BY");
        }
    }
}
