//! What there is for agents.

use slamon_protocol::{AgentFilter, Capability};
use tokio_postgres::Row;

use super::connection::Session;
use super::errors::Problem;
use crate::{Backlog, WaitingKind};

/// From one kind to the next in the index of waiting tasks, so that what is read are the kinds, not the tasks. Kinds
/// whose types or filters have a long beginning in common are one here: the index holds no more of them.
const KINDS: &str = "
    with recursive kind as (
        (
            select type, version, agent_filter
            from task
            where state = 'pending'
            order by left(type, 100), version, left(agent_filter, 100)
            limit 1
        )
        union all
        select next.type, next.version, next.agent_filter
        from kind
        cross join lateral (
            select type, version, agent_filter
            from task
            where state = 'pending'
                and (left(type, 100), version, left(agent_filter, 100))
                    > (left(kind.type, 100), kind.version, left(kind.agent_filter, 100))
            order by left(type, 100), version, left(agent_filter, 100)
            limit 1
        ) as next
    )
    select type, version, agent_filter from kind limit $1
";

/// Agents have few attempts to be told of, and each is told once.
const UNTOLD: &str = "select distinct agent_id from attempt where untold limit $1";

/// The longest type and filter, in characters, that the index holds whole.
const WHOLE: usize = 100;

pub(super) async fn read(session: &Session, limit: u32) -> Result<Backlog, Problem> {
    let limit_rows = i64::from(limit);
    let kinds =
        session.query(KINDS, &[&limit_rows]).await?.iter().map(kind).collect::<Result<Vec<_>, _>>()?;
    let untold = session.query(UNTOLD, &[&limit_rows]).await?;
    let untold = untold.iter().map(|row| row.try_get("agent_id")).collect::<Result<Vec<_>, _>>()?;
    let is_complete = kinds.len() < limit as usize
        && untold.len() < limit as usize
        && kinds.iter().all(|kind| {
            kind.capability.task_type.chars().count() < WHOLE
                && kind.agent_filter.key().chars().count() < WHOLE
        });
    Ok(Backlog { kinds, untold, is_complete })
}

fn kind(row: &Row) -> Result<WaitingKind, Problem> {
    let filter = AgentFilter::from_key(row.try_get("agent_filter")?);
    Ok(WaitingKind {
        capability: Capability { task_type: row.try_get("type")?, version: row.try_get("version")? },
        agent_filter: filter.map_err(|e| Problem::Wrong(e.to_string()))?,
    })
}
