//! What there is for agents.

use std::time::Duration;

use slamon_protocol::{AgentFilter, Capability};
use tokio::time::Instant;
use tokio_postgres::{Client, Row};

use super::connection::Session;
use super::errors::Problem;
use super::lines::{Kind, Lines, MOST_KINDS, Place};
use crate::store::BACKLOG_BYTES;
use crate::{Backlog, WaitingKind};

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

/// The first in each line, from where anybody may be in it.
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

/// How long after a look at all kinds the next one is due; and how much longer than that look took.
const LOOK_AGAIN: Duration = Duration::from_secs(15);
const SHARE_OF_LOOKING: u32 = 20;

pub(super) async fn read(session: &Session, lines: &Lines, limit: u32) -> Result<Backlog, Problem> {
    let limit_rows = i64::from(limit);
    let (kinds, all_kinds) = match lines.all() {
        Some(known) => (read_known(session, lines, known).await?, true),
        None => {
            let rows = session.query(KINDS, &[&limit_rows, &i64::from(BACKLOG_BYTES)]).await?;
            let kinds = rows.iter().map(kind).collect::<Result<Vec<_>, _>>()?;
            let is_all = is_all(&kinds, limit as usize);
            (kinds, is_all)
        }
    };
    let untold = session.query(UNTOLD, &[&limit_rows]).await?;
    let untold = untold.iter().map(|row| row.try_get("agent_id")).collect::<Result<Vec<_>, _>>()?;
    let is_complete = all_kinds && kinds.len() < limit as usize && untold.len() < limit as usize;
    let kinds = kinds.into_iter().take(limit as usize).map(|(kind, _)| waiting(kind));
    Ok(Backlog { kinds: kinds.collect::<Result<_, _>>()?, untold, is_complete })
}

/// Looks again where tasks may wait.
async fn read_known(
    session: &Session,
    lines: &Lines,
    known: Vec<(Kind, Place)>,
) -> Result<Vec<(Kind, Place)>, Problem> {
    if known.is_empty() {
        return Ok(Vec::new());
    }
    let look = lines.look();
    let types: Vec<&str> = known.iter().map(|(kind, _)| kind.task_type.as_str()).collect();
    let versions: Vec<i64> = known.iter().map(|(kind, _)| kind.version).collect();
    let filters: Vec<&str> = known.iter().map(|(kind, _)| kind.filter.as_str()).collect();
    let (ranks, seqs): (Vec<i32>, Vec<i64>) = known.iter().map(|(_, place)| (place.rank, place.seq)).unzip();
    let rows = session.query(FRONTS, &[&types, &versions, &filters, &ranks, &seqs]).await?;
    let mut found: Vec<Option<Place>> = vec![None; known.len()];
    for row in &rows {
        let at = usize::try_from(row.try_get::<_, i64>("place")? - 1).unwrap_or(usize::MAX);
        if let Some(found) = found.get_mut(at) {
            *found = Some(place(row)?);
        }
    }
    look.end(known.iter().map(|(kind, _)| kind).zip(found.iter().copied()));
    Ok(known.into_iter().zip(found).filter_map(|((kind, _), place)| Some((kind, place?))).collect())
}

/// Looks for all that waits, from the very start, again and again; returns when that cannot be done.
///
/// What AFMs do they tell each other. This is for what else may have been done to the table.
pub(super) async fn keep_looking(client: &Client, lines: &Lines) -> Problem {
    loop {
        let began = Instant::now();
        if let Err(problem) = look_for_all(client, lines).await {
            if problem.lost_connection() {
                return problem;
            }
            // Until it succeeds, all look for themselves.
            tracing::debug!(
                error = problem.describe(),
                "where the lines of waiting tasks begin is not known"
            );
        }
        let pause = tokio::time::sleep(LOOK_AGAIN.max(began.elapsed() * SHARE_OF_LOOKING));
        tokio::select! {
            () = pause => {}
            () = lines.forgotten() => {}
        }
    }
}

async fn look_for_all(client: &Client, lines: &Lines) -> Result<(), Problem> {
    let look = lines.look();
    let rows = client.query(KINDS, &[&i64::from(MOST_KINDS), &i64::from(BACKLOG_BYTES)]).await?;
    let kinds = rows.iter().map(kind).collect::<Result<Vec<_>, _>>()?;
    let is_all = is_all(&kinds, MOST_KINDS as usize);
    look.end_of_all(kinds.iter().map(|(kind, place)| (kind, *place)), is_all);
    Ok(())
}

fn is_all(kinds: &[(Kind, Place)], limit: usize) -> bool {
    let is_whole = |text: &str| text.chars().count() < WHOLE;
    // Where they were too much, one of them is long.
    kinds.len() < limit && kinds.iter().all(|(kind, _)| is_whole(&kind.task_type) && is_whole(&kind.filter))
}

fn kind(row: &Row) -> Result<(Kind, Place), Problem> {
    let kind = Kind {
        task_type: row.try_get("type")?,
        version: row.try_get("version")?,
        filter: row.try_get("agent_filter")?,
    };
    Ok((kind, place(row)?))
}

fn place(row: &Row) -> Result<Place, Problem> {
    Ok(Place { rank: row.try_get("rank")?, seq: row.try_get("seq")? })
}

fn waiting(kind: Kind) -> Result<WaitingKind, Problem> {
    let filter = AgentFilter::from_key(&kind.filter).map_err(|e| Problem::Wrong(e.to_string()))?;
    Ok(WaitingKind {
        capability: Capability { task_type: kind.task_type, version: kind.version },
        agent_filter: filter,
    })
}
