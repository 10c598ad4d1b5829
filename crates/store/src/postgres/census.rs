//! Counts all agents in steps, in PostgreSQL.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::errors::PgError;
use super::rows;
use super::session::Session;
use super::store::PostgresStore;
use crate::census::{Census, CensusStore, OfferPlace};
use crate::error::StoreError;
use crate::offers::OfferedType;
use crate::statistics::AgentCounts;

const HOLD: &str = "
    update agent_census set instance = $1, held_at = $2
    where instance = $1 or held_at is null or held_at < $3
    returning true
";

/// Counts agents from an id on.
const AGENTS: &str = "
    with part as materialized (
        select id, last_seen from agent where id >= $1 order by id limit $2
    )
    select count(*) as total, count(pause.agent_id) as paused,
        count(*) filter (where pause.agent_id is null and part.last_seen >= $3) as active,
        (select id from part order by id desc limit 1) as last
    from part left join pause on pause.agent_id = part.id
";

/// Counts the agents of the next offers in the index of offers. Those with the same key are read together, since no
/// place lies between them.
macro_rules! offers {
    ($from:literal) => {
        concat!(
            "with part as materialized (
                select left(type, 100) as beginning, type, version, agent_id from agent_offer ",
            $from,
            " order by left(type, 100), version, agent_id
                fetch first ($2::bigint) rows with ties
            ), last as materialized (
                select beginning, version, agent_id from part
                order by beginning desc, version desc, agent_id desc limit 1
            )
            select part.type, part.version, count(agent.id) as agents,
                count(agent.id) filter (where agent.last_seen >= $1) as active, count(*) as offers,
                last.beginning, last.version as last_version, last.agent_id
            from part cross join last left join agent on agent.id = part.agent_id
            group by part.type, part.version, last.beginning, last.version, last.agent_id"
        )
    };
}

const OFFERS: &str = offers!("");
const OFFERS_AFTER: &str = offers!("where (left(type, 100), version, agent_id) > ($3, $4, $5)");

/// Replaces the census; nobody reads half of it.
const SAVE: &str = "
    with counted as materialized (
        select * from unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[])
            as counted (type, version, agents, active)
    ), held as materialized (
        select from agent_census for update
    ), gone as (
        delete from offer_count where exists (select from held) and not exists (
            select from counted where counted.type = offer_count.type and counted.version = offer_count.version
        )
    ), put as (
        insert into offer_count (type, version, agents, active)
        select type, version, agents, active from counted where exists (select from held)
        on conflict (left(type, 100), md5(type), version) do update
        set agents = excluded.agents, active = excluded.active
    )
    update agent_census set counted_at = $5, active = $6, lost = $7, paused = $8
    where exists (select from held)
";

const READ: &str = "select counted_at, active, lost, paused from agent_census where counted_at is not null";

#[async_trait]
impl CensusStore for PostgresStore {
    async fn hold_census(
        &self,
        instance: Uuid,
        now: Timestamp,
        free_before: Timestamp,
    ) -> Result<bool, StoreError> {
        let (now, free_before) = (rows::as_stored(now), rows::as_stored(free_before));
        self.database()
            .call(|session| {
                Box::pin(async move {
                    Ok(!session.query(HOLD, &[&instance, &now, &free_before]).await?.is_empty())
                })
            })
            .await
    }

    async fn count_next_agents(
        &self,
        after: Option<u128>,
        seen_since: Timestamp,
        limit: u32,
    ) -> Result<(AgentCounts, Option<u128>), StoreError> {
        self.database().read_large(|session| Box::pin(next_agents(session, after, seen_since, limit))).await
    }

    async fn count_next_offers(
        &self,
        after: Option<OfferPlace>,
        seen_since: Timestamp,
        limit: u32,
    ) -> Result<(Vec<OfferedType>, Option<OfferPlace>), StoreError> {
        self.database()
            .read_large(|session| {
                let after = after.clone();
                Box::pin(async move { next_offers(session, after.as_ref(), seen_since, limit).await })
            })
            .await
    }

    async fn save_census(&self, census: Arc<Census>) -> Result<(), StoreError> {
        self.database()
            .call(|session| {
                let census = Arc::clone(&census);
                Box::pin(async move { save(session, &census).await })
            })
            .await
    }

    async fn census(&self) -> Result<Option<AgentCounts>, StoreError> {
        self.database().call(|session| Box::pin(read(session))).await
    }
}

