//! Reads rows of SQLite as attempts that have ended, and saves them.

use jiff::Timestamp;
use rusqlite::{Connection, Error, OptionalExtension, Row, params};
use slamon_domain::{Attempt, EndedAttempt, LateResult};
use slamon_protocol::excerpt;
use uuid::Uuid;

use crate::encoding::{attempt_end, attempt_end_columns, outcome};
use crate::sqlite::columns::{agent_name, id, optional_time, text, time, unreadable};

/// The columns that [`read_attempt`] reads.
macro_rules! attempt_columns {
    () => {
        concat!(
            "number, alias, agent_id, claimed_at, deadline_at, ended_at, ending, error, late_at,
             late_result, late_error,
             task_id, ",
            agent_name!("attempt")
        )
    };
}

const BY_ALIAS: &str = concat!("select ", attempt_columns!(), " from attempt where alias = ?1");
const OF_TASK: &str =
    concat!("select ", attempt_columns!(), " from attempt where task_id = ?1 order by number");

/// The id of a task, an attempt of it that has ended, and the result that came after its end.
pub(in crate::sqlite) type Past = (Uuid, EndedAttempt, Option<LateResult>);

/// Reads the attempt that was handed out under `alias`, if it has ended without finishing its task.
pub(in crate::sqlite) fn past(connection: &Connection, alias: Uuid) -> rusqlite::Result<Option<Past>> {
    connection.prepare_cached(BY_ALIAS)?.query_row([alias.as_bytes()], read_attempt).optional()
}

/// Reads the attempts of a task that have ended without finishing it, in their order.
pub(in crate::sqlite) fn of_task(
    connection: &Connection,
    id: Uuid,
) -> rusqlite::Result<Vec<(EndedAttempt, Option<LateResult>)>> {
    connection
        .prepare_cached(OF_TASK)?
        .query_map([id.as_bytes()], |row| read_attempt(row).map(|(_, ended, late)| (ended, late)))?
        .collect()
}

fn read_attempt(row: &Row<'_>) -> rusqlite::Result<Past> {
    let name: String = row.get("ending")?;
    let end = attempt_end(&name, text(row, "error")?)
        .ok_or_else(|| unreadable(format!("{:?} is no end of an attempt", excerpt(&name))))?;
    let attempt = Attempt {
        number: row.get("number")?,
        alias: id(row, "alias")?,
        agent_id: id(row, "agent_id")?,
        agent_name: row.get("agent_name")?,
        at: time(row, "claimed_at")?,
        deadline: optional_time(row, "deadline_at")?,
    };
    let late = outcome(text(row, "late_result")?, text(row, "late_error")?)
        .map(|outcome| Ok::<_, Error>(LateResult { at: time(row, "late_at")?, outcome }))
        .transpose()?;
    Ok((id(row, "task_id")?, EndedAttempt { attempt, at: time(row, "ended_at")?, end }, late))
}

/// Saves an attempt of a task that has ended without finishing it.
pub(in crate::sqlite) fn save(
    connection: &Connection,
    task_id: Uuid,
    ended: &EndedAttempt,
) -> rusqlite::Result<()> {
    let (end, error) = attempt_end_columns(&ended.end);
    let pending_cancellations = ended.end.is_to_be_told().then_some(1);
    let attempt = &ended.attempt;
    connection
        .prepare_cached(
            "insert into attempt (task_id, number, alias, agent_id, claimed_at, deadline_at, ended_at,
                                  ending, error, untold)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
             -- Somebody may have posted a task under an alias: that must not stop the sweep of all others.
             on conflict do nothing",
        )?
        .execute(params![
            task_id.as_bytes(),
            attempt.number,
            attempt.alias.as_bytes(),
            attempt.agent_id.as_bytes(),
            attempt.at.as_microsecond(),
            attempt.deadline.map(Timestamp::as_microsecond),
            ended.at.as_microsecond(),
            end,
            error,
            pending_cancellations,
        ])?;
    Ok(())
}
