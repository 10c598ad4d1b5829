//! Rows as tasks, and back.

pub(super) mod attempts;
mod ids;
mod saving;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::types::{FromSql, Type};
use rusqlite::{Connection, Error, OptionalExtension, Row, params};
use slamon_protocol::{AgentFilter, JsonText, PostTask, Terms, excerpt};
use uuid::Uuid;

use slamon_domain::batch::LockedTask;

use crate::{Attempt, End, QueueCursor, SMALL_TASK, State, StoreError, Task, TaskRead};

/// What an agent is called, or was when it was forgotten; null where there is none.
macro_rules! named_agent {
    ($table:literal) => {
        concat!(
            "iif(agent_id is null, null, coalesce((select name from agent where agent.id = ",
            $table,
            ".agent_id), (select name from past_agent where past_agent.id = ",
            $table,
            ".agent_id), ''))"
        )
    };
}

/// The same as a column.
macro_rules! agent_name {
    ($table:literal) => {
        concat!($crate::sqlite::rows::named_agent!($table), " as agent_name")
    };
}

pub(super) use self::ids::{is_of_attempt, unused_id};
pub(super) use self::saving::{save_claim, save_state};
pub(super) use {agent_name, named_agent};

/// The columns that [`read_task`] reads, in the order that it reads them in.
macro_rules! task_columns {
    () => {
        task_columns!("data", agent_name!("task"))
    };
    ($data:expr, $agent_name:expr) => {
        concat!(
            "seq, id, test_id, type, version, ",
            $data,
            ", created_at, ttl, timeout, max_attempts, retry_errors, retry_delay, priority, delay, agent_filter,
             state, attempts, available_at, alias, agent_id, ",
            $agent_name,
            ", claimed_at, deadline_at, finished_at, result, error"
        )
    };
}

const BY_ID: &str = concat!("select ", task_columns!(), " from task where id = ?1");
/// How large a task is, without reading it.
macro_rules! size {
    () => {
        "(octet_length(type) + octet_length(agent_filter) + coalesce(octet_length(data), 0)
          + coalesce(octet_length(result), 0) + coalesce(octet_length(error), 0))"
    };
}

const SMALL_BY_ID: &str =
    concat!("select ", task_columns!(), " from task where id = ?1 and ", size!(), " <= ?2");
const SIZE_BY_ID: &str = concat!("select ", size!(), ", finished_at is not null from task where id = ?1");
const BY_SEQ: &str = concat!("select ", task_columns!(), " from task where seq = ?1");
const BY_ID_WITHOUT_DATA: &str =
    concat!("select ", task_columns!("null", agent_name!("task")), " from task where id = ?1");
/// For a result, which looks at no data; and only errors that time writes name the agent.
const BY_ID_FOR_RESULT: &str = concat!(
    "select ",
    task_columns!("null", concat!("iif(due_at is null, null, ", named_agent!("task"), ")")),
    " from task where id = ?1"
);
const BY_ALIAS: &str = concat!("select ", task_columns!(), " from task where alias = ?1");

pub(super) fn task(connection: &Connection, id: Uuid) -> rusqlite::Result<Option<LockedTask>> {
    connection.prepare_cached(BY_ID)?.query_row([id.as_bytes()], read_task).optional()
}

/// Those of `ids` that are there, each as it was at some moment.
pub(super) fn tasks(connection: &Connection, ids: &[Uuid]) -> Result<HashMap<Uuid, Arc<Task>>, StoreError> {
    let read = |id: &Uuid| Ok(task(connection, *id)?.map(|found| (*id, Arc::new(found.task))));
    ids.iter().filter_map(|id| read(id).transpose()).collect()
}

