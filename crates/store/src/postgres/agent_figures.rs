//! How attempts ended by agent, and agents by place, in PostgreSQL.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use super::errors::PgError;
use super::rows;
use super::session::Session;
use super::store::PostgresStore;
use crate::agent_figures::{AgentFiguresStore, AgentOutcomes, Outcomes, PlaceCounts, PlacesPart};
use crate::error::StoreError;

/// Nobody else writes these rows.
const SAVE: &str = "
    insert into agent_outcome (period, agent_id, instance, completed, failed)
    select period, agent_id, $1::uuid, completed, failed
    from unnest($2::timestamptz[], $3::uuid[], $4::bigint[], $5::bigint[])
        as saved (period, agent_id, completed, failed)
    order by period, agent_id
    on conflict (period, agent_id, instance) do update
    set completed = excluded.completed, failed = excluded.failed
";

/// Looks each agent up in each period, as the primary key is ordered; one step for each period, and not one for
/// each row.
const READ: &str = "
    with recursive known (period) as (
        (select min(period) from agent_outcome where period >= $2)
        union all
        select (select min(period) from agent_outcome where period > known.period)
        from known where period is not null
    )
    select its.period, its.agent_id, its.instance, its.completed, its.failed
    from known cross join unnest($1::uuid[]) as wanted (agent_id)
    cross join lateral (
        select * from agent_outcome
        where agent_outcome.period = known.period and agent_outcome.agent_id = wanted.agent_id
        -- So that no plan reads what all agents have.
        limit 1000
    ) as its
    where known.period is not null
";

/// Rows that another AFM is about to delete are passed over.
const PURGE: &str = "
    with old as (
        select period, agent_id, instance from agent_outcome where period < $1
        order by period, agent_id, instance limit $2 for update skip locked
    )
    delete from agent_outcome using old
    where agent_outcome.period = old.period and agent_outcome.agent_id = old.agent_id
        and agent_outcome.instance = old.instance
    returning agent_outcome.instance
";

const PLACES: &str = "
    select country, region, (max(id::text))::uuid as last, count(*) as known,
        count(*) filter (where is_paused) as paused,
        count(*) filter (where not is_paused and last_seen >= $1) as active
    from (
        select id, last_seen, location::json ->> 'country' as country, location::json ->> 'region' as region,
            id = any(array(select agent_id from pause where agent_id is not null)) as is_paused
        from agent where id >= $2 order by id limit $3
    ) as known
    group by country, region
";

#[async_trait]
impl AgentFiguresStore for PostgresStore {
    async fn save_outcomes(&self, instance: Uuid, outcomes: Arc<[AgentOutcomes]>) -> Result<(), StoreError> {
        self.database()
            .call(|session| {
                let outcomes = Arc::clone(&outcomes);
                Box::pin(async move { save(session, instance, &outcomes).await })
            })
            .await
    }

    async fn outcomes_of(
        &self,
        agents: Arc<[Uuid]>,
        since: Timestamp,
    ) -> Result<Vec<(Uuid, AgentOutcomes)>, StoreError> {
        self.database()
            .call(|session| {
                let agents = Arc::clone(&agents);
                Box::pin(async move { read(session, &agents, since).await })
            })
            .await
    }

    async fn purge_outcomes(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.database()
            .call(|session| {
                Box::pin(async move {
                    let old = session.query(PURGE, &[&rows::as_stored(before), &i64::from(limit)]).await?;
                    Ok(old.len() as u64)
                })
            })
            .await
    }

    async fn count_places(
        &self,
        seen_since: Timestamp,
        after: Option<String>,
        limit: u32,
    ) -> Result<PlacesPart, StoreError> {
        let from = after.and_then(|after| after.parse::<Uuid>().ok()).unwrap_or_default();
        self.database().call(|session| Box::pin(places(session, seen_since, from, limit))).await
    }
}

async fn save(session: &Session, instance: Uuid, outcomes: &[AgentOutcomes]) -> Result<(), PgError> {
    let periods: Vec<Timestamp> = outcomes.iter().map(|of| rows::as_stored(of.period)).collect();
    let agents: Vec<Uuid> = outcomes.iter().map(|of| of.agent_id).collect();
    let [completed, failed] = [|of: &Outcomes| of.completed, |of: &Outcomes| of.failed]
        .map(|count| outcomes.iter().map(|of| count(&of.outcomes).cast_signed()).collect::<Vec<i64>>());
    session.query(SAVE, &[&instance, &periods, &agents, &completed, &failed]).await.map(drop)
}

async fn read(
    session: &Session,
    agents: &[Uuid],
    since: Timestamp,
) -> Result<Vec<(Uuid, AgentOutcomes)>, PgError> {
    let rows = session.query(READ, &[&agents, &rows::as_stored(since)]).await?;
    let read = rows.iter().map(|row| {
        let count = |column| Ok::<_, PgError>(row.try_get::<_, i64>(column)?.unsigned_abs());
        let outcomes = Outcomes { completed: count("completed")?, failed: count("failed")? };
        let (period, agent_id) = (row.try_get("period")?, row.try_get("agent_id")?);
        Ok((row.try_get("instance")?, AgentOutcomes { period, agent_id, outcomes }))
    });
    read.collect()
}

async fn places(
    session: &Session,
    seen_since: Timestamp,
    from: Uuid,
    limit: u32,
) -> Result<PlacesPart, PgError> {
    let rows = session.query(PLACES, &[&rows::as_stored(seen_since), &from, &i64::from(limit)]).await?;
    let mut part = PlacesPart::default();
    let (mut last, mut read) = (Uuid::nil(), 0);
    for row in &rows {
        let count = |column| Ok::<_, PgError>(row.try_get::<_, i64>(column)?.unsigned_abs());
        let (known, paused, active) = (count("known")?, count("paused")?, count("active")?);
        last = last.max(row.try_get("last")?);
        read += known;
        let (country, region): (Option<String>, Option<String>) =
            (row.try_get("country")?, row.try_get("region")?);
        let counts = PlaceCounts { active, lost: known - paused - active, paused };
        part.places.entry(country.zip(region)).or_default().add(counts);
    }
    let next = last.as_u128().checked_add(1).filter(|_| read >= u64::from(limit));
    part.next = next.map(|next| Uuid::from_u128(next).to_string());
    Ok(part)
}

#[cfg(test)]
mod tests {
    use slamon_testbed::PgCluster;

    use super::*;
    use crate::postgres::plans::{make_tables, plan};

    #[tokio::test]
    async fn what_other_agents_have_is_not_read() {
        let database = PgCluster::shared().create_database();
        make_tables(&database).await;
        database.sql(
            "insert into agent_outcome
             select now() - n % 6 * interval '10 minutes', gen_random_uuid(), gen_random_uuid(), 1, 1
             from generate_series(1, 20000) as n",
        );
        for is_analyzed in [false, true] {
            if is_analyzed {
                database.sql("analyze");
            }
            for (statement, parameters, index) in [
                (READ, 2, "agent_outcome_pkey on agent_outcome"),
                (PURGE, 2, "agent_outcome_pkey on agent_outcome"),
                (PLACES, 3, "agent_pkey on agent"),
            ] {
                let plan = plan(&database, "select", statement, parameters);
                assert!(plan.contains(index) && !plan.contains("Seq Scan on agent"), "{plan}");
                let is_looked_up = "Index Cond: ((period = known.period) AND (agent_id = wanted.agent_id))";
                assert!(statement != READ || plan.contains(is_looked_up), "{plan}");
            }
        }
    }
}
