//! The spans of those who posted tasks, in PostgreSQL.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use super::errors::PgError;
use super::rows;
use super::session::Session;
use super::store::PostgresStore;
use crate::error::StoreError;
use crate::traces::{TraceContext, TraceStore};

/// In the order of the ids, as every AFM locks them.
const SAVE: &str = "
    insert into task_trace (task_id, context)
    select * from unnest($1::uuid[], $2::bytea[]) as saved (task_id, context) order by task_id
    on conflict do nothing
";

const READ: &str = "select task_id, context from task_trace where task_id = any($1::uuid[])";

const DELETE: &str = "
    with locked as (
        select task_id from task_trace where task_id = any($1::uuid[]) order by task_id for update skip locked
    )
    delete from task_trace using locked where task_trace.task_id = locked.task_id
";

/// The next tasks, of which those that are gone or ended are deleted, but for what another AFM deletes right now.
const PURGE: &str = "
    with next as materialized (
        select task_id from task_trace where $1::uuid is null or task_id > $1::uuid order by task_id limit $2
    ), old as materialized (
        select task_trace.task_id from task_trace join next using (task_id)
        where not exists (
            select from task where task.id = task_trace.task_id and coalesce(task.finished_at >= $3, true)
        )
        order by task_trace.task_id for update of task_trace skip locked
    ), deleted as (
        delete from task_trace using old where task_trace.task_id = old.task_id
    )
    select task_id from next order by task_id
";

#[async_trait]
impl TraceStore for PostgresStore {
    async fn save_traces(&self, traces: Arc<[(Uuid, TraceContext)]>) -> Result<(), StoreError> {
        self.database()
            .call(|session| {
                let traces = Arc::clone(&traces);
                Box::pin(async move {
                    let (tasks, contexts): (Vec<Uuid>, Vec<&[u8]>) =
                        traces.iter().map(|(task, context)| (*task, context.as_slice())).unzip();
                    session.query(SAVE, &[&tasks, &contexts]).await.map(drop)
                })
            })
            .await
    }

    async fn traces_of(&self, tasks: Arc<[Uuid]>) -> Result<Vec<(Uuid, TraceContext)>, StoreError> {
        self.database()
            .call(|session| {
                let tasks = Arc::clone(&tasks);
                Box::pin(async move { read(session, &tasks).await })
            })
            .await
    }

    async fn delete_traces(&self, tasks: Arc<[Uuid]>) -> Result<(), StoreError> {
        self.database()
            .call(|session| {
                let tasks = Arc::clone(&tasks);
                Box::pin(async move { session.query(DELETE, &[&&*tasks]).await.map(drop) })
            })
            .await
    }

    async fn purge_traces(
        &self,
        after: Option<Uuid>,
        ended_before: Timestamp,
        limit: u32,
    ) -> Result<Option<Uuid>, StoreError> {
        self.database().call(|session| Box::pin(purge(session, after, ended_before, limit))).await
    }
}

async fn read(session: &Session, tasks: &[Uuid]) -> Result<Vec<(Uuid, TraceContext)>, PgError> {
    let mut found = Vec::new();
    for row in session.query(READ, &[&tasks]).await? {
        let context: &[u8] = row.try_get(1)?;
        if let Ok(context) = context.try_into() {
            found.push((row.try_get(0)?, context));
        }
    }
    Ok(found)
}

async fn purge(
    session: &Session,
    after: Option<Uuid>,
    ended_before: Timestamp,
    limit: u32,
) -> Result<Option<Uuid>, PgError> {
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
        [&after, &i64::from(limit), &rows::as_stored(ended_before)];
    let next = session.query(PURGE, &parameters).await?;
    let last = next.last().filter(|_| next.len() as u64 >= u64::from(limit));
    Ok(last.map(|row| row.try_get(0)).transpose()?)
}
