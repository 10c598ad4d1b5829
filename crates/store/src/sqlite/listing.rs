//! Lists tasks.

mod paths;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, named_params, params};

use super::columns::{RowReader, agent_name, missing, unreadable};
use crate::encoding::state_of;
use crate::error::StoreError;
use crate::listing::{
    PASSED, RESULT_LISTED, SEARCHED_BYTES, SLACK, Searched, Span, States, TYPE_READ, TaskFilter, TaskPage,
    TaskPlace, TaskQuery, TaskSummary, Walked, listed_type, merge, microsecond_from,
};
use crate::views::{ERROR_READ, shown, shown_error};
use paths::{ALL, Path, paths, sorted_places, statement};

pub(super) fn list(connection: &mut Connection, query: &TaskQuery) -> Result<TaskPage, StoreError> {
    // All is read from one snapshot.
    let transaction = connection.transaction()?;
    let states = query.filter.possible_states();
    let (Some(first), Some(last)) = ends(&transaction)? else { return Ok(TaskPage::default()) };
    let span = span(&transaction, query, Span { first, last })?;
    if span.is_empty() || states.is_empty() {
        return Ok(TaskPage::default());
    }
    let paths = paths(&query.filter, states, span, last);
    let most = PASSED / u32::try_from(paths.len()).unwrap_or(1);
    let walk = |(path, span): &(Path, Span)| Walk::new(query, states, most).along(&transaction, path, *span);
    let walked = paths.iter().map(walk).collect::<Result<Vec<_>, _>>()?;
    let passed = walked.iter().map(|walked| walked.passed).sum();
    let (places, next) = merge(query.order, walked, query.limit);
    let tasks = summaries(&transaction, &places)?;
    Ok(TaskPage { tasks, next, passed })
}

/// Reads tasks until there is one more than the page may have, or enough were passed over.
struct Walk<'q> {
    query: &'q TaskQuery,
    states: String,
    agent_filter: Option<String>,
    searched: Option<Searched>,
    most: u32,
    found: Vec<(TaskPlace, TaskPlace)>,
    passed: u32,
    bytes: usize,
}

impl<'q> Walk<'q> {
    fn new(query: &'q TaskQuery, states: States, most: u32) -> Self {
        Self {
            query,
            states: format!(",{},", states.names().join(",")),
            agent_filter: query.filter.agent_filter_begins(),
            searched: query.filter.error_text.as_deref().map(Searched::new),
            most,
            found: Vec::new(),
            passed: 0,
            bytes: 0,
        }
    }

    fn along(
        mut self,
        connection: &Connection,
        path: &Path,
        span: Span,
    ) -> rusqlite::Result<Walked<TaskPlace>> {
        let stopped_at = if path.is_in_order {
            self.read(connection, path, span)?
        } else {
            self.read_sorted(connection, path, span)?
        };
        Ok(Walked { found: self.found, stopped_at, passed: self.passed })
    }

    /// Reads the tasks of a span, and returns the last place that was read, if others follow.
    fn read(
        &mut self,
        connection: &Connection,
        path: &Path,
        span: Span,
    ) -> rusqlite::Result<Option<TaskPlace>> {
        let filter = &self.query.filter;
        let mut statement = connection.prepare_cached(&statement(path, self.query.order))?;
        let mut rows = statement.query(named_params! {
            ":task_id": filter.task_id.map(uuid::Uuid::into_bytes),
            ":test_id": filter.test_id.map(uuid::Uuid::into_bytes),
            ":type": filter.task_type,
            ":version": filter.task_version,
            ":agent_id": filter.agent_id.map(uuid::Uuid::into_bytes),
            ":agent_filter": self.agent_filter,
            ":from": filter.from.map(microsecond_from),
            ":to": filter.to.map(microsecond_from),
            ":states": self.states,
            ":searches": self.searched.is_some(),
            ":first": span.first,
            ":last": span.last,
        })?;
        while let Some(row) = rows.next()? {
            let place = self.pass(row)?;
            if self.is_full() {
                return Ok(rows.next()?.is_some().then_some(place));
            }
        }
        Ok(None)
    }

