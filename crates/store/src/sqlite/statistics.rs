//! Statistics in SQLite.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use slamon_protocol::Capability;
use tokio::sync::oneshot;

use super::SqliteStore;
use super::columns::{time, unreadable};
use super::write_transaction::WriteTransaction;
use crate::error::StoreError;
use crate::statistics::{
    AgentCounts, MinuteStatistics, Saved, StatisticsStore, StatisticsUpdate, TaskCounts, TypeCounts, figures,
    sum_changes,
};

/// For so long the thread that writes waits at most until a count has begun to read.
const SNAPSHOT: Duration = Duration::from_secs(1);

#[async_trait]
impl StatisticsStore for SqliteStore {
    async fn save_statistics(&self, update: Arc<StatisticsUpdate>) -> Result<Saved, StoreError> {
        let Ok(counted) = self.counting.counted.try_lock() else { return Ok(Saved::Busy) };
        let counted_until = *counted;
        self.writer.run(move |connection| Ok(save(connection, &update, counted_until)?)).await?;
        drop(counted);
        Ok(Saved::Done)
    }

    async fn recount_tasks(&self) -> Result<Saved, StoreError> {
        let Ok(mut counted) = self.counting.counted.try_lock() else { return Ok(Saved::Busy) };
        let commits = self.counting.commits();
        *counted = if self.file().is_none() {
            let recount = move |connection: &mut Connection| {
                let counts = count(connection)?;
                set(connection, &counts)?;
                Ok(commits.load(Ordering::SeqCst))
            };
            self.writer.run(recount).await?
        } else {
            let (until, counts) = self.count_beside_writes(commits).await?;
            self.writer.run(move |connection| Ok(set(connection, &counts)?)).await?;
            until
        };
        Ok(Saved::Done)
    }

    async fn statistics(&self, since: Timestamp) -> Result<Vec<MinuteStatistics>, StoreError> {
        self.read_large(move |connection| Ok(minutes(connection, since)?)).await
    }

    async fn task_counts(&self) -> Result<Option<TaskCounts>, StoreError> {
        self.readers.run(|connection| Ok(total(connection)?)).await
    }

    async fn counts_by_type(
        &self,
        limit: u32,
        after: Option<Capability>,
    ) -> Result<Vec<TypeCounts>, StoreError> {
        self.readers.run(move |connection| Ok(by_type(connection, limit, after.as_ref())?)).await
    }

    async fn counts_of_types(&self, types: Arc<[Capability]>) -> Result<Vec<TypeCounts>, StoreError> {
        self.readers.run(move |connection| Ok(of_types(connection, &types)?)).await
    }

    async fn purge_statistics(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.writer.run(move |connection| Ok(purge(connection, before, limit)?)).await
    }

    async fn count_agents(&self, seen_since: Timestamp, limit: u32) -> Result<AgentCounts, StoreError> {
        self.read_large(move |connection| Ok(agents(connection, seen_since, limit)?)).await
    }
}

impl SqliteStore {
    /// Counts tasks while others write, and returns which commit was the last that the count has seen.
    async fn count_beside_writes(
        &self,
        commits: Arc<AtomicU64>,
    ) -> Result<(u64, Vec<TypeCounts>), StoreError> {
        let (ready, is_ready) = oneshot::channel();
        let (stopped, has_stopped) = crossbeam_channel::bounded::<u64>(1);
        let (begun, has_begun) = crossbeam_channel::bounded::<()>(1);
        let gone = || StoreError::Unavailable(anyhow::anyhow!("the other connection is gone"));
        let counting = self.read_large(move |connection| {
            // Nobody may be waiting any more, which the next line finds out.
            let _ = ready.send(());
            let until = has_stopped.recv().map_err(|_| gone())?;
            let transaction = connection.transaction()?;
            // The first read decides what is seen.
            total(&transaction)?;
            drop(begun);
            Ok((until, count(&transaction)?))
        });
        let stopping = async move {
            is_ready.await.map_err(|_| gone())?;
            let stop = move |_: &mut Connection| {
                // Nothing is committed between the two.
                stopped.send(commits.load(Ordering::SeqCst)).map_err(|_| gone())?;
                match has_begun.recv_timeout(SNAPSHOT) {
                    Err(crossbeam_channel::RecvTimeoutError::Timeout) => Err(gone()),
                    _ => Ok(()),
                }
            };
            self.writer.run(stop).await
        };
        let (counted, ()) = tokio::try_join!(counting, stopping)?;
        Ok(counted)
    }
}

