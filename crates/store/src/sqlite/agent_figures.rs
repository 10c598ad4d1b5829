//! How attempts ended by agent, and agents by place, in SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, params};
use uuid::Uuid;

use super::SqliteStore;
use super::columns::{id, time};
use super::write_transaction::WriteTransaction;
use crate::agent_figures::{AgentFiguresStore, AgentOutcomes, Outcomes, PlaceCounts, PlacesPart};
use crate::error::StoreError;

#[async_trait]
impl AgentFiguresStore for SqliteStore {
    async fn save_outcomes(&self, instance: Uuid, outcomes: Arc<[AgentOutcomes]>) -> Result<(), StoreError> {
        self.writer.run(move |connection| Ok(save(connection, instance, &outcomes)?)).await
    }

    async fn outcomes_of(
        &self,
        agents: Arc<[Uuid]>,
        since: Timestamp,
    ) -> Result<Vec<(Uuid, AgentOutcomes)>, StoreError> {
        self.readers.run(move |connection| Ok(read(connection, &agents, since)?)).await
    }

    async fn purge_outcomes(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.writer.run(move |connection| Ok(purge(connection, before, limit)?)).await
    }

    async fn count_places(
        &self,
        seen_since: Timestamp,
        after: Option<String>,
        limit: u32,
    ) -> Result<PlacesPart, StoreError> {
        self.readers.run(move |connection| Ok(places(connection, seen_since, after.as_deref(), limit)?)).await
    }
}

fn save(connection: &mut Connection, instance: Uuid, outcomes: &[AgentOutcomes]) -> rusqlite::Result<()> {
    let transaction = WriteTransaction::begin(connection)?;
    {
        let mut put = transaction.connection.prepare_cached(
            "insert into agent_outcome (period, agent_id, instance, completed, failed) values (?1, ?2, ?3, ?4, ?5)
             on conflict (period, agent_id, instance) do update
             set completed = excluded.completed, failed = excluded.failed",
        )?;
        for AgentOutcomes { period, agent_id, outcomes: Outcomes { completed, failed } } in outcomes {
            let period = period.as_microsecond();
            put.execute(params![period, agent_id.as_bytes(), instance.as_bytes(), completed, failed])?;
        }
    }
    transaction.commit()
}

/// Looks each agent up in each period, as the primary key is ordered.
fn read(
    connection: &Connection,
    agents: &[Uuid],
    since: Timestamp,
) -> rusqlite::Result<Vec<(Uuid, AgentOutcomes)>> {
    let periods: Vec<i64> = connection
        .prepare_cached(
            // One step for each period, and not one for each row.
            "with recursive known (period) as (
                 select min(period) from agent_outcome where period >= ?1
                 union all
                 select (select min(period) from agent_outcome where period > known.period)
                 from known where period is not null
             )
             select period from known where period is not null",
        )?
        .query_map([since.as_microsecond()], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut select = connection.prepare_cached(
        "select period, agent_id, instance, completed, failed
         from agent_outcome where period = ?1 and agent_id = ?2",
    )?;
    let mut found = Vec::new();
    for period in periods {
        for agent in agents {
            let rows = select.query_map(params![period, agent.as_bytes()], |row| {
                let outcomes = Outcomes { completed: row.get("completed")?, failed: row.get("failed")? };
                let (period, agent_id) = (time(row, "period")?, id(row, "agent_id")?);
                Ok((id(row, "instance")?, AgentOutcomes { period, agent_id, outcomes }))
            })?;
            for row in rows {
                found.push(row?);
            }
        }
    }
    Ok(found)
}

fn purge(connection: &Connection, before: Timestamp, limit: u32) -> rusqlite::Result<u64> {
    let deleted = connection
        .prepare_cached(
            "delete from agent_outcome where (period, agent_id, instance) in (
                 select period, agent_id, instance from agent_outcome where period < ?1
                 order by period, agent_id, instance limit ?2
             )",
        )?
        .execute(params![before.as_microsecond(), limit])?;
    Ok(deleted as u64)
}

fn places(
    connection: &Connection,
    seen_since: Timestamp,
    after: Option<&str>,
    limit: u32,
) -> rusqlite::Result<PlacesPart> {
    let after = after.and_then(|after| after.parse::<i64>().ok()).unwrap_or(i64::MIN);
    let mut part = PlacesPart::default();
    let mut select = connection.prepare_cached(
        "select country, region, max(seq) as last, count(*) as known, count(*) filter (where is_paused) as paused,
             count(*) filter (where not is_paused and last_seen >= ?1) as active
         from (
             select seq, last_seen, location ->> '$.country' as country, location ->> '$.region' as region,
                 id in (select agent_id from pause where agent_id is not null) as is_paused
             from agent where seq > ?2 order by seq limit ?3
         )
         group by country, region",
    )?;
    let mut rows = select.query(params![seen_since.as_microsecond(), after, limit])?;
    let (mut last, mut read) = (after, 0);
    while let Some(row) = rows.next()? {
        let (known, paused, active): (u64, u64, u64) =
            (row.get("known")?, row.get("paused")?, row.get("active")?);
        last = last.max(row.get("last")?);
        read += known;
        let (country, region): (Option<String>, Option<String>) = (row.get("country")?, row.get("region")?);
        let counts = PlaceCounts { active, lost: known - paused - active, paused };
        part.places.entry(country.zip(region)).or_default().add(counts);
    }
    part.next = (read >= u64::from(limit)).then(|| last.to_string());
    Ok(part)
}
