//! Lists tasks.

mod paths;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, named_params, params};

use super::columns::{agent_name, id, optional_time, text, time, unreadable};
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
    let tasks = places.into_iter().map(|place| summary(&transaction, place)).collect::<Result<_, _>>()?;
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

/// Reads what is listed of the task at a place.
fn summary(connection: &Connection, place: TaskPlace) -> rusqlite::Result<TaskSummary> {
    connection
        .prepare_cached(concat!(
            "select id, test_id, substr(type, 1, :type_read) as type, version,
                    substr(agent_filter, 1, :type_read) as agent_filter, priority, created_at, state, attempts,
                    agent_id, ",
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
        agent_filter: row.get("agent_filter")?,
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