fn save(connection: &mut Connection, update: &StatisticsUpdate, counted_until: u64) -> rusqlite::Result<()> {
    let (changed, total) = sum_changes(update, |commit| commit <= counted_until);
    let transaction = WriteTransaction::begin(connection)?;
    let connection = transaction.connection;
    let mut add = connection.prepare_cached(
        "insert into task_count (type, version, delayed, pending, claimed) values (?1, ?2, ?3, ?4, ?5)
         on conflict (type, version) do update set delayed = delayed + excluded.delayed,
             pending = pending + excluded.pending, claimed = claimed + excluded.claimed",
    )?;
    let mut drop_zeros = connection.prepare_cached(
        "delete from task_count
         where type = ?1 and version = ?2 and delayed = 0 and pending = 0 and claimed = 0",
    )?;
    for (Capability { task_type, version }, TaskCounts { delayed, pending, claimed }) in &changed {
        add.execute(params![task_type, version, delayed, pending, claimed])?;
        drop_zeros.execute(params![task_type, version])?;
    }
    if !total.is_zero() {
        connection
            .prepare_cached(
                "update task_total set delayed = delayed + ?1, pending = pending + ?2, claimed = claimed + ?3",
            )?
            .execute([total.delayed, total.pending, total.claimed])?;
    }
    let mut put = connection.prepare_cached(
        "insert into minute_statistics (minute, instance, figures) values (?1, ?2, ?3)
         on conflict (minute, instance) do update set figures = excluded.figures",
    )?;
    for minute in &update.minutes {
        let text = figures::to_text(minute);
        put.execute(params![minute.minute.as_microsecond(), update.instance.as_bytes(), text])?;
    }
    drop((add, drop_zeros, put));
    transaction.commit()
}

/// Counts tasks, each state through an index of its own.
fn count(connection: &Connection) -> rusqlite::Result<Vec<TypeCounts>> {
    connection
        .prepare(
            "select type, version, sum(delayed) as delayed, sum(pending) as pending, sum(claimed) as claimed
             from (
                 select type, version, 0 as delayed, count(*) as pending, 0 as claimed
                 from task indexed by task_waiting where state = 'pending' group by type, version
                 union all
                 select type, version, 0, 0, count(*)
                 from task indexed by task_held where state = 'claimed' group by type, version
                 union all
                 select type, version, count(*), 0, 0
                 from task indexed by task_due where due_at is not null and state = 'delayed'
                 group by type, version
             )
             group by type, version",
        )?
        .query_map([], type_counts)?
        .collect()
}

/// Sets the kept counts.
fn set(connection: &mut Connection, counts: &[TypeCounts]) -> rusqlite::Result<()> {
    let transaction = WriteTransaction::begin(connection)?;
    let connection = transaction.connection;
    connection.execute_batch("delete from task_count")?;
    let mut insert = connection.prepare(
        "insert into task_count (type, version, delayed, pending, claimed) values (?1, ?2, ?3, ?4, ?5)",
    )?;
    let mut total = TaskCounts::default();
    for TypeCounts { capability: Capability { task_type, version }, counts } in counts {
        total.add(*counts);
        insert.execute(params![task_type, version, counts.delayed, counts.pending, counts.claimed])?;
    }
    connection.execute(
        "update task_total set delayed = ?1, pending = ?2, claimed = ?3, is_counted = 1",
        [total.delayed, total.pending, total.claimed],
    )?;
    drop(insert);
    transaction.commit()
}