/// Those of `ids` that are there, all as they were at one moment; of large ones, only how large they are.
pub(super) fn small_tasks(
    connection: &Connection,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, TaskRead>, StoreError> {
    // One statement is a transaction by itself.
    let _transaction = (ids.len() > 1).then(|| connection.unchecked_transaction()).transpose()?;
    let mut small = connection.prepare_cached(SMALL_BY_ID)?;
    let read = |id: &Uuid| {
        let key = id.as_bytes();
        let task = match small.query_row(params![key, SMALL_TASK], read_task).optional()? {
            Some(found) => Some(TaskRead::Small(Arc::new(found.task))),
            None => connection.prepare_cached(SIZE_BY_ID)?.query_row([key], read_size).optional()?,
        };
        Ok(task.map(|task| (*id, task)))
    };
    ids.iter().map(read).filter_map(Result::transpose).collect()
}

fn read_size(row: &Row<'_>) -> rusqlite::Result<TaskRead> {
    Ok(TaskRead::Large { bytes: row.get(0)?, has_ended: row.get(1)? })
}

/// A task without its data.
pub(super) fn task_without_data(connection: &Connection, id: Uuid) -> rusqlite::Result<Option<LockedTask>> {
    connection.prepare_cached(BY_ID_WITHOUT_DATA)?.query_row([id.as_bytes()], read_task).optional()
}

pub(super) fn task_at(connection: &Connection, seq: i64) -> rusqlite::Result<Option<LockedTask>> {
    connection.prepare_cached(BY_SEQ)?.query_row([seq], read_task).optional()
}

/// For a result: the task that was handed out under `alias`, and the attempt of that alias if it has ended without finishing
/// it. The task comes without its data, and the agent that runs one without a due time is not named.
pub(super) fn task_and_past(
    connection: &Connection,
    alias: Uuid,
) -> rusqlite::Result<Option<(LockedTask, Option<attempts::Past>)>> {
    let by_id = |id: Uuid| {
        connection.prepare_cached(BY_ID_FOR_RESULT)?.query_row([id.as_bytes()], read_task).optional()
    };
    let found = match by_id(alias)? {
        Some(found) => Some(found),
        None => connection.prepare_cached(BY_ALIAS)?.query_row([alias.as_bytes()], read_task).optional()?,
    };
    let live = |found: &LockedTask| {
        matches!(&found.task.state, State::Claimed(attempt) if attempt.alias == alias)
            || found.task.attempts == 0
    };
    if found.as_ref().is_some_and(live) {
        return Ok(found.map(|found| (found, None)));
    }
    match (found, attempts::past(connection, alias)?) {
        (Some(found), past) => Ok(Some((found, past))),
        (None, Some(past)) => Ok(by_id(past.0)?.map(|found| (found, Some(past)))),
        (None, None) => Ok(None),
    }
}

/// Reads a row from left to right: finding each column by its name would take longer than all the rest.
struct Columns<'r, 's> {
    row: &'r Row<'s>,
    at: usize,
}

impl Columns<'_, '_> {
    fn next<T: FromSql>(&mut self) -> rusqlite::Result<T> {
        self.at += 1;
        self.row.get(self.at - 1)
    }

    fn id(&mut self) -> rusqlite::Result<Uuid> {
        self.next().map(Uuid::from_bytes)
    }

    fn optional_id(&mut self) -> rusqlite::Result<Option<Uuid>> {
        Ok(self.next::<Option<[u8; 16]>>()?.map(Uuid::from_bytes))
    }

    fn text(&mut self) -> rusqlite::Result<Option<JsonText>> {
        Ok(self.next::<Option<String>>()?.map(JsonText::from_stored))
    }

    fn optional_time(&mut self) -> rusqlite::Result<Option<Timestamp>> {
        let time = self.next::<Option<i64>>()?.map(Timestamp::from_microsecond).transpose();
        time.map_err(|e| unreadable(format!("column {}: {e}", self.at)))
    }

    fn optional_duration(&mut self) -> rusqlite::Result<Option<Duration>> {
        Ok(self.next::<Option<u64>>()?.map(Duration::from_micros))
    }
}

fn read_task(row: &Row<'_>) -> rusqlite::Result<LockedTask> {
    let mut columns = Columns { row, at: 0 };
    let seq = columns.next()?;
    let (task_id, test_id) = (columns.id()?, columns.id()?);
    let (task_type, task_version) = (columns.next()?, columns.next()?);
    let task_data = columns.text()?;
    let created = columns.optional_time()?.ok_or_else(|| missing("created_at"))?;
    let terms = Terms {
        ttl: columns.optional_duration()?,
        timeout: columns.optional_duration()?,
        max_attempts: columns.next()?,
        retry_errors: columns.next()?,
        retry_delay: columns.optional_duration()?.unwrap_or_default(),
        priority: columns.next()?,
        delay: columns.optional_duration()?.unwrap_or_default(),
        agent_filter: {
            let key: String = columns.next()?;
            AgentFilter::from_key(&key).map_err(|e| unreadable(e.to_string()))?
        },
    };
    let posted = PostTask { task_id, test_id, task_type, task_version, task_data, terms };
    let (state, attempts) = read_state(&mut columns, task_id)?;
    let task = Task { posted, created, attempts, state };
    // Nothing that was claimed stays in the index of waiting tasks: wherever a search starts, it finds what waits.
    Ok(LockedTask { task, seq, cursor: QueueCursor::START })
}

/// The state, and how many attempts there were.
fn read_state(columns: &mut Columns<'_, '_>, task_id: Uuid) -> rusqlite::Result<(State, u32)> {
    let name: String = columns.next()?;
    let attempts = columns.next()?;
    let available = columns.optional_time()?;
    let (alias, agent_id) = (columns.optional_id()?, columns.optional_id()?);
    let agent_name: Option<String> = columns.next()?;
    let (claimed_at, deadline, finished) =
        (columns.optional_time()?, columns.optional_time()?, columns.optional_time()?);
    let (result, error) = (columns.text()?, columns.text()?);
    let attempt = match (agent_id, claimed_at) {
        (Some(agent_id), Some(at)) => Some(Attempt {
            number: attempts,
            alias: alias.unwrap_or(task_id),
            agent_id,
            agent_name: agent_name.unwrap_or_default(),
            at,
            deadline,
        }),
        _ => None,
    };
    let error = || error.ok_or_else(|| missing("error"));
    let end = match name.as_str() {
        "delayed" => {
            return Ok((
                State::Delayed { until: available.ok_or_else(|| missing("available_at"))? },
                attempts,
            ));
        }
        "pending" => return Ok((State::Pending, attempts)),
        "claimed" => return Ok((State::Claimed(attempt.ok_or_else(|| missing("agent_id"))?), attempts)),
        "completed" => End::Completed(result.ok_or_else(|| missing("result"))?),
        "failed" => End::Failed(error()?),
        "lost" => End::Lost(error()?),
        "timed_out" => End::TimedOut(error()?),
        "expired" => End::Expired(error()?),
        "cancelled" => End::Cancelled(error()?),
        other => return Err(unreadable(format!("{:?} is no state of a task", excerpt(other)))),
    };
    let at = finished.ok_or_else(|| missing("finished_at"))?;
    Ok((State::Ended { at, last: attempt, end }, attempts))
}

/// The name of a state in the database; for clients it is [`State::name`].
pub(super) fn state_name(state: &State) -> &'static str {
    match state {
        State::Ended { end: End::Lost(_), .. } => "lost",
        State::Ended { end: End::TimedOut(_), .. } => "timed_out",
        other => other.name(),
    }
}

pub(super) fn id(row: &Row<'_>, column: &str) -> rusqlite::Result<Uuid> {
    Ok(Uuid::from_bytes(row.get(column)?))
}

pub(super) fn text(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<JsonText>> {
    Ok(row.get::<_, Option<String>>(column)?.map(JsonText::from_stored))
}

pub(super) fn time(row: &Row<'_>, column: &str) -> rusqlite::Result<Timestamp> {
    Timestamp::from_microsecond(row.get(column)?).map_err(|e| unreadable(format!("{column}: {e}")))
}

pub(super) fn optional_time(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Timestamp>> {
    row.get::<_, Option<i64>>(column)?.map(|_| time(row, column)).transpose()
}

pub(super) fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

fn missing(column: &str) -> Error {
    unreadable(format!("{column} is null"))
}

pub(super) fn unreadable(what: String) -> Error {
    Error::FromSqlConversionFailure(0, Type::Text, what.into())
}