    /// Does the same for a path that is not in the order of arrival.
    fn read_sorted(
        &mut self,
        connection: &Connection,
        path: &Path,
        span: Span,
    ) -> rusqlite::Result<Option<TaskPlace>> {
        let mut places = connection.prepare_cached(&sorted_places(path, self.query.order))?;
        let mut places = places.query(params![span.first, span.last, self.most.saturating_add(1)])?;
        while let Some(row) = places.next()? {
            let place = row.get(0)?;
            self.read(connection, &ALL, Span { first: place, last: place })?;
            if self.is_full() {
                return Ok(places.next()?.is_some().then_some(place));
            }
        }
        Ok(None)
    }

    fn pass(&mut self, row: &Row<'_>) -> rusqlite::Result<TaskPlace> {
        let place = row.get(0)?;
        let error = row.get_ref(2)?.as_str_or_null()?;
        self.bytes += error.map_or(0, str::len);
        let says = |searched: &Searched| error.is_some_and(|error| searched.is_in(error));
        // Where a column is null that the filter names, so is the answer.
        let is_listed = row.get::<_, Option<bool>>(1)?.unwrap_or(false);
        if is_listed && self.searched.as_ref().is_none_or(says) {
            self.found.push((place, place));
        }
        self.passed += 1;
        Ok(place)
    }

    fn is_full(&self) -> bool {
        self.found.len() > self.query.limit as usize
            || self.passed >= self.most
            || self.bytes >= SEARCHED_BYTES
    }
}

/// What is listed of the task at a place, in the order that [`read_summary`] reads it in.
const SUMMARY: &str = concat!(
    "select id, test_id, substr(type, 1, ?2), version, substr(agent_filter, 1, ?2), priority, created_at, state,
       attempts, agent_id, ",
    agent_name!("task"),
    ", claimed_at, finished_at, iif(octet_length(result) <= ?3, result, null), octet_length(result),
       substr(error, 1, ?4), octet_length(error)
     from task where seq = ?1"
);

/// Reads what is listed of the tasks at some places.
fn summaries(connection: &Connection, places: &[TaskPlace]) -> rusqlite::Result<Vec<TaskSummary>> {
    let mut statement = connection.prepare_cached(SUMMARY)?;
    let read = |place: &TaskPlace| {
        statement.query_row(params![place, TYPE_READ, RESULT_LISTED, ERROR_READ], read_summary)
    };
    places.iter().map(read).collect()
}

fn read_summary(row: &Row<'_>) -> rusqlite::Result<TaskSummary> {
    let mut columns = RowReader::new(row);
    let (task_id, test_id) = (columns.id()?, columns.id()?);
    let task_type = listed_type(columns.next_ref()?.as_str()?);
    let (task_version, agent_filter, priority) = (columns.next()?, columns.next()?, columns.next()?);
    let created = columns.optional_time()?.ok_or_else(|| missing("created_at"))?;
    let state = columns.next_ref()?.as_str()?;
    let state = state_of(state).ok_or_else(|| unreadable(format!("{state:?} is no state of a task")))?;
    let attempts = columns.next()?;
    let agent_id = columns.optional_id()?;
    let agent_name = columns.next_ref()?.as_str_or_null()?.map(shown);
    let (claimed, finished) = (columns.optional_time()?, columns.optional_time()?);
    let (result, result_bytes) = (columns.text()?, columns.next()?);
    let error = columns.next_ref()?.as_str_or_null()?;
    let (error, error_bytes) = shown_error(error, columns.next()?);
    Ok(TaskSummary {
        task_id,
        test_id,
        task_type,
        task_version,
        agent_filter,
        priority,
        created,
        state,
        attempts,
        agent: agent_id.map(|id| (id, agent_name.unwrap_or_default())),
        claimed,
        finished,
        result,
        result_bytes,
        error,
        error_bytes,
    })
}

/// The span of places that a page reads, of `all` that are taken.
fn span(connection: &Connection, query: &TaskQuery, all: Span) -> rusqlite::Result<Span> {
    let mut span = Span::of(query);
    let TaskFilter { from, to, .. } = query.filter;
    let of = |time: Timestamp, slack: i64| microsecond_from(time).saturating_add(slack * 1_000_000);
    if let Some(from) = from {
        span.first = span.first.max(first_posted_from(connection, all, of(from, -SLACK))?);
    }
    if let Some(to) = to {
        span.last = span.last.min(first_posted_from(connection, all, of(to, SLACK))?);
    }
    Ok(span)
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
