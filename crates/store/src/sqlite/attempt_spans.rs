//! Reads when attempts ran.

use rusqlite::{Connection, params};
use uuid::Uuid;

use super::columns::time;
use crate::views::AttemptSpan;

pub(super) fn read(connection: &Connection, tasks: &[Uuid], most: u32) -> rusqlite::Result<Vec<AttemptSpan>> {
    let mut select = connection.prepare_cached(
        "select number, claimed_at, ended_at, ending from attempt where task_id = ?1 order by number desc limit ?2",
    )?;
    let mut spans = Vec::new();
    for task_id in tasks {
        let begin = spans.len();
        let rows = select.query_map(params![task_id.as_bytes(), most], |row| {
            Ok(AttemptSpan {
                task_id: *task_id,
                number: row.get("number")?,
                claimed: time(row, "claimed_at")?,
                ended: time(row, "ended_at")?,
                end: row.get("ending")?,
            })
        })?;
        for row in rows {
            spans.push(row?);
        }
        spans[begin..].reverse();
    }
    Ok(spans)
}
