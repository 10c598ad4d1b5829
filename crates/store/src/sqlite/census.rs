//! Counts all agents in steps, in SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use slamon_protocol::Capability;
use uuid::Uuid;

use super::SqliteStore;
use super::columns::time;
use super::write_transaction::WriteTransaction;
use crate::census::{Census, CensusStore, OfferPlace};
use crate::error::StoreError;
use crate::offers::OfferedType;
use crate::statistics::AgentCounts;

const AGENTS: &str = "
    select count(*), count(paused), count(*) filter (where paused is null and last_seen >= ?3), max(seq)
    from (
        select seq, last_seen, (select 1 from pause where pause.agent_id = agent.id) as paused
        from agent where seq > ?1 order by seq limit ?2
    )";

/// Counts the agents of the next offers. The order of the join is that of the index.
const OFFERS: &str = "
    select type, version, count(*) as agents, sum(active) as active, max(agent) as last
    from (
        select agent_offer.type, agent_offer.version, agent_offer.agent, last_seen >= ?5 as active
        from agent_offer cross join agent on agent.seq = agent_offer.agent
        where (agent_offer.type, agent_offer.version, agent_offer.agent) > (?1, ?2, ?3)
        order by agent_offer.type, agent_offer.version, agent_offer.agent limit ?4
    )
    group by type, version order by type, version";

#[async_trait]
impl CensusStore for SqliteStore {
    async fn hold_census(
        &self,
        instance: Uuid,
        now: Timestamp,
        free_before: Timestamp,
    ) -> Result<bool, StoreError> {
        let sql = "update agent_census set instance = ?1, held_at = ?2
                   where instance = ?1 or held_at is null or held_at < ?3";
        let hold = move |connection: &mut Connection| {
            let times = (now.as_microsecond(), free_before.as_microsecond());
            Ok(connection.prepare_cached(sql)?.execute(params![instance.as_bytes(), times.0, times.1])? > 0)
        };
        self.writer.run(hold).await
    }

    async fn count_next_agents(
        &self,
        after: Option<u128>,
        seen_since: Timestamp,
        limit: u32,
    ) -> Result<(AgentCounts, Option<u128>), StoreError> {
        self.read_large(move |connection| Ok(next_agents(connection, after, seen_since, limit)?)).await
    }

    async fn count_next_offers(
        &self,
        after: Option<OfferPlace>,
        seen_since: Timestamp,
        limit: u32,
    ) -> Result<(Vec<OfferedType>, Option<OfferPlace>), StoreError> {
        self.read_large(move |connection| Ok(next_offers(connection, after.as_ref(), seen_since, limit)?))
            .await
    }

    async fn save_census(&self, census: Arc<Census>) -> Result<(), StoreError> {
        self.writer.run(move |connection| Ok(save(connection, &census)?)).await
    }

    async fn census(&self) -> Result<Option<AgentCounts>, StoreError> {
        self.readers.run(|connection| Ok(read(connection)?)).await
    }
}

fn next_agents(
    connection: &Connection,
    after: Option<u128>,
    seen_since: Timestamp,
    limit: u32,
) -> rusqlite::Result<(AgentCounts, Option<u128>)> {
    let of = params![place(after), limit, seen_since.as_microsecond()];
    let (total, paused, active, last): (u64, u64, u64, Option<i64>) = connection
        .prepare_cached(AGENTS)?
        .query_row(of, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    let counts = AgentCounts { active, paused, lost: total - paused - active, ..AgentCounts::default() };
    Ok((counts, last.filter(|_| total >= u64::from(limit)).and_then(|seq| seq.try_into().ok())))
}

fn next_offers(
    connection: &Connection,
    after: Option<&OfferPlace>,
    seen_since: Timestamp,
    limit: u32,
) -> rusqlite::Result<(Vec<OfferedType>, Option<OfferPlace>)> {
    let (task_type, version) =
        after.map_or(("", i64::MIN), |after| (after.task_type.as_str(), after.version));
    let agent = place(after.map(|after| after.agent));
    let mut select = connection.prepare_cached(OFFERS)?;
    let mut rows = select.query(params![task_type, version, agent, limit, seen_since.as_microsecond()])?;
    let (mut counted, mut offers, mut last) = (Vec::new(), 0, 0_i64);
    while let Some(row) = rows.next()? {
        let capability = Capability { task_type: row.get("type")?, version: row.get("version")? };
        let (agents, active) = (row.get("agents")?, row.get("active")?);
        (offers, last) = (offers + agents, row.get("last")?);
        counted.push(OfferedType { agents, active, ..OfferedType::by_nobody(capability) });
    }
    let place = |of: &OfferedType| {
        let Capability { task_type, version } = of.capability.clone();
        Some(OfferPlace { task_type, version, agent: u128::try_from(last).ok()? })
    };
    let last = counted.last().filter(|_| offers >= limit).and_then(place);
    Ok((counted, last))
}

/// A place as SQLite numbers agents.
fn place(after: Option<u128>) -> i64 {
    after.map_or(i64::MIN, |after| i64::try_from(after).unwrap_or(i64::MAX))
}

fn save(connection: &mut Connection, census: &Census) -> rusqlite::Result<()> {
    let transaction = WriteTransaction::begin(connection)?;
    let connection = transaction.connection;
    connection.execute_batch("delete from offer_count")?;
    let mut insert = connection
        .prepare_cached("insert into offer_count (type, version, agents, active) values (?1, ?2, ?3, ?4)")?;
    for (Capability { task_type, version }, agents, active) in &census.types {
        insert.execute(params![task_type, version, agents, active])?;
    }
    drop(insert);
    connection
        .prepare_cached("update agent_census set counted_at = ?1, active = ?2, lost = ?3, paused = ?4")?
        .execute(params![
            census.counted_at.map(Timestamp::as_microsecond),
            census.active,
            census.lost,
            census.paused,
        ])?;
    transaction.commit()
}

fn read(connection: &Connection) -> rusqlite::Result<Option<AgentCounts>> {
    let sql = "select counted_at, active, lost, paused from agent_census where counted_at is not null";
    connection
        .prepare_cached(sql)?
        .query_row([], |row| {
            Ok(AgentCounts {
                active: row.get("active")?,
                lost: row.get("lost")?,
                paused: row.get("paused")?,
                is_complete: true,
                counted_at: Some(time(row, "counted_at")?),
            })
        })
        .optional()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::schema;

    #[test]
    fn a_step_reads_no_more_than_it_counts() {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::create(&mut connection).unwrap();
        for (sql, parameters, search) in [
            (AGENTS, 3, "SEARCH agent USING INTEGER PRIMARY KEY (rowid>?)"),
            (OFFERS, 5, "SEARCH agent_offer USING PRIMARY KEY ((type,version,agent)>(?,?,?))"),
        ] {
            let mut plan = connection.prepare(&format!("explain query plan {sql}")).unwrap();
            let details = plan
                .query_map(rusqlite::params_from_iter(vec![0; parameters]), |row| row.get::<_, String>(3))
                .unwrap();
            let details: Vec<String> = details.map(Result::unwrap).collect();
            let place = details.iter().position(|detail| detail == search);
            let sorted = details.iter().position(|detail| detail.contains("ORDER BY"));
            assert!(place.is_some() && sorted.is_none(), "{details:?}");
        }
    }
}
