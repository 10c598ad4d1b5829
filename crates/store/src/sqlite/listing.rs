//! Lists tasks.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::columns::{agent_name, id, optional_time, text, time, unreadable};
use crate::encoding::state_of;
use crate::error::StoreError;
use crate::listing::{
    ListOrder, PASSED, Part, RESULT_LISTED, SEARCHED_BYTES, SLACK, Searched, Span, States, TYPE_READ,
    TaskFilter, TaskPage, TaskPlace, TaskQuery, TaskSummary, Walked, listed_type, merge, microsecond_from,
};
use crate::views::{ERROR_READ, shown, shown_error};

/// An index that is read in the order of arrival, and what tells its tasks from others.
struct Path {
    index: &'static str,
    tasks: &'static str,
}

const BY_ID: Path = Path { index: "", tasks: "id = :task_id" };
const BY_TEST: Path = Path { index: "indexed by task_of_test", tasks: "test_id = :test_id" };
const BY_AGENT: Path = Path { index: "indexed by task_of_agent", tasks: "agent_id = :agent_id" };
const UNSUCCESSFUL_BY_TYPE: Path =
    Path { index: "indexed by task_unsuccessful_of_type", tasks: "type = :type and error is not null" };
/// All tasks lie in the order of their arrival.
const ALL: Path = Path { index: "not indexed", tasks: "true" };

/// The index of a part; completed tasks have none of their own.
fn path_of(part: Part) -> Option<Path> {
    let (index, tasks) = match part {
        Part::Pending => ("indexed by task_arrived", "state = 'pending'"),
        Part::Claimed => ("indexed by task_running", "state = 'claimed'"),
        Part::Delayed => ("indexed by task_delayed", "available_at is not null"),
        Part::Completed => return None,
        Part::Unsuccessful => ("indexed by task_unsuccessful", "error is not null"),
    };
    Some(Path { index, tasks })
}

/// Chooses the indexes that are read, each of which has some of the tasks, and no two the same.
fn paths(filter: &TaskFilter, states: States) -> Vec<Path> {
    if filter.task_id.is_some() {
        return vec![BY_ID];
    }
    if filter.test_id.is_some() {
        return vec![BY_TEST];
    }
    if filter.agent_id.is_some() {
        return vec![BY_AGENT];
    }
    if states.are_among(States::UNSUCCESSFUL) && filter.task_type.is_some() {
        return vec![UNSUCCESSFUL_BY_TYPE];
    }
    let parts = Part::ALL.into_iter().filter(|part| !part.states().and(states).is_empty());
    parts.map(path_of).collect::<Option<_>>().unwrap_or_else(|| vec![ALL])
}

pub(super) fn list(connection: &mut Connection, query: &TaskQuery) -> Result<TaskPage, StoreError> {
    // All is read from one snapshot.
    let transaction = connection.transaction()?;
    let states = query.filter.possible_states();
    let Some(span) = span(&transaction, query)?.filter(|_| !states.is_empty()) else {
        return Ok(TaskPage::default());
    };
    let paths = paths(&query.filter, states);
    let most = PASSED / u32::try_from(paths.len()).unwrap_or(1);
    let walk = |path: &Path| walk(&transaction, path, query, states, span, most);
    let walked = paths.iter().map(walk).collect::<Result<Vec<_>, _>>()?;
    let (places, next) = merge(query.order, walked, query.limit);
    let tasks = places.into_iter().map(|place| summary(&transaction, place)).collect::<Result<_, _>>()?;
    Ok(TaskPage { tasks, next })
}

