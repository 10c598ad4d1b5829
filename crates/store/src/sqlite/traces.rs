//! The spans of those who posted tasks, in SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::SqliteStore;
use super::write_transaction::WriteTransaction;
use crate::error::StoreError;
use crate::traces::{TraceContext, TraceStore};

#[async_trait]
impl TraceStore for SqliteStore {
    async fn save_traces(&self, traces: Arc<[(Uuid, TraceContext)]>) -> Result<(), StoreError> {
        self.writer.run(move |connection| Ok(save(connection, &traces)?)).await
    }

    async fn traces_of(&self, tasks: Arc<[Uuid]>) -> Result<Vec<(Uuid, TraceContext)>, StoreError> {
        self.readers.run(move |connection| Ok(read(connection, &tasks)?)).await
    }

    async fn delete_traces(&self, tasks: Arc<[Uuid]>) -> Result<(), StoreError> {
        self.writer.run(move |connection| Ok(delete(connection, &tasks)?)).await
    }

    async fn purge_traces(
        &self,
        after: Option<Uuid>,
        ended_before: Timestamp,
        limit: u32,
    ) -> Result<Option<Uuid>, StoreError> {
        self.writer.run(move |connection| Ok(purge(connection, after, ended_before, limit)?)).await
    }
}

fn save(connection: &mut Connection, traces: &[(Uuid, TraceContext)]) -> rusqlite::Result<()> {
    let transaction = WriteTransaction::begin(connection)?;
    {
        let sql = "insert into task_trace (task_id, context) values (?1, ?2) on conflict do nothing";
        let mut insert = transaction.connection.prepare_cached(sql)?;
        for (task, context) in traces {
            insert.execute(params![task.as_bytes(), context])?;
        }
    }
    transaction.commit()
}

fn read(connection: &Connection, tasks: &[Uuid]) -> rusqlite::Result<Vec<(Uuid, TraceContext)>> {
    let mut select = connection.prepare_cached("select context from task_trace where task_id = ?1")?;
    let mut found = Vec::new();
    for task in tasks {
        if let Some(context) = select.query_row([task.as_bytes()], |row| row.get(0)).optional()? {
            found.push((*task, context));
        }
    }
    Ok(found)
}

fn delete(connection: &mut Connection, tasks: &[Uuid]) -> rusqlite::Result<()> {
    let transaction = WriteTransaction::begin(connection)?;
    {
        let mut delete =
            transaction.connection.prepare_cached("delete from task_trace where task_id = ?1")?;
        for task in tasks {
            delete.execute([task.as_bytes()])?;
        }
    }
    transaction.commit()
}

fn purge(
    connection: &mut Connection,
    after: Option<Uuid>,
    ended_before: Timestamp,
    limit: u32,
) -> rusqlite::Result<Option<Uuid>> {
    let sql = "
        select max(task_id), count(*) from (
            select task_id from task_trace where task_id > ?1 order by task_id limit ?2
        )
    ";
    let after = after.map_or_else(Vec::new, |after| after.as_bytes().to_vec());
    let (last, count): (Option<[u8; 16]>, u32) = connection
        .prepare_cached(sql)?
        .query_row(params![after, limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let Some(last) = last else { return Ok(None) };
    connection
        .prepare_cached(
            "delete from task_trace where task_id > ?1 and task_id <= ?2 and not exists (
                 select 1 from task
                 where task.id = task_trace.task_id and coalesce(task.finished_at >= ?3, true)
             )",
        )?
        .execute(params![after, last, ended_before.as_microsecond()])?;
    Ok((count >= limit).then(|| Uuid::from_bytes(last)))
}
