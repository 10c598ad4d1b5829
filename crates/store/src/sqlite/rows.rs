//! Rows as tasks and attempts, and back.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, Error, OptionalExtension, Row, Statement, params};
use slamon_protocol::{AgentFilter, JsonText, PostTask, TaskOutcome, Terms};
use uuid::Uuid;

use crate::{Attempt, AttemptEnd, End, EndedAttempt, LateResult, State, StoreError, Task};

/// The columns that [`read_task`] reads.
const TASK: &str = "seq, id, test_id, type, version, data, created_at,
     ttl, timeout, max_attempts, retry_errors, retry_delay, priority, delay, agent_filter,
     state, attempts, available_at, alias, agent_id, agent_name, claimed_at, deadline_at, finished_at, result, error";

/// The columns that [`read_attempt`] reads.
const ATTEMPT: &str = "number, alias, agent_id, agent_name, claimed_at, deadline_at, ended_at, ending, error,
     late_at, late_result, late_error, task_id";

/// A task and its place in the order of arrival.
pub(super) struct Stored {
    pub(super) seq: i64,
    pub(super) task: Task,
}

/// Prepares a select of tasks; `rest` is all that comes after `from task`.
pub(super) fn select_tasks<'c>(
    connection: &'c Connection,
    rest: &str,
) -> rusqlite::Result<rusqlite::CachedStatement<'c>> {
    connection.prepare_cached(&format!("select {TASK} from task {rest}"))
}

pub(super) fn task(connection: &Connection, id: Uuid) -> rusqlite::Result<Option<Stored>> {
    select_tasks(connection, "where id = ?1")?.query_row([id.as_bytes()], read_task).optional()
}

/// The task that was handed out under `alias`, and the attempt of that alias if it has ended without finishing it.
pub(super) fn task_and_past(
    connection: &Connection,
    alias: Uuid,
) -> rusqlite::Result<Option<(Stored, Option<EndedAttempt>)>> {
    let found = match task(connection, alias)? {
        Some(found) => Some(found),
        None => select_tasks(connection, "where alias = ?1")?
            .query_row([alias.as_bytes()], read_task)
            .optional()?,
    };
    let live = |found: &Stored| {
        matches!(&found.task.state, State::Claimed(attempt) if attempt.alias == alias)
            || found.task.attempts == 0
    };
    if found.as_ref().is_some_and(live) {
        return Ok(found.map(|found| (found, None)));
    }
    let past = connection
        .prepare_cached(&format!("select {ATTEMPT} from attempt where alias = ?1"))?
        .query_row([alias.as_bytes()], read_attempt)
        .optional()?;
    match (found, past) {
        (Some(found), past) => Ok(Some((found, past.map(|(_, past, _)| past)))),
        (None, Some((task_id, past, _))) => Ok(task(connection, task_id)?.map(|found| (found, Some(past)))),
        (None, None) => Ok(None),
    }
}

pub(super) fn attempts(
    connection: &Connection,
    id: Uuid,
) -> rusqlite::Result<Vec<(EndedAttempt, Option<LateResult>)>> {
    connection
        .prepare_cached(&format!("select {ATTEMPT} from attempt where task_id = ?1 order by number"))?
        .query_map([id.as_bytes()], |row| read_attempt(row).map(|(_, ended, late)| (ended, late)))?
        .collect()
}

