//! Reads which kinds of tasks wait, and which agents have pending cancellations.

use slamon_domain::{KindCursor, QueueCursor, WaitingKind};
use tokio_postgres::Row;
use uuid::Uuid;

use super::errors::PgError;
use super::session::Session;
use super::stored_kind::StoredKind;
use crate::store::{BACKLOG_BYTES, Backlog, TYPE_BEGINNING};

/// A query that goes from one kind to the next in the index of waiting tasks, and so reads kinds, not tasks.
/// Kinds whose types or filters have the same long beginning are one here: the index holds no more of them.
macro_rules! kinds {
    ($from:literal) => {
        concat!(
            "
            with recursive kind as (
                (
                    select type, version, agent_filter, -priority as rank, seq,
                        octet_length(type)::bigint + octet_length(agent_filter) as bytes
                    from task
                    where state = 'pending' ",
            $from,
            "
                    order by left(type, 100), version, left(agent_filter, 100), -priority, seq
                    limit 1
                )
                union all
                select next.type, next.version, next.agent_filter, next.rank, next.seq,
                    kind.bytes + octet_length(next.type) + octet_length(next.agent_filter)
                from kind
                cross join lateral (
                    select type, version, agent_filter, -priority as rank, seq
                    from task
                    where state = 'pending'
                        and (left(type, 100), version, left(agent_filter, 100))
                            > (left(kind.type, 100), kind.version, left(kind.agent_filter, 100))
                    order by left(type, 100), version, left(agent_filter, 100), -priority, seq
                    limit 1
                ) as next
                -- The one with which they are too much is the last.
                where kind.bytes <= $2
            )
            select type, version, agent_filter, rank, seq, bytes from kind limit $1"
        )
    };
}

const KINDS: &str = kinds!("");

const KINDS_AFTER: &str = kinds!(
    "and (left(type, 100), version, left(agent_filter, 100)) > (left($3, 100), $4::bigint, left($5, 100))"
);

/// A query for the first waiting task of each kind, from its cursor on.
const FRONTS: &str = "
    select known.place, task.rank, task.seq
    from unnest($1::text[], $2::bigint[], $3::text[], $4::integer[], $5::bigint[])
        with ordinality as known (type, version, filter, rank, seq, place)
    cross join lateral (
        select -task.priority as rank, task.seq
        from task
        where task.state = 'pending'
            and left(task.type, 100) = left(known.type, 100)
            and task.type = known.type
            and task.version = known.version
            and left(task.agent_filter, 100) = left(known.filter, 100)
            and task.agent_filter = known.filter
            and (-task.priority, task.seq) >= (known.rank, known.seq)
        order by -task.priority, task.seq
        limit 1
    ) as task
";

/// A query for the agents that have pending cancellations. They have few, and each is told once.
const PENDING_CANCELLATIONS: &str = "select distinct agent_id from attempt where untold limit $1";

pub(super) async fn read(
    session: &Session,
    after: Option<&WaitingKind>,
    limit: u32,
) -> Result<Backlog, PgError> {
    let (most, most_bytes) = (i64::from(limit), i64::from(BACKLOG_BYTES));
    let rows = match after.map(StoredKind::of) {
        None => session.query(KINDS, &[&most, &most_bytes]).await?,
        Some(StoredKind { task_type, version, filter }) => {
            session.query(KINDS_AFTER, &[&most, &most_bytes, &task_type, &version, &filter]).await?
        }
    };
    let (mut kinds, mut left_out, mut bytes) = (Vec::with_capacity(rows.len()), Vec::new(), 0);
    for row in &rows {
        let kind = kind(row)?;
        bytes = row.try_get("bytes")?;
        let is_whole = is_whole(&kind);
        let kind = kind.into_waiting()?;
        if !is_whole {
            left_out.push(kind.capability.clone());
        }
        kinds.push(KindCursor { kind, cursor: cursor(row)? });
    }
    let is_last = kinds.len() < limit as usize && bytes <= most_bytes;
    let next = kinds.last().filter(|_| !is_last).map(|last| last.kind.clone());
    let pending_cancellations = read_pending_cancellations(session, limit).await?;
    let is_complete = pending_cancellations.len() < limit as usize;
    Ok(Backlog { kinds, pending_cancellations, left_out, next, is_complete })
}

/// Reads which of the kinds of `known` have waiting tasks, and where the first task of each is.
pub(super) async fn read_of(session: &Session, known: &[KindCursor], limit: u32) -> Result<Backlog, PgError> {
    let mut kinds = Vec::new();
    if !known.is_empty() {
        let asked: Vec<StoredKind> = known.iter().map(|known| StoredKind::of(&known.kind)).collect();
        let types: Vec<&str> = asked.iter().map(|kind| kind.task_type.as_str()).collect();
        let versions: Vec<i64> = asked.iter().map(|kind| kind.version).collect();
        let filters: Vec<&str> = asked.iter().map(|kind| kind.filter.as_str()).collect();
        let (ranks, seqs): (Vec<i32>, Vec<i64>) =
            known.iter().map(|known| (known.cursor.rank, known.cursor.seq)).unzip();
        let rows = session.query(FRONTS, &[&types, &versions, &filters, &ranks, &seqs]).await?;
        for row in &rows {
            let at = usize::try_from(row.try_get::<_, i64>("place")? - 1).unwrap_or(usize::MAX);
            let Some(known) = known.get(at) else { continue };
            kinds.push(KindCursor { kind: known.kind.clone(), cursor: cursor(row)? });
        }
    }
    let pending_cancellations = read_pending_cancellations(session, limit).await?;
    let is_complete = pending_cancellations.len() < limit as usize;
    Ok(Backlog { kinds, pending_cancellations, is_complete, ..Backlog::default() })
}

async fn read_pending_cancellations(session: &Session, limit: u32) -> Result<Vec<Uuid>, PgError> {
    let pending_cancellations = session.query(PENDING_CANCELLATIONS, &[&i64::from(limit)]).await?;
    pending_cancellations.iter().map(|row| Ok(row.try_get("agent_id")?)).collect()
}

/// Whether the index holds the whole type and filter of a kind.
fn is_whole(kind: &StoredKind) -> bool {
    [&kind.task_type, &kind.filter].into_iter().all(|text| text.chars().count() < TYPE_BEGINNING)
}

fn kind(row: &Row) -> Result<StoredKind, PgError> {
    Ok(StoredKind {
        task_type: row.try_get("type")?,
        version: row.try_get("version")?,
        filter: row.try_get("agent_filter")?,
    })
}

fn cursor(row: &Row) -> Result<QueueCursor, PgError> {
    Ok(QueueCursor { rank: row.try_get("rank")?, seq: row.try_get("seq")? })
}
