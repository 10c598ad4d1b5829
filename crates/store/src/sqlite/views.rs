//! Reads what people look at.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use slamon_protocol::JsonText;
use uuid::Uuid;

use super::rows::time;
use crate::{AgentView, Counts, List, Overview, TaskView};

/// The columns that [`read_view`] reads; `?1` is the size above which a result is left out.
const VIEW: &str = "id, test_id, type, version, finished_at,
     iif(octet_length(result) <= ?1, result, null), octet_length(result), error, seq";

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
                id: Uuid::from_bytes(row.get(0)?),
                name: row.get(1)?,
                last_seen: time(row, 2)?,
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

/// The newest waiting tasks: the newest of each kind, merged.
///
/// The index of waiting tasks is by kind first; going from kind to kind spares a second index, which every
/// post and every claim would have to write.
fn newest_waiting(connection: &Connection, limit: u32, result_bytes: u32) -> rusqlite::Result<Vec<TaskView>> {
    let mut next_kind = connection.prepare_cached(
        "select type, version from task where state = 'pending' and (type, version) > (?1, ?2)
         order by type, version limit 1",
    )?;
    let mut first_kind = connection.prepare_cached(
        "select type, version from task where state = 'pending' order by type, version limit 1",
    )?;
    let mut newest_of_kind = connection.prepare_cached(&format!(
        "select {VIEW} from task where state = 'pending' and type = ?2 and version = ?3
         order by seq desc limit ?4"
    ))?;
    let read_kind = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?));
    let mut kind = first_kind.query_row([], read_kind).optional()?;
    let mut found = Vec::new();
    while let Some((task_type, version)) = kind {
        let newest = newest_of_kind.query_map(params![result_bytes, task_type, version, limit], read_view)?;
        for task in newest {
            found.push(task?);
        }
        kind = next_kind.query_row(params![task_type, version], read_kind).optional()?;
    }
    found.sort_by_key(|(seq, _)| std::cmp::Reverse(*seq));
    found.truncate(limit as usize);
    Ok(found.into_iter().map(|(_, task)| task).collect())
}

fn read_view(row: &Row<'_>) -> rusqlite::Result<(i64, TaskView)> {
    let text =
        |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<String>>(column)?.map(JsonText::from_stored));
    let finished: Option<i64> = row.get(4)?;
    let view = TaskView {
        task_id: Uuid::from_bytes(row.get(0)?),
        test_id: Uuid::from_bytes(row.get(1)?),
        task_type: row.get(2)?,
        task_version: row.get(3)?,
        finished: finished.map(|_| time(row, 4)).transpose()?,
        result: text(5)?,
        result_bytes: row.get(6)?,
        error: text(7)?,
    };
    Ok((row.get(8)?, view))
}