pub(super) fn read_task(row: &Row<'_>) -> rusqlite::Result<Stored> {
    let seq = row.get("seq")?;
    let filter: String = row.get("agent_filter")?;
    let terms = Terms {
        ttl: optional_duration(row, "ttl")?,
        timeout: optional_duration(row, "timeout")?,
        max_attempts: row.get("max_attempts")?,
        retry_errors: row.get("retry_errors")?,
        retry_delay: optional_duration(row, "retry_delay")?.unwrap_or_default(),
        priority: row.get("priority")?,
        delay: optional_duration(row, "delay")?.unwrap_or_default(),
        agent_filter: AgentFilter::from_key(&filter).map_err(|e| unreadable(e.to_string()))?,
    };
    let posted = PostTask {
        task_id: id(row, "id")?,
        test_id: id(row, "test_id")?,
        task_type: row.get("type")?,
        task_version: row.get("version")?,
        task_data: text(row, "data")?,
        terms,
    };
    let attempts = row.get("attempts")?;
    let state = read_state(row, posted.task_id, attempts)?;
    Ok(Stored { seq, task: Task { posted, created: time(row, "created_at")?, attempts, state } })
}

fn read_state(row: &Row<'_>, task_id: Uuid, number: u32) -> rusqlite::Result<State> {
    let attempt = || {
        let Some(agent_id) = optional_id(row, "agent_id")? else { return Ok::<_, Error>(None) };
        Ok(Some(Attempt {
            number,
            alias: optional_id(row, "alias")?.unwrap_or(task_id),
            agent_id,
            agent_name: row.get("agent_name")?,
            at: time(row, "claimed_at")?,
            deadline: optional_time(row, "deadline_at")?,
        }))
    };
    let missing = |column: &str| unreadable(format!("{column} is null"));
    let error = || text(row, "error")?.ok_or_else(|| missing("error"));
    let state: String = row.get("state")?;
    let end = match state.as_str() {
        "delayed" => return Ok(State::Delayed { until: time(row, "available_at")? }),
        "pending" => return Ok(State::Pending),
        "claimed" => return Ok(State::Claimed(attempt()?.ok_or_else(|| missing("agent_id"))?)),
        "completed" => End::Completed(text(row, "result")?.ok_or_else(|| missing("result"))?),
        "failed" => End::Failed(error()?),
        "lost" => End::Lost(error()?),
        "timed_out" => End::TimedOut(error()?),
        "expired" => End::Expired(error()?),
        "cancelled" => End::Cancelled(error()?),
        other => return Err(unreadable(format!("{other:?} is no state of a task"))),
    };
    Ok(State::Ended { at: time(row, "finished_at")?, last: attempt()?, end })
}

fn read_attempt(row: &Row<'_>) -> rusqlite::Result<(Uuid, EndedAttempt, Option<LateResult>)> {
    let end: String = row.get("ending")?;
    let end = match end.as_str() {
        "error" => {
            AttemptEnd::Error(text(row, "error")?.ok_or_else(|| unreadable("error is null".to_owned()))?)
        }
        "lost" => AttemptEnd::Lost,
        "timed_out" => AttemptEnd::TimedOut,
        "expired" => AttemptEnd::Expired,
        "cancelled" => AttemptEnd::Cancelled,
        other => return Err(unreadable(format!("{other:?} is no end of an attempt"))),
    };
    let attempt = Attempt {
        number: row.get("number")?,
        alias: id(row, "alias")?,
        agent_id: id(row, "agent_id")?,
        agent_name: row.get("agent_name")?,
        at: time(row, "claimed_at")?,
        deadline: optional_time(row, "deadline_at")?,
    };
    let late = match (text(row, "late_result")?, text(row, "late_error")?) {
        (Some(result), _) => Some(TaskOutcome::Completed(result)),
        (None, Some(error)) => Some(TaskOutcome::Failed(error)),
        (None, None) => None,
    };
    let late =
        late.map(|outcome| Ok::<_, Error>(LateResult { at: time(row, "late_at")?, outcome })).transpose()?;
    Ok((id(row, "task_id")?, EndedAttempt { attempt, at: time(row, "ended_at")?, end }, late))
}

