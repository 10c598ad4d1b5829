//! Reads what people look at.

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::columns::{agent_name, id, optional_time, text, time};
use crate::views::{
    AgentView, AttemptView, Counts, ERROR_READ, LIST_RESULT_BYTES, LateView, List, Overview, TEXT_READ,
    TaskView, shown, shown_error,
};
use uuid::Uuid;

/// The columns that [`read_view`] reads; `?1` is the size above which a result is left out, `?2` and `?3` how
/// much is read of a type and of an error.
const VIEW: &str = "id, test_id, substr(type, 1, ?2) as type, version, finished_at,
     iif(octet_length(result) <= ?1, result, null) as result, octet_length(result) as result_bytes,
     substr(error, 1, ?3) as error, octet_length(error) as error_bytes";

pub(super) fn counts(connection: &Connection, seen_since: Timestamp) -> rusqlite::Result<Counts> {
    let agents = connection
        .prepare_cached("select count(*) from agent where last_seen >= ?1")?
        .query_row([seen_since.as_microsecond()], |row| row.get(0))?;
    Ok(Counts { agents, tasks_waiting: tasks_waiting(connection)? })
}

fn tasks_waiting(connection: &Connection) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("select count(*) from task where state = 'pending'")?
        .query_row([], |row| row.get(0))
}

pub(super) fn overview(
    connection: &mut Connection,
    limit: u32,
    result_bytes: u32,
) -> rusqlite::Result<Overview> {
    // All is read from one snapshot.
    let transaction = connection.transaction()?;
    let waiting = List {
        items: newest_waiting(&transaction, limit, result_bytes)?,
        total: tasks_waiting(&transaction)?,
    };
    let total = transaction.query_row("select count(*) from agent", [], |row| row.get(0))?;
    let mut items = transaction
        .prepare_cached(
            "select id, substr(name, 1, ?2), last_seen from agent order by last_seen desc, id limit ?1",
        )?
        .query_map([limit, TEXT_READ], |row| {
            Ok(AgentView {
                id: id(row, "id")?,
                name: shown(row.get_ref(1)?.as_str()?),
                last_seen: time(row, "last_seen")?,
                tasks: Vec::new(),
                more_tasks: false,
            })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    let mut tasks = transaction
        .prepare_cached(&format!("select {VIEW} from task where agent_id = ?4 order by seq desc limit ?5"))?;
    for agent in &mut items {
        agent.tasks = tasks
            .query_map(
                params![result_bytes, TEXT_READ, ERROR_READ, agent.id.as_bytes(), i64::from(limit) + 1],
                read_view,
            )?
            .collect::<Result<_, _>>()?;
        leave_out_results(&mut agent.tasks);
        agent.more_tasks = agent.tasks.len() > limit as usize;
        agent.tasks.truncate(limit as usize);
    }
    Ok(Overview { waiting, agents: List { items, total } })
}

/// Reads the newest waiting tasks, from the one that came last backwards.
fn newest_waiting(connection: &Connection, limit: u32, result_bytes: u32) -> rusqlite::Result<Vec<TaskView>> {
    connection
        .prepare_cached(&format!(
            "select {VIEW} from task where state = 'pending' order by seq desc limit ?4"
        ))?
        .query_map(params![result_bytes, TEXT_READ, ERROR_READ, limit], read_view)?
        .collect()
}

/// Leaves out the results that go beyond [`LIST_RESULT_BYTES`].
fn leave_out_results(tasks: &mut [TaskView]) {
    let mut listed = 0;
    for task in tasks {
        listed += task.result.as_ref().map_or(0, |result| result.as_str().len());
        if listed > LIST_RESULT_BYTES as usize {
            task.result = None;
        }
    }
}

fn read_view(row: &Row<'_>) -> rusqlite::Result<TaskView> {
    let error = row.get_ref("error")?.as_str_or_null()?;
    let (error, error_bytes) = shown_error(error, row.get("error_bytes")?);
    Ok(TaskView {
        task_id: id(row, "id")?,
        test_id: id(row, "test_id")?,
        task_type: shown(row.get_ref("type")?.as_str()?),
        task_version: row.get("version")?,
        finished: optional_time(row, "finished_at")?,
        result: text(row, "result")?,
        result_bytes: row.get("result_bytes")?,
        error,
        error_bytes,
    })
}

/// Reads the attempts of a task that ended without finishing it, the first one first.
pub(super) fn past(
    connection: &Connection,
    id: Uuid,
    result_bytes: u32,
) -> rusqlite::Result<Vec<AttemptView>> {
    connection
        .prepare_cached(concat!(
            "select number, agent_id, substr(agent_name, 1, ?2) as agent_name, claimed_at, deadline_at, \
             ended_at, ending,
                    substr(error, 1, ?3) as error, octet_length(error) as error_bytes, late_at,
                    iif(octet_length(late_result) <= ?4, late_result, null) as late_result,
                    octet_length(late_result) as late_result_bytes,
                    substr(late_error, 1, ?3) as late_error, octet_length(late_error) as late_error_bytes
             from (select attempt.*, ",
            agent_name!("attempt"),
            " from attempt where task_id = ?1) order by number"
        ))?
        .query_map(params![id.as_bytes(), TEXT_READ, ERROR_READ, result_bytes], read_attempt)?
        .collect()
}

fn read_attempt(row: &Row<'_>) -> rusqlite::Result<AttemptView> {
    let error = |column, bytes| {
        Ok::<_, rusqlite::Error>(shown_error(row.get_ref(column)?.as_str_or_null()?, row.get(bytes)?))
    };
    let late = |at| {
        let (error, error_bytes) = error("late_error", "late_error_bytes")?;
        let result = text(row, "late_result")?;
        Ok::<_, rusqlite::Error>(LateView {
            at,
            result,
            result_bytes: row.get("late_result_bytes")?,
            error,
            error_bytes,
        })
    };
    let late = optional_time(row, "late_at")?.map(late).transpose()?;
    let (error, error_bytes) = error("error", "error_bytes")?;
    Ok(AttemptView {
        number: row.get("number")?,
        agent_id: id(row, "agent_id")?,
        agent_name: shown(row.get_ref("agent_name")?.as_str()?),
        claimed: time(row, "claimed_at")?,
        deadline: optional_time(row, "deadline_at")?,
        ended: time(row, "ended_at")?,
        end: row.get("ending")?,
        error,
        error_bytes,
        late,
    })
}
