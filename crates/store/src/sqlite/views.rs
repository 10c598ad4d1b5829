//! Reads what people look at.

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::rows::{id, optional_time, text, time};
use crate::{AgentView, Counts, List, Overview, TaskView};

/// The columns that [`read_view`] reads; `?1` is the size above which a result is left out.
const VIEW: &str = "id, test_id, type, version, finished_at,
     iif(octet_length(result) <= ?1, result, null) as result, octet_length(result) as result_bytes, error, seq";

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
    // One snapshot for all of it.
    let transaction = connection.transaction()?;
    let waiting = List {
        items: newest_waiting(&transaction, limit, result_bytes)?,
        total: tasks_waiting(&transaction)?,
    };
    let total = transaction.query_row("select count(*) from agent", [], |row| row.get(0))?;
    let mut items = transaction
        .prepare_cached("select id, name, last_seen from agent order by last_seen desc, id limit ?1")?
        .query_map([limit], |row| {
            Ok(AgentView {
                id: id(row, "id")?,
                name: row.get(1)?,
                last_seen: time(row, "last_seen")?,
                tasks: Vec::new(),
                more_tasks: false,
            })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    let mut tasks = transaction
        .prepare_cached(&format!("select {VIEW} from task where agent_id = ?2 order by seq desc limit ?3"))?;
    for agent in &mut items {
        agent.tasks = tasks
            .query_map(params![result_bytes, agent.id.as_bytes(), i64::from(limit) + 1], |row| {
                Ok(read_view(row)?.1)
            })?
            .collect::<Result<_, _>>()?;
        agent.more_tasks = agent.tasks.len() > limit as usize;
        agent.tasks.truncate(limit as usize);
    }
    Ok(Overview { waiting, agents: List { items, total } })
}

/// The newest waiting tasks, from the one that came last backwards.
fn newest_waiting(connection: &Connection, limit: u32, result_bytes: u32) -> rusqlite::Result<Vec<TaskView>> {
    connection
        .prepare_cached(&format!(
            "select {VIEW} from task where state = 'pending' order by seq desc limit ?2"
        ))?
        .query_map(params![result_bytes, limit], |row| Ok(read_view(row)?.1))?
        .collect()
}

fn read_view(row: &Row<'_>) -> rusqlite::Result<(i64, TaskView)> {
    let view = TaskView {
        task_id: id(row, "id")?,
        test_id: id(row, "test_id")?,
        task_type: row.get("type")?,
        task_version: row.get("version")?,
        finished: optional_time(row, "finished_at")?,
        result: text(row, "result")?,
        result_bytes: row.get("result_bytes")?,
        error: text(row, "error")?,
    };
    Ok((row.get("seq")?, view))
}
