//! Statistics in PostgreSQL.
//!
//! Several AFMs add up what changes, each once a second, while tasks may be counted anew. A count keeps the snapshot
//! that it has read, and who saves a change leaves it out if its transaction was visible in that snapshot. So no
//! change counts twice or is missed, however long it stayed in the memory of its AFM. What a crash has kept from
//! being saved, the next count finds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use slamon_protocol::Capability;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::errors::PgError;
use super::rows;
use super::session::Session;
use super::store::PostgresStore;
use crate::error::StoreError;
use crate::statistics::{
    AgentCounts, MinuteStatistics, Saved, StatisticsStore, StatisticsUpdate, TaskCounts, TypeCounts, figures,
    sum_changes,
};

/// How long counting tasks may take.
const COUNT_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// A connection for it must be there in this time, or it takes one of the pool.
const CONNECT: Duration = Duration::from_secs(5);

/// Whoever is about to count or to save has the lock; nobody waits for it.
const LOCK: &str = "select snapshot from task_total for update skip locked";

/// Adds changes; rows are locked in one order because only one session does this at a time.
const ADD: &str = "
    insert into task_count (type, version, delayed, pending, claimed)
    select * from unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
    on conflict (left(type, 100), md5(type), version) do update
    set delayed = task_count.delayed + excluded.delayed, pending = task_count.pending + excluded.pending,
        claimed = task_count.claimed + excluded.claimed
";

const DROP_ZEROS: &str = "
    delete from task_count using unnest($1::text[], $2::bigint[]) as changed (type, version)
    where left(task_count.type, 100) = left(changed.type, 100)
        and md5(task_count.type) = md5(changed.type) and task_count.version = changed.version
        and task_count.delayed = 0 and task_count.pending = 0 and task_count.claimed = 0
";

const ADD_TOTAL: &str = "
    update task_total set delayed = delayed + $1, pending = pending + $2, claimed = claimed + $3
";

const PUT_MINUTES: &str = "
    insert into minute_statistics (minute, instance, figures)
    select minute, $1::uuid, figures from unnest($2::timestamptz[], $3::text[]) as put (minute, figures)
    on conflict (minute, instance) do update set figures = excluded.figures
";

/// Counts tasks, each state through an index of its own, and writes only what differs. All of it reads one
/// snapshot, which is kept.
const RECOUNT: &str = "
    with counted as materialized (
        select type, version, count(*) filter (where state = 'delayed') as delayed,
            count(*) filter (where state = 'pending') as pending,
            count(*) filter (where state = 'claimed') as claimed
        from (
            select type, version, 'pending' as state from task
            where claimed_at is null and available_at is null and finished_at is null
            union all
            select type, version, state from task where state = 'claimed'
            union all
            select type, version, state from task where due_at is not null and state = 'delayed'
        ) as present
        group by type, version
    ), gone as (
        delete from task_count where not exists (
            select from counted where counted.type = task_count.type and counted.version = task_count.version
        )
    ), put as (
        insert into task_count (type, version, delayed, pending, claimed)
        select type, version, delayed, pending, claimed from counted
        on conflict (left(type, 100), md5(type), version) do update
        set delayed = excluded.delayed, pending = excluded.pending, claimed = excluded.claimed
        where (task_count.delayed, task_count.pending, task_count.claimed)
            is distinct from (excluded.delayed, excluded.pending, excluded.claimed)
    )
    update task_total
    set delayed = total.delayed, pending = total.pending, claimed = total.claimed, is_counted = true,
        snapshot = pg_current_snapshot()::text
    from (
        select coalesce(sum(delayed), 0) as delayed, coalesce(sum(pending), 0) as pending,
            coalesce(sum(claimed), 0) as claimed
        from counted
    ) as total
";

#[async_trait]
impl StatisticsStore for PostgresStore {
    fn is_shared(&self) -> bool {
        true
    }

    async fn save_statistics(&self, update: Arc<StatisticsUpdate>) -> Result<Saved, StoreError> {
        let tries = AtomicU32::new(0);
        let begin = self.database().fitness.begin();
        let saved = self
            .database()
            .call(|session| {
                let update = Arc::clone(&update);
                tries.fetch_add(1, Ordering::Relaxed);
                Box::pin(async move { save(session, begin, &update).await })
            })
            .await?;
        // A connection that is lost during a commit does not tell whether it was committed.
        Ok(if saved == Saved::Done && tries.into_inner() > 1 { Saved::Unsure } else { saved })
    }

    async fn recount_tasks(&self) -> Result<Saved, StoreError> {
        let database = self.database();
        // On a connection of its own, since the pool may have one only, and changes must not wait for this.
        let opened = tokio::time::timeout(CONNECT, database.connector.open(None)).await;
        if let Ok(Ok((client, _))) = opened {
            let _call = database.begin_call().await;
            let counted = tokio::time::timeout(COUNT_TIMEOUT, recount(&client)).await;
            return match counted.unwrap_or(Err(PgError::Timeout)) {
                Ok(saved) => Ok(saved),
                Err(problem) => Err(database.explain(problem).await),
            };
        }
        let count = async |session: &Session| recount(session.connection()?).await;
        database.call_within(COUNT_TIMEOUT, |session| Box::pin(count(session))).await
    }

