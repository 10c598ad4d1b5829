//! What there is for agents.

use tokio_postgres::Row;
use uuid::Uuid;

use super::connection::Session;
use super::errors::Problem;
use super::kinds::Kind;
use crate::store::BACKLOG_BYTES;
use crate::{Backlog, KindCursor, QueueCursor};

/// From one kind to the next in the index of waiting tasks, so that what is read are the kinds, not the tasks. Kinds
/// whose types or filters have a long beginning in common are one here: the index holds no more of them.
const KINDS: &str = "
    with recursive kind as (
        (
            select type, version, agent_filter, -priority as rank, seq,
                octet_length(type)::bigint + octet_length(agent_filter) as bytes
            from task
            where state = 'pending'
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
    select type, version, agent_filter, rank, seq from kind limit $1
";

/// The first waiting task of each kind, from its cursor on.
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

/// Agents have few attempts to be told of, and each is told once.
const UNTOLD: &str = "select distinct agent_id from attempt where untold limit $1";

/// The longest type and filter, in characters, that the index holds whole.
const WHOLE: usize = 100;

pub(super) async fn read(session: &Session, limit: u32) -> Result<Backlog, Problem> {
    let rows = session.query(KINDS, &[&i64::from(limit), &i64::from(BACKLOG_BYTES)]).await?;
    let found = rows.iter().map(|row| Ok((kind(row)?, cursor(row)?))).collect::<Result<Vec<_>, Problem>>()?;
    // Where they were too much, one of them is long.
    let is_all = found.len() < limit as usize && found.iter().all(|(kind, _)| is_whole(kind));
    let kinds = found.into_iter().map(|(kind, cursor)| Ok(KindCursor { kind: kind.into_waiting()?, cursor }));
    let kinds = kinds.collect::<Result<_, Problem>>()?;
    let untold = read_untold(session, limit).await?;
    let is_complete = is_all && untold.len() < limit as usize;
    Ok(Backlog { kinds, untold, is_complete })
}

/// Of those kinds of `known` of which tasks wait, where the first one does.
pub(super) async fn read_of(session: &Session, known: &[KindCursor], limit: u32) -> Result<Backlog, Problem> {
    let mut kinds = Vec::new();
    if !known.is_empty() {
        let asked: Vec<Kind> = known.iter().map(|known| Kind::of(&known.kind)).collect();
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
    let untold = read_untold(session, limit).await?;
    let is_complete = untold.len() < limit as usize;
    Ok(Backlog { kinds, untold, is_complete })
}

async fn read_untold(session: &Session, limit: u32) -> Result<Vec<Uuid>, Problem> {
    let untold = session.query(UNTOLD, &[&i64::from(limit)]).await?;
    untold.iter().map(|row| Ok(row.try_get("agent_id")?)).collect()
}

fn is_whole(kind: &Kind) -> bool {
    [&kind.task_type, &kind.filter].into_iter().all(|text| text.chars().count() < WHOLE)
}

fn kind(row: &Row) -> Result<Kind, Problem> {
    Ok(Kind {
        task_type: row.try_get("type")?,
        version: row.try_get("version")?,
        filter: row.try_get("agent_filter")?,
    })
}

fn cursor(row: &Row) -> Result<QueueCursor, Problem> {
    Ok(QueueCursor { rank: row.try_get("rank")?, seq: row.try_get("seq")? })
}
