//! Rows as tasks.

use jiff::RoundMode;
use jiff::{Timestamp, TimestampRound, Unit};
use slamon_protocol::{JsonText, PostTask};
use tokio_postgres::Row;

use super::errors::Problem;
use crate::{Claim, State};

/// A time as PostgreSQL keeps it, in microseconds: what was stored must equal what is asked for later.
pub(super) fn as_stored(time: Timestamp) -> Timestamp {
    let down = TimestampRound::new().smallest(Unit::Microsecond).mode(RoundMode::Floor);
    // Only a time at the very end of all time cannot be rounded.
    time.round(down).unwrap_or(time)
}

/// Reads id, test_id, type, version and data.
pub(super) fn posted(row: &Row) -> Result<PostTask, Problem> {
    Ok(PostTask {
        task_id: row.try_get("id")?,
        test_id: row.try_get("test_id")?,
        task_type: row.try_get("type")?,
        task_version: row.try_get("version")?,
        task_data: json(row, "data")?,
    })
}

/// Reads state, agent_id, claimed_at, finished_at, result and error.
pub(super) fn state(row: &Row) -> Result<State, Problem> {
    let state: &str = row.try_get("state")?;
    if state == "pending" {
        return Ok(State::Pending);
    }
    let claim = Claim { agent_id: row.try_get("agent_id")?, at: row.try_get("claimed_at")? };
    match state {
        "claimed" => Ok(State::Claimed(claim)),
        "completed" => {
            let result = JsonText::from_stored(row.try_get("result")?);
            Ok(State::Completed { claim, at: row.try_get("finished_at")?, result })
        }
        "failed" => {
            let error = JsonText::from_stored(row.try_get("error")?);
            Ok(State::Failed { claim, at: row.try_get("finished_at")?, error })
        }
        other => Err(Problem::Wrong(format!("a task is in the unknown state {other}"))),
    }
}

pub(super) fn json(row: &Row, column: &str) -> Result<Option<JsonText>, Problem> {
    Ok(row.try_get::<_, Option<String>>(column)?.map(JsonText::from_stored))
}
