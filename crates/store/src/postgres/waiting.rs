//! Reads the first waiting task of each kind.

use jiff::Timestamp;
use slamon_protocol::Capability;
use tokio_postgres::Row;

use super::errors::PgError;
use super::rows;
use super::session::Session;
use crate::waiting::{AGENTS_LOOKED_AT, WaitingHead, WaitingPart};

/// Goes from one kind and priority to the next in the index of waiting tasks, and so reads those, not tasks.
macro_rules! heads {
    ($from:literal) => {
        concat!(
            "with recursive head as (
                (
                    select type, version, agent_filter, priority, id, created_at from task
                    where state = 'pending' ",
            $from,
            "
                    order by left(type, 100), version, left(agent_filter, 100), -priority, seq
                    limit 1
                )
                union all
                select next.* from head
                cross join lateral (
                    select type, version, agent_filter, priority, id, created_at from task
                    where state = 'pending'
                        and (left(type, 100), version, left(agent_filter, 100), -priority)
                            > (left(head.type, 100), head.version, left(head.agent_filter, 100), -head.priority)
                    order by left(type, 100), version, left(agent_filter, 100), -priority, seq
                    limit 1
                ) as next
            ), read as materialized (
                select * from head limit $1
            )
            select type, version, agent_filter, priority, id, created_at,
                case
                    when agent_filter like '%\"agent_id\":\"%' then exists (
                        select from agent
                        where agent.id = (agent_filter::json ->> 'agent_id')::uuid and last_seen >= $2
                    )
                    else exists (
                        select from (
                            select agent_id from agent_offer
                            where left(agent_offer.type, 100) = left(read.type, 100)
                                and agent_offer.type = read.type and agent_offer.version = read.version
                            limit $3
                        ) as offer
                        join agent on agent.id = offer.agent_id
                        where agent.last_seen >= $2
                    )
                end as is_served
            from read"
        )
    };
}

const HEADS: &str = heads!("");
const HEADS_AFTER: &str = heads!(
    "and (left(type, 100), version, left(agent_filter, 100), -priority)
         > (left($4, 100), $5::bigint, left($6, 100), -$7::integer)"
);

pub(super) async fn heads(
    session: &Session,
    after: Option<&WaitingHead>,
    seen_since: Timestamp,
    limit: u32,
) -> Result<WaitingPart, PgError> {
    let (most, since, agents) = (i64::from(limit), rows::as_stored(seen_since), i64::from(AGENTS_LOOKED_AT));
    let rows = match after {
        None => session.query(HEADS, &[&most, &since, &agents]).await?,
        Some(WaitingHead { capability, agent_filter, priority, .. }) => {
            let Capability { task_type, version } = capability;
            session
                .query(HEADS_AFTER, &[&most, &since, &agents, task_type, version, agent_filter, priority])
                .await?
        }
    };
    let heads = rows.iter().map(head).collect::<Result<_, _>>()?;
    Ok(WaitingPart::of(heads, limit))
}

fn head(row: &Row) -> Result<WaitingHead, PgError> {
    Ok(WaitingHead {
        capability: Capability { task_type: row.try_get("type")?, version: row.try_get("version")? },
        agent_filter: row.try_get("agent_filter")?,
        priority: row.try_get("priority")?,
        task_id: row.try_get("id")?,
        created: row.try_get("created_at")?,
        is_served: row.try_get("is_served")?,
    })
}

#[cfg(test)]
mod tests {
    use slamon_testbed::PgCluster;

    use super::*;
    use crate::postgres::plans::{make_tables, plan};

    #[tokio::test]
    async fn kinds_are_read_and_not_tasks() {
        let database = PgCluster::shared().create_database();
        make_tables(&database).await;
        for (statement, parameters) in [(HEADS, 3), (HEADS_AFTER, 7)] {
            let plan = plan(&database, "", statement, parameters);
            assert_eq!(plan.matches("Index Scan using task_waiting on task").count(), 2, "{plan}");
            for other in ["Seq Scan on task", "Sort", "Bitmap"] {
                assert!(!plan.contains(other), "{plan}");
            }
        }
    }
}