    async fn statistics(&self, since: Timestamp) -> Result<Vec<MinuteStatistics>, StoreError> {
        self.database().read_large(|session| Box::pin(minutes(session, since))).await
    }

    async fn task_counts(&self) -> Result<Option<TaskCounts>, StoreError> {
        self.database().call(|session| Box::pin(total(session))).await
    }

    async fn counts_by_type(
        &self,
        limit: u32,
        after: Option<Capability>,
    ) -> Result<Vec<TypeCounts>, StoreError> {
        self.database()
            .call(|session| {
                let after = after.clone();
                Box::pin(async move { by_type(session, limit, after.as_ref()).await })
            })
            .await
    }

    async fn counts_of_types(&self, types: Arc<[Capability]>) -> Result<Vec<TypeCounts>, StoreError> {
        self.database()
            .call(|session| {
                let types = Arc::clone(&types);
                Box::pin(async move { of_types(session, &types).await })
            })
            .await
    }

    async fn purge_statistics(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.database().call(|session| Box::pin(purge(session, before, limit))).await
    }

    async fn count_agents(&self, seen_since: Timestamp, limit: u32) -> Result<AgentCounts, StoreError> {
        self.database().read_large(|session| Box::pin(agents(session, seen_since, limit))).await
    }
}

/// The transactions that a snapshot has seen.
struct Snapshot {
    /// Transactions from this one on are not seen.
    end: u64,
    /// Transactions before it that were under way.
    under_way: Vec<u64>,
}

impl Snapshot {
    /// Reads `xmin:xmax:xip,…`; one that cannot be read has seen nothing.
    fn parse(text: &str) -> Self {
        let mut parts = text.split(':').skip(1);
        let end = parts.next().and_then(|end| end.parse().ok()).unwrap_or(0);
        let under_way = parts.next().unwrap_or_default().split(',').filter_map(|id| id.parse().ok());
        Self { end, under_way: under_way.collect() }
    }

    fn sees(&self, transaction: u64) -> bool {
        transaction < self.end && !self.under_way.contains(&transaction)
    }
}

/// Takes the lock in an open transaction; `None` if somebody else has it.
async fn lock(session: &Session) -> Result<Option<Option<String>>, PgError> {
    let rows = session.query(LOCK, &[]).await?;
    Ok(rows.first().map(|row| row.try_get("snapshot")).transpose()?)
}

async fn save(session: &Session, begin: &str, update: &StatisticsUpdate) -> Result<Saved, PgError> {
    session.script(begin).await?;
    let Some(snapshot) = lock(session).await? else {
        session.script("rollback").await?;
        return Ok(Saved::Busy);
    };
    let snapshot = snapshot.as_deref().map(Snapshot::parse);
    let is_counted = |commit| snapshot.as_ref().is_some_and(|snapshot| snapshot.sees(commit));
    let (changed, total) = sum_changes(update, is_counted);
    if !changed.is_empty() {
        let types: Vec<&str> = changed.iter().map(|(capability, _)| &*capability.task_type).collect();
        let versions: Vec<i64> = changed.iter().map(|(capability, _)| capability.version).collect();
        let [delayed, pending, claimed] = [
            |counts: &TaskCounts| counts.delayed,
            |counts: &TaskCounts| counts.pending,
            |counts: &TaskCounts| counts.claimed,
        ]
        .map(|of| changed.iter().map(|(_, counts)| of(counts)).collect::<Vec<i64>>());
        session.query(ADD, &[&types, &versions, &delayed, &pending, &claimed]).await?;
        session.query(DROP_ZEROS, &[&types, &versions]).await?;
    }
    if !total.is_zero() {
        session.query(ADD_TOTAL, &[&total.delayed, &total.pending, &total.claimed]).await?;
    }
    if !update.minutes.is_empty() {
        let minutes: Vec<Timestamp> =
            update.minutes.iter().map(|minute| rows::as_stored(minute.minute)).collect();
        let texts: Vec<String> = update.minutes.iter().map(figures::to_text).collect();
        session.query(PUT_MINUTES, &[&update.instance, &minutes, &texts]).await?;
    }
    session.script("commit").await?;
    Ok(Saved::Done)
}

async fn recount(client: &Client) -> Result<Saved, PgError> {
    client
        .batch_execute(
            "begin isolation level read committed read write; set local statement_timeout = 0; \
             set local enable_hashjoin = on",
        )
        .await?;
    if client.query(LOCK, &[]).await?.is_empty() {
        client.batch_execute("rollback").await?;
        return Ok(Saved::Busy);
    }
    client.batch_execute(RECOUNT).await?;
    client.batch_execute("commit").await?;
    Ok(Saved::Done)
}

