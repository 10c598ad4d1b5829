//! Rows as tasks, and back.

use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, Error, OptionalExtension, Row};
use slamon_protocol::{JsonText, PostTask};
use uuid::Uuid;

use crate::{Claim, State, Task};

/// The columns that [`read_task`] reads.
pub(super) const TASK: &str = "state, agent_id, claimed_at, finished_at, result, error, \
     id, test_id, type, version, data, created_at";

/// The columns that [`read_state`] reads: the first ones of [`TASK`].
const STATE: &str = "state, agent_id, claimed_at, finished_at, result, error";

pub(super) fn task(connection: &Connection, id: Uuid) -> rusqlite::Result<Option<Task>> {
    connection
        .prepare_cached(&format!("select {TASK} from task where id = ?1"))?
        .query_row([id.as_bytes()], read_task)
        .optional()
}

pub(super) fn state(connection: &Connection, id: Uuid) -> rusqlite::Result<Option<State>> {
    connection
        .prepare_cached(&format!("select {STATE} from task where id = ?1"))?
        .query_row([id.as_bytes()], read_state)
        .optional()
}

pub(super) fn read_task(row: &Row<'_>) -> rusqlite::Result<Task> {
    Ok(Task {
        state: read_state(row)?,
        posted: PostTask {
            task_id: Uuid::from_bytes(row.get(6)?),
            test_id: Uuid::from_bytes(row.get(7)?),
            task_type: row.get(8)?,
            task_version: row.get(9)?,
            task_data: row.get::<_, Option<String>>(10)?.map(JsonText::from_stored),
        },
        created: time(row, 11)?,
    })
}

fn read_state(row: &Row<'_>) -> rusqlite::Result<State> {
    let claim = || Ok::<_, Error>(Claim { agent_id: Uuid::from_bytes(row.get(1)?), at: time(row, 2)? });
    Ok(match row.get_ref(0)?.as_str()? {
        "pending" => State::Pending,
        "claimed" => State::Claimed(claim()?),
        "completed" => State::Completed {
            claim: claim()?,
            at: time(row, 3)?,
            result: JsonText::from_stored(row.get(4)?),
        },
        "failed" => {
            State::Failed { claim: claim()?, at: time(row, 3)?, error: JsonText::from_stored(row.get(5)?) }
        }
        other => {
            let error = format!("{other:?} is no state of a task");
            return Err(Error::FromSqlConversionFailure(0, Type::Text, error.into()));
        }
    })
}

pub(super) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    Timestamp::from_microsecond(row.get(column)?)
        .map_err(|e| Error::FromSqlConversionFailure(column, Type::Integer, e.into()))
}

/// A state as the columns that hold it.
pub(super) struct StateColumns<'a> {
    pub(super) state: &'static str,
    pub(super) agent_id: Option<Uuid>,
    pub(super) claimed_at: Option<i64>,
    pub(super) finished_at: Option<i64>,
    pub(super) result: Option<&'a str>,
    pub(super) error: Option<&'a str>,
}

impl<'a> StateColumns<'a> {
    pub(super) fn of(state: &'a State) -> Self {
        let (name, claim, finished, result, error) = match state {
            State::Pending => ("pending", None, None, None, None),
            State::Claimed(claim) => ("claimed", Some(claim), None, None, None),
            State::Completed { claim, at, result } => {
                ("completed", Some(claim), Some(at), Some(result), None)
            }
            State::Failed { claim, at, error } => ("failed", Some(claim), Some(at), None, Some(error)),
        };
        Self {
            state: name,
            agent_id: claim.map(|claim| claim.agent_id),
            claimed_at: claim.map(|claim| claim.at.as_microsecond()),
            finished_at: finished.map(|at| at.as_microsecond()),
            result: result.map(JsonText::as_str),
            error: error.map(JsonText::as_str),
        }
    }
}
