//! Reads rows of PostgreSQL as tasks and attempts.

use std::time::Duration;

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use slamon_domain::{Attempt, End, EndedAttempt, LateResult, State, Task};
use slamon_protocol::{AgentFilter, JsonText, PostTask, Terms, excerpt};
use tokio_postgres::Row;
use uuid::Uuid;

use super::errors::PgError;
use crate::encoding::{attempt_end, outcome};

/// The columns that [`task_without_data`] reads of a task that waits.
macro_rules! waiting_columns {
    () => {
        "task.id, task.seq, task.test_id, task.type, task.version, task.created_at, task.ttl, task.timeout,
         task.max_attempts, task.retry_errors, task.retry_delay, task.priority, task.delay,
         task.agent_filter, task.posted_by, task.state, task.attempts"
    };
}

/// An SQL expression for what an agent is called, or was when it was forgotten.
macro_rules! agent_name {
    ($table:literal) => {
        concat!(
            "coalesce((select agent.name from agent where agent.id = ",
            $table,
            ".agent_id), (select past_agent.name from past_agent where past_agent.id = ",
            $table,
            ".agent_id), '')"
        )
    };
}

/// The columns that [`task`] reads, except the data.
macro_rules! task_columns {
    () => {
        concat!(rows::nameless_columns!(), ", ", rows::agent_name!("task"), " as agent_name")
    };
}

/// The columns that [`task`] reads, except the data and the agent's name: that is null where nobody looks at
/// it.
macro_rules! nameless_columns {
    () => {
        concat!(
            rows::waiting_columns!(),
            ", task.available_at, task.alias, task.agent_id, task.claimed_at, task.deadline_at,
             task.finished_at, task.result,
             task.error"
        )
    };
}

/// The columns that [`attempt`] reads.
macro_rules! attempt_columns {
    () => {
        concat!(
            "task_id, number, alias, agent_id, claimed_at, deadline_at, ended_at, ending, error, late_at,
             late_result,
             late_error, ",
            rows::agent_name!("attempt"),
            " as agent_name"
        )
    };
}

pub(super) use {agent_name, attempt_columns, nameless_columns, task_columns, waiting_columns};

/// Rounds a time down to whole microseconds, as PostgreSQL keeps it: what was stored must equal what is asked
/// for later.
pub(super) fn as_stored(time: Timestamp) -> Timestamp {
    let down = TimestampRound::new().smallest(Unit::Microsecond).mode(RoundMode::Floor);
    // Only a time at the very end of all time cannot be rounded.
    time.round(down).unwrap_or(time)
}

/// A number that the protocol keeps small, as PostgreSQL's `integer`.
pub(super) fn small(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// Reads a task from `task_columns!()` and `data`.
pub(super) fn task(row: &Row) -> Result<Task, PgError> {
    task_with(row, json(row, "data")?)
}

/// Reads a task from `task_columns!()`, for rules that do not look at its data.
pub(super) fn task_without_data(row: &Row) -> Result<Task, PgError> {
    task_with(row, None)
}

fn task_with(row: &Row, task_data: Option<JsonText>) -> Result<Task, PgError> {
    let filter: &str = row.try_get("agent_filter")?;
    let unreadable = |error| PgError::Unexpected(format!("task.agent_filter {:?}: {error}", excerpt(filter)));
    let terms = Terms {
        ttl: duration(row, "ttl")?,
        timeout: duration(row, "timeout")?,
        max_attempts: count(row, "max_attempts")?,
        retry_errors: row.try_get("retry_errors")?,
        retry_delay: duration(row, "retry_delay")?.unwrap_or_default(),
        priority: row.try_get("priority")?,
        delay: duration(row, "delay")?.unwrap_or_default(),
        agent_filter: AgentFilter::from_key(filter).map_err(unreadable)?,
    };
    let posted = PostTask {
        task_id: row.try_get("id")?,
        test_id: row.try_get("test_id")?,
        task_type: row.try_get("type")?,
        task_version: row.try_get("version")?,
        task_data,
        terms,
        posted_by: row.try_get("posted_by")?,
    };
    let attempts = count(row, "attempts")?;
    let state = state(row, posted.task_id, attempts)?;
    Ok(Task { posted, created: row.try_get("created_at")?, attempts, state })
}

fn state(row: &Row, task_id: Uuid, number: u32) -> Result<State, PgError> {
    let attempt = || {
        let Some(agent_id) = row.try_get("agent_id")? else { return Ok::<_, PgError>(None) };
        Ok(Some(Attempt {
            number,
            alias: row.try_get::<_, Option<Uuid>>("alias")?.unwrap_or(task_id),
            agent_id,
            agent_name: row.try_get::<_, Option<String>>("agent_name")?.unwrap_or_default(),
            at: row.try_get("claimed_at")?,
            deadline: row.try_get("deadline_at")?,
        }))
    };
    let text = |column| Ok::<_, PgError>(JsonText::from_stored(row.try_get(column)?));
    let end = match row.try_get("state")? {
        "delayed" => return Ok(State::Delayed { until: row.try_get("available_at")? }),
        "pending" => return Ok(State::Pending),
        "claimed" => {
            let nobody =
                || PgError::Unexpected(format!("task {task_id} is claimed, but its row names no agent"));
            return Ok(State::Claimed(attempt()?.ok_or_else(nobody)?));
        }
        "completed" => End::Completed(text("result")?),
        "failed" => End::Failed(text("error")?),
        "lost" => End::Lost(text("error")?),
        "timed_out" => End::TimedOut(text("error")?),
        "expired" => End::Expired(text("error")?),
        "cancelled" => End::Cancelled(text("error")?),
        other => {
            return Err(PgError::Unexpected(format!(
                "task {task_id} is in the unknown state {}",
                excerpt(other)
            )));
        }
    };
    Ok(State::Ended { at: row.try_get("finished_at")?, last: attempt()?, end })
}

/// Reads `attempt_columns!()`: the id of a task, an attempt of it that has ended, and the result that came
/// late.
pub(super) fn attempt(row: &Row) -> Result<(Uuid, EndedAttempt, Option<LateResult>), PgError> {
    let name: &str = row.try_get("ending")?;
    let end = attempt_end(name, json(row, "error")?)
        .ok_or_else(|| PgError::Unexpected(format!("an attempt has the unknown ending {}", excerpt(name))))?;
    let attempt = Attempt {
        number: count(row, "number")?,
        alias: row.try_get("alias")?,
        agent_id: row.try_get("agent_id")?,
        agent_name: row.try_get("agent_name")?,
        at: row.try_get("claimed_at")?,
        deadline: row.try_get("deadline_at")?,
    };
    let outcome = outcome(json(row, "late_result")?, json(row, "late_error")?);
    let late = outcome.map(|outcome| Ok::<_, PgError>(LateResult { at: row.try_get("late_at")?, outcome }));
    let ended = EndedAttempt { attempt, at: row.try_get("ended_at")?, end };
    Ok((row.try_get("task_id")?, ended, late.transpose()?))
}

pub(super) fn json(row: &Row, column: &str) -> Result<Option<JsonText>, PgError> {
    Ok(row.try_get::<_, Option<String>>(column)?.map(JsonText::from_stored))
}

fn duration(row: &Row, column: &str) -> Result<Option<Duration>, PgError> {
    let micros = row.try_get::<_, Option<i64>>(column)?;
    Ok(micros.map(|micros| Duration::from_micros(micros.unsigned_abs())))
}

fn count(row: &Row, column: &str) -> Result<u32, PgError> {
    Ok(row.try_get::<_, i32>(column)?.unsigned_abs())
}
