//! Makes, checks, migrates and drops the tables.

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use super::adopt;
use crate::error::{SchemaError, StoreError};
use crate::store::Prepared;

/// Makes the tables of the newest version. The migrations would make many tables and indexes in vain.
const TABLES: &str = include_str!("../../migrations/sqlite/tables.sql");

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
    include_str!("../../migrations/sqlite/0010_traces.sql"),
    include_str!("../../migrations/sqlite/0011_agent_outcomes.sql"),
    include_str!("../../migrations/sqlite/0012_census.sql"),
    include_str!("../../migrations/sqlite/0013_tokens.sql"),
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
    match found {
        Some(found) => migrate(&transaction, found)?,
        None => transaction.execute_batch(TABLES)?,
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

/// Brings the tables from a version to the newest.
fn migrate(transaction: &Transaction<'_>, from: i64) -> rusqlite::Result<()> {
    let done = usize::try_from(from).unwrap_or(0);
    MIGRATIONS[done..].iter().try_for_each(|migration| transaction.execute_batch(migration))
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
             drop table if exists task_of_test; drop table if exists task_trace;
             drop table if exists agent_outcome;
             drop table if exists agent_census; drop table if exists offer_count;
             drop table if exists token",
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What there is, without comments and the different ways in which SQLite keeps the same statement.
    fn schema(connection: &Connection) -> Vec<String> {
        let sql = "select type || ' ' || name || ' of ' || tbl_name, coalesce(sql, '') from sqlite_schema order by 1";
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)));
        rows.unwrap()
            .map(|row| {
                let (name, sql) = row.unwrap();
                let code = sql.lines().map(|line| line.split("--").next().unwrap_or_default());
                let code = code.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ");
                format!("{name}: {}", code.replace('"', "").to_lowercase())
            })
            .collect()
    }

    #[test]
    fn migrated_tables_are_as_new_ones() {
        let [mut new, mut migrated] = [(); 2].map(|()| Connection::open_in_memory().unwrap());
        assert_eq!(create(&mut new).unwrap(), Prepared::Created);
        migrated.execute_batch(MIGRATIONS[0]).unwrap();
        migrated
            .execute_batch(
                "create table slamon_schema (version integer not null) strict;
                 insert into slamon_schema (version) values (1)",
            )
            .unwrap();
        assert_eq!(create(&mut migrated).unwrap(), Prepared::Migrated { from: 1 });
        assert_eq!(schema(&new), schema(&migrated));
        let rows = |connection: &Connection| {
            let sql = "select delayed, pending, claimed, is_counted, (select max(version) from slamon_schema)
                       from task_total";
            let read = |row: &rusqlite::Row<'_>| Ok([0, 1, 2, 3, 4].map(|at| row.get::<_, i64>(at).unwrap()));
            connection.query_row(sql, [], read).unwrap()
        };
        assert_eq!(rows(&new), rows(&migrated));
    }
}
