//! Reads rows of SQLite as tasks, and saves them.

pub(super) mod attempts;
mod ids;
mod saving;

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use slamon_domain::batch::LockedTask;
use slamon_domain::{Attempt, End, QueueCursor, State, Task, WaitingKind};
use slamon_protocol::{AgentFilter, Capability, PostTask, Terms, excerpt};
use uuid::Uuid;

use super::columns::{RowReader, agent_name, missing, named_agent, unreadable};
use crate::error::StoreError;
use crate::store::{SMALL_TASK, TaskRead};

pub(super) use self::ids::{is_of_attempt, unused_id};
pub(super) use self::saving::{save_claim, save_state};

/// The columns that [`read_posted`] reads after the place, in the order that it reads them in.
macro_rules! posted_columns {
    ($data:expr) => {
        concat!(
            "seq, id, test_id, type, version, ",
            $data,
            ", created_at, ttl, timeout, max_attempts, retry_errors, retry_delay, priority, delay,
             agent_filter, posted_by"
        )
    };
}

/// The columns that [`read_task`] reads, in the order that it reads them in.
macro_rules! task_columns {
    () => {
        task_columns!("data", agent_name!("task"))
    };
    ($data:expr, $agent_name:expr) => {
        concat!(
            posted_columns!($data),
            ", state, attempts, available_at, alias, agent_id, ",
            $agent_name,
            ", claimed_at, deadline_at, finished_at, result, error"
        )
    };
}

const BY_ID: &str = concat!("select ", task_columns!(), " from task where id = ?1");
/// An SQL expression for the size of a task in bytes, which does not read its values.
macro_rules! size {
    () => {
        "(octet_length(type) + octet_length(agent_filter) + coalesce(octet_length(data), 0)
          + coalesce(octet_length(result), 0) + coalesce(octet_length(error), 0)
          + coalesce(octet_length(posted_by), 0))"
    };
}

const SMALL_BY_ID: &str =
    concat!("select ", task_columns!(), " from task where id = ?1 and ", size!(), " <= ?2");
const SIZE_BY_ID: &str = concat!("select ", size!(), ", finished_at is not null from task where id = ?1");
const PENDING_BY_SEQ: &str =
    concat!("select ", posted_columns!("data"), ", attempts from task where seq = ?1 and state = 'pending'");
/// Finds the next waiting task of a kind. Those whose TTL has run out are passed over, so that they take no
/// other's place: a sweep ends them.
const NEXT_PENDING: &str = concat!(
    "select ",
    posted_columns!("data"),
    ", attempts from task
     where state = 'pending' and type = ?1 and version = ?2 and agent_filter = ?3
       and (due_at is null or due_at > ?4)
     order by priority desc, seq limit 1"
);
const BY_ID_WITHOUT_DATA: &str =
    concat!("select ", task_columns!("null", agent_name!("task")), " from task where id = ?1");
/// Reads a task for a result that was posted: its data is not looked at, and the agent is named only where an
/// error that time writes may name it.
const BY_ID_FOR_RESULT: &str = concat!(
    "select ",
    task_columns!("null", concat!("iif(due_at is null, null, ", named_agent!("task"), ")")),
    " from task where id = ?1"
);
const BY_ALIAS: &str = concat!("select ", task_columns!(), " from task where alias = ?1");

pub(super) fn task(connection: &Connection, id: Uuid) -> rusqlite::Result<Option<LockedTask>> {
    connection.prepare_cached(BY_ID)?.query_row([id.as_bytes()], read_task).optional()
}

/// Reads those of `ids` that exist, each as it was at some moment.
pub(super) fn tasks(connection: &Connection, ids: &[Uuid]) -> Result<HashMap<Uuid, Arc<Task>>, StoreError> {
    let read = |id: &Uuid| Ok(task(connection, *id)?.map(|found| (*id, Arc::new(found.task))));
    ids.iter().filter_map(|id| read(id).transpose()).collect()
}

/// Reads those of `ids` that exist, all as they were at one moment; of large ones, only how large they are.
pub(super) fn small_tasks(
    connection: &Connection,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, TaskRead>, StoreError> {
    // A single statement is a transaction by itself.
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

/// Reads a task without its data.
pub(super) fn task_without_data(connection: &Connection, id: Uuid) -> rusqlite::Result<Option<LockedTask>> {
    connection.prepare_cached(BY_ID_WITHOUT_DATA)?.query_row([id.as_bytes()], read_task).optional()
}

/// Reads the task at a place, if it is waiting.
pub(super) fn pending_at(connection: &Connection, seq: i64) -> rusqlite::Result<Option<LockedTask>> {
    connection.prepare_cached(PENDING_BY_SEQ)?.query_row([seq], read_pending).optional()
}

/// Reads the task of a kind that is handed out next.
pub(super) fn next_pending(
    connection: &Connection,
    kind: &WaitingKind,
    now: Timestamp,
) -> rusqlite::Result<Option<LockedTask>> {
    let Capability { task_type, version } = &kind.capability;
    connection
        .prepare_cached(NEXT_PENDING)?
        .query_row(params![task_type, version, kind.agent_filter.key(), now.as_microsecond()], read_pending)
        .optional()
}

/// Reads for a result that was posted the task that was handed out under `alias`, and the attempt of that
/// alias if it has ended without finishing the task. The task comes without its data, and without the name of
/// an agent that executes it where it has no due time.
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

fn read_task(row: &Row<'_>) -> rusqlite::Result<LockedTask> {
    let mut columns = RowReader::new(row);
    let (seq, posted, created) = read_posted(&mut columns)?;
    let (state, attempts) = read_state(&mut columns, posted.task_id)?;
    Ok(LockedTask { task: Task { posted, created, attempts, state }, seq, cursor: CURSOR })
}

/// Reads a task that is waiting, of which fewer columns say all.
fn read_pending(row: &Row<'_>) -> rusqlite::Result<LockedTask> {
    let mut columns = RowReader::new(row);
    let (seq, posted, created) = read_posted(&mut columns)?;
    let task = Task { posted, created, attempts: columns.next()?, state: State::Pending };
    Ok(LockedTask { task, seq, cursor: CURSOR })
}

/// The index of waiting tasks keeps none that was claimed: wherever a search starts, it finds what waits.
const CURSOR: QueueCursor = QueueCursor::START;

/// Reads the place of a task, what was posted, and when.
fn read_posted(columns: &mut RowReader<'_, '_>) -> rusqlite::Result<(i64, PostTask, Timestamp)> {
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
    let posted_by = columns.next()?;
    Ok((seq, PostTask { task_id, test_id, task_type, task_version, task_data, terms, posted_by }, created))
}

/// Reads the state, and how many attempts there were.
fn read_state(columns: &mut RowReader<'_, '_>, task_id: Uuid) -> rusqlite::Result<(State, u32)> {
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
