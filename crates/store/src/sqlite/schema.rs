//! Makes, checks, migrates and drops the tables.

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use super::adopt;
use crate::error::{SchemaError, StoreError};
use crate::store::Prepared;

/// The migrations: each brings the tables from the version before to its own, which is its place in this
/// list, from 1.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/sqlite/0001_tasks.sql"),
    include_str!("../../migrations/sqlite/0002_life.sql"),
    include_str!("../../migrations/sqlite/0003_fleet.sql"),
    include_str!("../../migrations/sqlite/0004_abandoned.sql"),
    include_str!("../../migrations/sqlite/0005_names.sql"),
    include_str!("../../migrations/sqlite/0006_pauses.sql"),
    include_str!("../../migrations/sqlite/0007_statistics.sql"),
    include_str!("../../migrations/sqlite/0008_lists.sql"),
    include_str!("../../migrations/sqlite/0009_sparing.sql"),
];

#[expect(clippy::cast_possible_wrap, reason = "a handful")]
const NEWEST: i64 = MIGRATIONS.len() as i64;

pub(super) fn create(connection: &mut Connection) -> Result<Prepared, StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    if let Some(found) = found.filter(|found| *found > NEWEST) {
        return Err(SchemaError::Ahead { found, known: NEWEST }.into());
    }
    if found == Some(NEWEST) {
        if adopt::holds_original(&transaction)? {
            tracing::warn!("{}", crate::error::ORIGINAL_BESIDE);
        }
        return Ok(Prepared::Present);
    }
    if let Some(from) = found {
        tracing::info!(from, to = NEWEST, "{}", crate::error::MIGRATING);
    }
    let done = found.map_or(0, |found| usize::try_from(found).unwrap_or(0));
    for migration in &MIGRATIONS[done..] {
        transaction.execute_batch(migration)?;
    }
    let original = found.is_none() && adopt::holds_original(&transaction)?;
    let prepared = match found {
        Some(from) => Prepared::Migrated { from },
        None if original => Prepared::Adopted(adopt::adopt(&transaction)?),
        None => Prepared::Created,
    };
    set_version(&transaction)?;
    transaction.commit()?;
    Ok(prepared)
}

/// Checks the version, and writes it anew, which is either committed (`commits`) or rolled back.
pub(super) fn check(connection: &mut Connection, commits: bool) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    match version(&transaction)? {
        Some(NEWEST) => {}
        Some(found) if found > NEWEST => return Err(SchemaError::Ahead { found, known: NEWEST }.into()),
        Some(found) => return Err(SchemaError::Behind { found, needed: NEWEST }.into()),
        None if adopt::holds_original(&transaction)? => return Err(SchemaError::Original.into()),
        None => return Err(SchemaError::Missing.into()),
    }
    transaction.execute_batch("update slamon_schema set version = version")?;
    let done = if commits { transaction.commit() } else { transaction.rollback() };
    Ok(done?)
}

pub(super) fn drop_tables(connection: &mut Connection) -> Result<bool, StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let there = version(&transaction)?.is_some();
    if there {
        transaction.execute_batch(
            "drop table task; drop table agent; drop table slamon_schema;
             drop table if exists attempt; drop table if exists agent_offer;
             drop table if exists past_agent; drop table if exists pause;
             drop table if exists task_count;
             drop table if exists task_total; drop table if exists minute_statistics;
             drop table if exists task_of_test",
        )?;
    }
    transaction.commit()?;
    Ok(there)
}

/// The version of the tables; `None` without tables.
fn version(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    let there = connection
        .prepare_cached("select 1 from sqlite_schema where type = 'table' and name = 'slamon_schema'")?
        .exists([])?;
    if !there {
        return Ok(None);
    }
    connection.prepare_cached("select version from slamon_schema")?.query_row([], |row| row.get(0)).optional()
}

fn set_version(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(
        "create table if not exists slamon_schema (version integer not null) strict; \
         delete from slamon_schema",
    )?;
    transaction.execute("insert into slamon_schema (version) values (?1)", [NEWEST])?;
    Ok(())
}