async fn minutes(session: &Session, since: Timestamp) -> Result<Vec<MinuteStatistics>, PgError> {
    let sql = "select minute, figures from minute_statistics where minute >= $1 order by minute";
    let mut found: BTreeMap<Timestamp, BTreeMap<_, _>> = BTreeMap::new();
    for row in session.query(sql, &[&rows::as_stored(since)]).await? {
        let types = found.entry(row.try_get("minute")?).or_default();
        figures::add_text(row.try_get("figures")?, types)
            .map_err(|error| PgError::Unexpected(format!("minute_statistics.figures: {error}")))?;
    }
    let minute = |(minute, types): (_, BTreeMap<_, _>)| MinuteStatistics {
        minute,
        types: types.into_iter().collect(),
    };
    Ok(found.into_iter().map(minute).collect())
}

async fn total(session: &Session) -> Result<Option<TaskCounts>, PgError> {
    let rows =
        session.query("select delayed, pending, claimed from task_total where is_counted", &[]).await?;
    rows.first().map(|row| Ok(task_counts(row)?.shown())).transpose()
}

async fn by_type(
    session: &Session,
    limit: u32,
    after: Option<&Capability>,
) -> Result<Vec<TypeCounts>, PgError> {
    let limit = i64::from(limit);
    let rows = match after {
        None => {
            let sql = "select * from task_count
                 order by left(type, 100), md5(type), version limit $1";
            session.query(sql, &[&limit]).await?
        }
        Some(Capability { task_type, version }) => {
            let sql = "select * from task_count
                 where (left(type, 100), md5(type), version)
                     > (left($2::text, 100), md5($2::text), $3::bigint)
                 order by left(type, 100), md5(type), version limit $1";
            session.query(sql, &[&limit, task_type, version]).await?
        }
    };
    rows.iter().map(type_counts).collect()
}

async fn of_types(session: &Session, types: &[Capability]) -> Result<Vec<TypeCounts>, PgError> {
    let names: Vec<&str> = types.iter().map(|capability| &*capability.task_type).collect();
    let versions: Vec<i64> = types.iter().map(|capability| capability.version).collect();
    let sql = "
        select task_count.* from unnest($1::text[], $2::bigint[]) as wanted (type, version)
        join task_count on left(task_count.type, 100) = left(wanted.type, 100)
            and md5(task_count.type) = md5(wanted.type) and task_count.version = wanted.version
    ";
    session.query(sql, &[&names, &versions]).await?.iter().map(type_counts).collect()
}

fn type_counts(row: &Row) -> Result<TypeCounts, PgError> {
    let capability = Capability { task_type: row.try_get("type")?, version: row.try_get("version")? };
    Ok(TypeCounts { capability, counts: task_counts(row)?.shown() })
}

fn task_counts(row: &Row) -> Result<TaskCounts, PgError> {
    Ok(TaskCounts {
        delayed: row.try_get("delayed")?,
        pending: row.try_get("pending")?,
        claimed: row.try_get("claimed")?,
    })
}

async fn purge(session: &Session, before: Timestamp, limit: u32) -> Result<u64, PgError> {
    // Rows that another AFM is about to delete are passed over.
    let sql = "
        with old as (
            select minute, instance from minute_statistics where minute < $1
            order by minute limit $2 for update skip locked
        )
        delete from minute_statistics using old
        where minute_statistics.minute = old.minute and minute_statistics.instance = old.instance
        returning minute_statistics.instance
    ";
    let deleted = session.query(sql, &[&rows::as_stored(before), &i64::from(limit)]).await?;
    let ids = deleted.iter().map(|row| row.try_get::<_, Uuid>(0)).collect::<Result<Vec<_>, _>>()?;
    Ok(ids.len() as u64)
}

async fn agents(session: &Session, seen_since: Timestamp, limit: u32) -> Result<AgentCounts, PgError> {
    let sql = "
        select count(*) as total, count(*) filter (where is_paused) as paused,
            count(*) filter (where not is_paused and last_seen >= $1) as active
        from (
            select last_seen, id = any(array(select agent_id from pause where agent_id is not null)) as is_paused
            from agent limit $2
        ) as known
    ";
    let rows = session.query(sql, &[&rows::as_stored(seen_since), &i64::from(limit)]).await?;
    let row =
        rows.first().ok_or_else(|| PgError::Unexpected("a query that counts returned no row".to_owned()))?;
    let count = |column| Ok::<_, PgError>(row.try_get::<_, i64>(column)?);
    let (all, paused, active) = (count("total")?, count("paused")?, count("active")?);
    Ok(AgentCounts {
        active: active.unsigned_abs(),
        lost: (all - paused - active).unsigned_abs(),
        paused: paused.unsigned_abs(),
        is_complete: all < i64::from(limit),
        counted_at: None,
    })
}

#[cfg(test)]
mod tests {
    use super::Snapshot;

    #[test]
    fn a_snapshot_sees_what_had_been_committed() {
        let snapshot = Snapshot::parse("100:104:100,102");
        let seen: Vec<u64> = (98..107).filter(|id| snapshot.sees(*id)).collect();
        assert_eq!(seen, [98, 99, 101, 103]);
        assert!(Snapshot::parse("7:7:").sees(6) && !Snapshot::parse("7:7:").sees(7));
        assert!(!Snapshot::parse("odd").sees(1));
    }
}