/// Reads an index until there is one task more than the page may have, or enough were passed over.
fn walk(
    connection: &Connection,
    path: &Path,
    query: &TaskQuery,
    states: States,
    span: Span,
    most: u32,
) -> rusqlite::Result<Walked<TaskPlace>> {
    let filter = &query.filter;
    let searched = filter.error_text.as_deref().map(Searched::new);
    let mut statement = connection.prepare_cached(&statement(path, query.order))?;
    let states = format!(",{},", states.names().join(","));
    let mut rows = statement.query(named_params! {
        ":task_id": filter.task_id.map(uuid::Uuid::into_bytes),
        ":test_id": filter.test_id.map(uuid::Uuid::into_bytes),
        ":type": filter.task_type,
        ":version": filter.task_version,
        ":agent_id": filter.agent_id.map(uuid::Uuid::into_bytes),
        ":from": filter.from.map(microsecond_from),
        ":to": filter.to.map(microsecond_from),
        ":states": states,
        ":searches": searched.is_some(),
        ":first": span.first,
        ":last": span.last,
    })?;
    let (mut found, mut passed, mut bytes) = (Vec::new(), 0, 0);
    while let Some(row) = rows.next()? {
        let place = row.get(0)?;
        let error = row.get_ref(2)?.as_str_or_null()?;
        bytes += error.map_or(0, str::len);
        let says = |searched: &Searched| error.is_some_and(|error| searched.is_in(error));
        // Where a column is null that the filter names, so is the answer.
        let is_listed = row.get::<_, Option<bool>>(1)?.unwrap_or(false);
        if is_listed && searched.as_ref().is_none_or(says) {
            found.push((place, place));
        }
        passed += 1;
        if found.len() > query.limit as usize || passed >= most || bytes >= SEARCHED_BYTES {
            let stopped_at = rows.next()?.is_some().then_some(place);
            return Ok(Walked { found, stopped_at });
        }
    }
    Ok(Walked { found, stopped_at: None })
}

/// Writes the statement that reads an index.
fn statement(path: &Path, order: ListOrder) -> String {
    let direction = match order {
        ListOrder::NewestFirst => "desc",
        ListOrder::OldestFirst => "asc",
    };
    let Path { index, tasks } = path;
    format!(
        "select seq,
                (:task_id is null or id = :task_id) and (:test_id is null or test_id = :test_id)
                and (:type is null or type = :type) and (:version is null or version = :version)
                and (:agent_id is null or agent_id = :agent_id)
                and (:from is null or created_at >= :from) and (:to is null or created_at < :to)
                and instr(:states, ',' || state || ',') > 0 as is_listed,
                iif(:searches, error, null) as error
         from task {index}
         where {tasks} and seq between :first and :last
         order by seq {direction}"
    )
}

/// Reads what is listed of the task at a place.
fn summary(connection: &Connection, place: TaskPlace) -> rusqlite::Result<TaskSummary> {
    connection
        .prepare_cached(concat!(
            "select id, test_id, substr(type, 1, :type_read) as type, version, priority, created_at, state,
                    attempts, agent_id, ",
            agent_name!("task"),
            ", claimed_at, finished_at,
                    iif(octet_length(result) <= :result_listed, result, null) as result,
                    octet_length(result) as result_bytes,
                    substr(error, 1, :error_read) as error, octet_length(error) as error_bytes
             from task where seq = :seq"
        ))?
        .query_row(
            named_params! {
                ":seq": place,
                ":type_read": TYPE_READ,
                ":result_listed": RESULT_LISTED,
                ":error_read": ERROR_READ,
            },
            read_summary,
        )
}

fn read_summary(row: &Row<'_>) -> rusqlite::Result<TaskSummary> {
    let error = row.get_ref("error")?.as_str_or_null()?;
    let (error, error_bytes) = shown_error(error, row.get("error_bytes")?);
    let agent_id: Option<[u8; 16]> = row.get("agent_id")?;
    let agent_name = row.get_ref("agent_name")?.as_str_or_null()?.map(shown);
    let state = row.get_ref("state")?.as_str()?;
    Ok(TaskSummary {
        task_id: id(row, "id")?,
        test_id: id(row, "test_id")?,
        task_type: listed_type(row.get_ref("type")?.as_str()?),
        task_version: row.get("version")?,
        priority: row.get("priority")?,
        created: time(row, "created_at")?,
        state: state_of(state).ok_or_else(|| unreadable(format!("{state:?} is no state of a task")))?,
        attempts: row.get("attempts")?,
        agent: agent_id.map(|id| (uuid::Uuid::from_bytes(id), agent_name.unwrap_or_default())),
        claimed: optional_time(row, "claimed_at")?,
        finished: optional_time(row, "finished_at")?,
        result: text(row, "result")?,
        result_bytes: row.get("result_bytes")?,
        error,
        error_bytes,
    })
}