fn minutes(connection: &Connection, since: Timestamp) -> rusqlite::Result<Vec<MinuteStatistics>> {
    let mut select = connection
        .prepare_cached("select minute, figures from minute_statistics where minute >= ?1 order by minute")?;
    let mut rows = select.query([since.as_microsecond()])?;
    let mut found: BTreeMap<Timestamp, BTreeMap<_, _>> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let types = found.entry(time(row, "minute")?).or_default();
        let text: String = row.get("figures")?;
        figures::add_text(&text, types).map_err(|error| unreadable(format!("figures: {error}")))?;
    }
    let minute = |(minute, types): (_, BTreeMap<_, _>)| MinuteStatistics {
        minute,
        types: types.into_iter().collect(),
    };
    Ok(found.into_iter().map(minute).collect())
}

fn total(connection: &Connection) -> rusqlite::Result<Option<TaskCounts>> {
    connection
        .prepare_cached("select delayed, pending, claimed from task_total where is_counted = 1")?
        .query_row([], |row| {
            let counts = TaskCounts { delayed: row.get(0)?, pending: row.get(1)?, claimed: row.get(2)? };
            Ok(counts.shown())
        })
        .optional()
}

fn by_type(
    connection: &Connection,
    limit: u32,
    after: Option<&Capability>,
) -> rusqlite::Result<Vec<TypeCounts>> {
    match after {
        None => connection
            .prepare_cached("select * from task_count order by type, version limit ?1")?
            .query_map([limit], type_counts)?
            .collect(),
        Some(Capability { task_type, version }) => connection
            .prepare_cached(
                "select * from task_count where (type, version) > (?1, ?2) order by type, version limit ?3",
            )?
            .query_map(params![task_type, version, limit], type_counts)?
            .collect(),
    }
}

fn of_types(connection: &Connection, types: &[Capability]) -> rusqlite::Result<Vec<TypeCounts>> {
    let mut select =
        connection.prepare_cached("select * from task_count where type = ?1 and version = ?2")?;
    let mut found = Vec::new();
    for Capability { task_type, version } in types {
        found.extend(select.query_row(params![task_type, version], type_counts).optional()?);
    }
    Ok(found)
}

fn type_counts(row: &Row<'_>) -> rusqlite::Result<TypeCounts> {
    Ok(TypeCounts {
        capability: Capability { task_type: row.get("type")?, version: row.get("version")? },
        counts: TaskCounts {
            delayed: row.get("delayed")?,
            pending: row.get("pending")?,
            claimed: row.get("claimed")?,
        }
        .shown(),
    })
}

fn purge(connection: &Connection, before: Timestamp, limit: u32) -> rusqlite::Result<u64> {
    let deleted = connection
        .prepare_cached(
            "delete from minute_statistics where (minute, instance) in (
                 select minute, instance from minute_statistics where minute < ?1 order by minute limit ?2
             )",
        )?
        .execute(params![before.as_microsecond(), limit])?;
    Ok(deleted as u64)
}

fn agents(connection: &Connection, seen_since: Timestamp, limit: u32) -> rusqlite::Result<AgentCounts> {
    let (all, paused, active): (u64, u64, u64) = connection
        .prepare_cached(
            "select count(*), count(*) filter (where is_paused),
                 count(*) filter (where not is_paused and last_seen >= ?1)
             from (
                 select last_seen, id in (select agent_id from pause where agent_id is not null) as is_paused
                 from agent limit ?2
             )",
        )?
        .query_row(params![seen_since.as_microsecond(), limit], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
    Ok(AgentCounts {
        active,
        lost: all - paused - active,
        paused,
        is_complete: all < u64::from(limit),
        counted_at: None,
    })
}
