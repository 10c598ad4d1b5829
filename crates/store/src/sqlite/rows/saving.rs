//! Saves tasks that have changed.

use jiff::Timestamp;
use rusqlite::{Connection, Statement, params};
use slamon_domain::{Attempt, End, State, Task};
use slamon_protocol::JsonText;
use uuid::Uuid;

use crate::encoding::state_name;
use crate::error::StoreError;

/// Saves the state of a task, which must exist.
pub(in crate::sqlite) fn save_state(
    connection: &Connection,
    seq: i64,
    task: &Task,
) -> Result<(), StoreError> {
    if let State::Ended { at, last: Some(_), end: end @ (End::Completed(_) | End::Failed(_)) } = &task.state {
        return save_end(connection, seq, task, *at, end);
    }
    let mut update = connection.prepare_cached(
        "update task set state = ?2, attempts = ?3, available_at = ?4, due_at = ?5, alias = ?6, agent_id = ?7,
                         claimed_at = ?8, deadline_at = ?9, finished_at = ?10, result = ?11, error = ?12
         where seq = ?1",
    )?;
    check_changed(execute_state(&mut update, seq, task)?, task)
}

/// Saves that a task was claimed. Each column that is named costs a look at its indexes, so only those that
/// change are.
pub(in crate::sqlite) fn save_claim(
    connection: &Connection,
    seq: i64,
    task: &Task,
    attempt: &Attempt,
) -> Result<(), StoreError> {
    let mut update = connection.prepare_cached(
        "update task set state = 'claimed', attempts = ?2, due_at = ?3, alias = ?4, agent_id = ?5,
                         claimed_at = ?6, deadline_at = ?7
         where seq = ?1",
    )?;
    let changed = update.execute(params![
        seq,
        task.attempts,
        task.due().map(Timestamp::as_microsecond),
        Some(attempt.alias).filter(|alias| *alias != task.posted.task_id).map(Uuid::into_bytes),
        attempt.agent_id.as_bytes(),
        attempt.at.as_microsecond(),
        attempt.deadline.map(Timestamp::as_microsecond),
    ])?;
    check_changed(changed, task)
}

/// Saves the result or the error of the attempt that ran.
fn save_end(
    connection: &Connection,
    seq: i64,
    task: &Task,
    at: Timestamp,
    end: &End,
) -> Result<(), StoreError> {
    let mut update = connection.prepare_cached(
        "update task set state = ?2, due_at = null, finished_at = ?3, result = ?4, error = ?5
         where seq = ?1 and state = 'claimed'",
    )?;
    let changed = update.execute(params![
        seq,
        state_name(&task.state),
        at.as_microsecond(),
        end.outcome().ok().map(JsonText::as_str),
        end.outcome().err().map(JsonText::as_str),
    ])?;
    check_changed(changed, task)
}

fn check_changed(rows: usize, task: &Task) -> Result<(), StoreError> {
    if rows == 1 {
        return Ok(());
    }
    Err(StoreError::Failed(anyhow::anyhow!("task {} vanished while it was locked", task.posted.task_id)))
}

fn execute_state(update: &mut Statement<'_>, seq: i64, task: &Task) -> rusqlite::Result<usize> {
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
        seq,
        state_name(&task.state),
        task.attempts,
        available,
        task.due().map(Timestamp::as_microsecond),
        attempt.map(|a| a.alias).filter(|alias| *alias != id).map(Uuid::into_bytes),
        attempt.map(|a| a.agent_id.into_bytes()),
        attempt.map(|a| a.at.as_microsecond()),
        attempt.and_then(|a| a.deadline).map(Timestamp::as_microsecond),
        at.map(|at| at.as_microsecond()),
        end.and_then(|end| end.outcome().ok()).map(JsonText::as_str),
        end.and_then(|end| end.outcome().err()).map(JsonText::as_str),
    ])
}