/// The span of places that a page reads; `None` if it is empty.
fn span(connection: &Connection, query: &TaskQuery) -> rusqlite::Result<Option<Span>> {
    let mut span = Span::of(query);
    let (Some(least), Some(greatest)) = ends(connection)? else { return Ok(None) };
    let TaskFilter { from, to, .. } = query.filter;
    let all = Span { first: least, last: greatest };
    let of = |time: Timestamp, slack: i64| microsecond_from(time).saturating_add(slack * 1_000_000);
    if let Some(from) = from {
        span.first = span.first.max(first_posted_from(connection, all, of(from, -SLACK))?);
    }
    if let Some(to) = to {
        span.last = span.last.min(first_posted_from(connection, all, of(to, SLACK))?);
    }
    Ok(Some(span).filter(|span| !span.is_empty()))
}

/// The first and the last place that is taken.
fn ends(connection: &Connection) -> rusqlite::Result<(Option<TaskPlace>, Option<TaskPlace>)> {
    // Each by itself is one step; both in one statement would read all tasks.
    let end = |sql| connection.prepare_cached(sql)?.query_row([], |row| row.get(0));
    Ok((end("select min(seq) from task")?, end("select max(seq) from task")?))
}

/// Finds a place before which all tasks were posted before `micros`, as if times rose with places. It is at most
/// one behind the last.
fn first_posted_from(connection: &Connection, all: Span, micros: i64) -> rusqlite::Result<TaskPlace> {
    let mut statement =
        connection.prepare_cached("select seq, created_at from task where seq >= ?1 order by seq limit 1")?;
    let (mut low, mut high) = (all.first, all.last.saturating_add(1));
    while low < high {
        let middle = low + (high - low) / 2;
        let found = statement.query_row([middle], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)));
        match found.optional()? {
            Some((place, created)) if created < micros => low = place.saturating_add(1),
            Some(_) | None => high = middle,
        }
    }
    Ok(low)
}

/// The last place that is taken; `None` if there are no tasks.
pub(super) fn last_place(connection: &Connection) -> rusqlite::Result<Option<TaskPlace>> {
    Ok(ends(connection)?.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::schema;

    /// Every index is read in its order, and nothing is sorted.
    #[test]
    fn lists_are_read_by_their_indexes() {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::create(&mut connection).unwrap();
        let parts = Part::ALL.into_iter().filter_map(path_of);
        for path in parts.chain([BY_ID, BY_TEST, BY_AGENT, UNSUCCESSFUL_BY_TYPE, ALL]) {
            for order in [ListOrder::NewestFirst, ListOrder::OldestFirst] {
                let sql = format!("explain query plan {}", statement(&path, order));
                let mut steps = connection.prepare(&sql).unwrap();
                let mut rows = steps.raw_query();
                let mut plan = Vec::new();
                while let Some(row) = rows.next().unwrap() {
                    plan.push(row.get::<_, String>("detail").unwrap());
                }
                let plan = plan.join("; ");
                let index = path.index.strip_prefix("indexed by ").unwrap_or("");
                assert!(plan.starts_with("SEARCH task USING") && plan.contains(index), "{plan}");
                assert!(path.index != ALL.index || plan.contains("INTEGER PRIMARY KEY"), "{plan}");
                assert!(!plan.contains("TEMP B-TREE") || path.tasks == BY_ID.tasks, "{plan}");
            }
        }
    }
}