/// Saves where a task is in its life; it must be there.
pub(super) fn save_state(connection: &Connection, task: &Task) -> Result<(), StoreError> {
    let id = task.posted.task_id;
    let mut update = connection.prepare_cached(
        "update task set state = ?2, attempts = ?3, available_at = ?4, due_at = ?5, alias = ?6, agent_id = ?7,
                         agent_name = ?8, claimed_at = ?9, deadline_at = ?10, finished_at = ?11, result = ?12,
                         error = ?13
         where id = ?1",
    )?;
    if execute_state(&mut update, task)? != 1 {
        return Err(StoreError::Failed(anyhow::anyhow!("task {id} vanished while it was locked")));
    }
    Ok(())
}

fn execute_state(update: &mut Statement<'_>, task: &Task) -> rusqlite::Result<usize> {
    let id = task.posted.task_id;
    let attempt = task.last_attempt();
    let (at, end) = match &task.state {
        State::Ended { at, end, .. } => (Some(at), Some(end)),
        _ => (None, None),
    };
    let available = match &task.state {
        State::Delayed { until } => Some(until.as_microsecond()),
        _ => None,
    };
    update.execute(params![
        id.as_bytes(),
        state_name(&task.state),
        task.attempts,
        available,
        task.due().map(Timestamp::as_microsecond),
        attempt.map(|a| a.alias).filter(|alias| *alias != id).map(Uuid::into_bytes),
        attempt.map(|a| a.agent_id.into_bytes()),
        attempt.map(|a| &a.agent_name),
        attempt.map(|a| a.at.as_microsecond()),
        attempt.and_then(|a| a.deadline).map(Timestamp::as_microsecond),
        at.map(|at| at.as_microsecond()),
        end.and_then(|end| end.outcome().ok()).map(JsonText::as_str),
        end.and_then(|end| end.outcome().err()).map(JsonText::as_str),
    ])
}

/// The name of a state in the database; for clients it is [`State::name`].
pub(super) fn state_name(state: &State) -> &'static str {
    match state {
        State::Ended { end: End::Lost(_), .. } => "lost",
        State::Ended { end: End::TimedOut(_), .. } => "timed_out",
        other => other.name(),
    }
}

pub(super) fn save_attempt(
    connection: &Connection,
    task_id: Uuid,
    ended: &EndedAttempt,
) -> rusqlite::Result<()> {
    let (end, error) = match &ended.end {
        AttemptEnd::Error(error) => ("error", Some(error.as_str())),
        AttemptEnd::Lost => ("lost", None),
        AttemptEnd::TimedOut => ("timed_out", None),
        AttemptEnd::Expired => ("expired", None),
        AttemptEnd::Cancelled => ("cancelled", None),
    };
    let untold = ended.end.is_to_be_told().then_some(1);
    let attempt = &ended.attempt;
    connection
        .prepare_cached(
            "insert into attempt (task_id, number, alias, agent_id, agent_name, claimed_at, deadline_at, ended_at,
                                  ending, error, untold)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
             -- Somebody may have posted a task under an alias: that must not stop the sweep of all others.
             on conflict do nothing",
        )?
        .execute(params![
            task_id.as_bytes(),
            attempt.number,
            attempt.alias.as_bytes(),
            attempt.agent_id.as_bytes(),
            attempt.agent_name,
            attempt.at.as_microsecond(),
            attempt.deadline.map(Timestamp::as_microsecond),
            ended.at.as_microsecond(),
            end,
            error,
            untold,
        ])?;
    Ok(())
}

pub(super) fn id(row: &Row<'_>, column: &str) -> rusqlite::Result<Uuid> {
    Ok(Uuid::from_bytes(row.get(column)?))
}

fn optional_id(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Uuid>> {
    Ok(row.get::<_, Option<[u8; 16]>>(column)?.map(Uuid::from_bytes))
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

fn optional_duration(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Duration>> {
    Ok(row.get::<_, Option<u64>>(column)?.map(Duration::from_micros))
}

pub(super) fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

pub(super) fn unreadable(what: String) -> Error {
    Error::FromSqlConversionFailure(0, Type::Text, what.into())
}