async fn next_agents(
    session: &Session,
    after: Option<u128>,
    seen_since: Timestamp,
    limit: u32,
) -> Result<(AgentCounts, Option<u128>), PgError> {
    let mut counts = AgentCounts::default();
    let from = match after {
        None => 0,
        Some(u128::MAX) => return Ok((counts, None)),
        Some(after) => after + 1,
    };
    let (from, since) = (Uuid::from_u128(from), rows::as_stored(seen_since));
    let rows = session.query(AGENTS, &[&from, &i64::from(limit), &since]).await?;
    let Some(row) = rows.first() else { return Ok((counts, None)) };
    let total = count(row, "total")?;
    (counts.active, counts.paused) = (count(row, "active")?, count(row, "paused")?);
    counts.lost = total - counts.active - counts.paused;
    let last: Option<Uuid> = row.try_get("last")?;
    Ok((counts, last.filter(|_| total >= u64::from(limit)).map(|id| id.as_u128())))
}

async fn next_offers(
    session: &Session,
    after: Option<&OfferPlace>,
    seen_since: Timestamp,
    limit: u32,
) -> Result<(Vec<OfferedType>, Option<OfferPlace>), PgError> {
    let (since, most) = (rows::as_stored(seen_since), i64::from(limit));
    let rows = match after {
        None => session.query(OFFERS, &[&since, &most]).await?,
        Some(OfferPlace { task_type, version, agent }) => {
            let agent = Uuid::from_u128(*agent);
            session.query(OFFERS_AFTER, &[&since, &most, task_type, version, &agent]).await?
        }
    };
    let (mut counted, mut offers) = (Vec::with_capacity(rows.len()), 0);
    for row in &rows {
        offers += count(row, "offers")?;
        counted.push(super::offers::offered(row, None, true)?);
    }
    let place = |row: &Row| {
        let agent = row.try_get::<_, Uuid>("agent_id")?.as_u128();
        let (task_type, version) = (row.try_get("beginning")?, row.try_get("last_version")?);
        Ok::<_, PgError>(OfferPlace { task_type, version, agent })
    };
    let last = rows.first().filter(|_| offers >= u64::from(limit)).map(place).transpose()?;
    Ok((counted, last))
}

async fn save(session: &Session, census: &Census) -> Result<(), PgError> {
    let Census { counted_at, active, lost, paused, types } = census;
    let names: Vec<&str> = types.iter().map(|(capability, ..)| &*capability.task_type).collect();
    let versions: Vec<i64> = types.iter().map(|(capability, ..)| capability.version).collect();
    let agents: Vec<i64> = types.iter().map(|(_, agents, _)| i64::from(*agents)).collect();
    let of_these: Vec<i64> = types.iter().map(|(_, _, active)| i64::from(*active)).collect();
    let counted_at = counted_at.map(rows::as_stored);
    let [active, lost, paused] =
        [active, lost, paused].map(|count| i64::try_from(*count).unwrap_or(i64::MAX));
    session
        .query(SAVE, &[&names, &versions, &agents, &of_these, &counted_at, &active, &lost, &paused])
        .await
        .map(drop)
}

async fn read(session: &Session) -> Result<Option<AgentCounts>, PgError> {
    let rows = session.query(READ, &[]).await?;
    let counts = |row: &Row| {
        Ok(AgentCounts {
            active: count(row, "active")?,
            lost: count(row, "lost")?,
            paused: count(row, "paused")?,
            is_complete: true,
            counted_at: Some(row.try_get("counted_at")?),
        })
    };
    rows.first().map(counts).transpose()
}

fn count(row: &Row, column: &str) -> Result<u64, PgError> {
    Ok(row.try_get::<_, i64>(column)?.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use slamon_testbed::PgCluster;

    use super::*;
    use crate::postgres::plans::{make_tables, plan};

    #[tokio::test]
    async fn a_step_reads_no_more_than_it_counts() {
        let database = PgCluster::shared().create_database();
        make_tables(&database).await;
        for (statement, parameters, scan) in [
            (AGENTS, 3, "Index Scan using agent_pkey"),
            (OFFERS, 2, "Index Scan using agent_offer_by_type"),
            (OFFERS_AFTER, 5, "Index Scan using agent_offer_by_type"),
        ] {
            let plan = plan(&database, "", statement, parameters);
            let (_, part) = plan.split_once("CTE part").unwrap();
            let ends = ["InitPlan", "CTE last", "CTE Scan"].iter().filter_map(|end| part.find(end));
            let part = &part[..ends.min().unwrap()];
            assert!(part.contains(scan) && !part.contains("Sort"), "{plan}");
        }
    }
}
