//! Fills a store by SQL with tasks that have been there for long, since ten million of them over HTTP would take hours.
//!
//! Columns are named, and what is not named is as the tables have it. Indexes and keys are made again after the rows, which
//! gives the same indexes in a fraction of the time.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use rusqlite::{Connection, params};
use slamon_testbed::TestDatabase;

use super::place::Place;
use super::spread::grouped;
use super::workshop::Workshop;

/// The type of all of them.
pub(crate) const TASK_TYPE: &str = "backlog";

/// One statement's rows: enough to be fast, few enough to be interrupted.
const ROWS: u64 = 500_000;

/// How many of `stored` tasks wait; the rest has been completed.
pub(crate) fn waiting(stored: u64) -> u64 {
    stored / 10
}

/// Puts `stored` tasks into the empty tables in `place`. Those that wait are the newest.
///
/// # Errors
/// When there is no room, or somebody pressed Ctrl-C.
pub(crate) fn fill(workshop: &Workshop, place: &Place, stored: u64) -> Result<()> {
    let began = Instant::now();
    let go_on = || workshop.go_on();
    match place.database() {
        Some(database) => fill_postgres(database, stored, go_on)?,
        None => fill_sqlite(&place.database_file(), stored, go_on)?,
    }
    eprintln!("filled with {} tasks in {:.1} s", grouped(stored as f64), began.elapsed().as_secs_f64());
    Ok(())
}

/// `first..=last` of each statement.
fn portions(stored: u64) -> impl Iterator<Item = (u64, u64)> {
    (0..stored.div_ceil(ROWS)).map(move |n| (n * ROWS + 1, ((n + 1) * ROWS).min(stored)))
}

fn fill_sqlite(file: &Path, stored: u64, go_on: impl Fn() -> Result<()>) -> Result<()> {
    let mut connection = Connection::open(file)?;
    // If it fails, the file is of no use anyway.
    connection.execute_batch(
        "pragma journal_mode = delete; pragma journal_mode = off; pragma synchronous = off; pragma cache_size = -2000000;",
    )?;
    let transaction = connection.transaction()?;
    let indexes: Vec<(String, String)> = transaction
        .prepare("select name, sql from sqlite_master where type = 'index' and tbl_name = 'task' and sql is not null")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (name, _) in &indexes {
        transaction.execute_batch(&format!("drop index \"{name}\""))?;
    }
    for (first, last) in portions(stored) {
        go_on()?;
        transaction.execute(
            "with recursive number(i) as (values (?1) union all select i + 1 from number where i < ?2)
             insert into task (id, test_id, type, version, data, created_at, state, attempts,
                               agent_id, claimed_at, finished_at, result)
             select randomblob(16), randomblob(16), ?4, 1, '{\"url\": \"http://127.0.0.1/\", \"number\": ' || i || '}',
                    1700000000000000 + i * 1000, iif(i > ?3, 'pending', 'completed'), i <= ?3,
                    iif(i > ?3, null, randomblob(16)),
                    iif(i > ?3, null, 1700000000500000 + i * 1000),
                    iif(i > ?3, null, 1700000000900000 + i * 1000), iif(i > ?3, null, '{\"status\": 200}')
             from number",
            params![first, last, stored - waiting(stored), TASK_TYPE],
        )?;
    }
    for (_, sql) in &indexes {
        go_on()?;
        transaction.execute_batch(sql)?;
    }
    transaction.commit()?;
    connection.execute_batch("pragma journal_mode = wal;")?;
    Ok(())
}

fn fill_postgres(database: &TestDatabase, stored: u64, go_on: impl Fn() -> Result<()>) -> Result<()> {
    let lines = |sql: &str| -> Result<Vec<String>> {
        Ok(database.try_sql(sql)?.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
    };
    let keys = "from pg_constraint where conrelid = 'task'::regclass and contype in ('p', 'u')";
    let indexes = "from pg_indexes where tablename = 'task' and schemaname = current_schema()";
    // Keys first: with them go their indexes.
    let make_keys = lines(&format!(
        "select format('alter table task add constraint %I %s', conname, pg_get_constraintdef(oid)) {keys}"
    ))?;
    for drop in lines(&format!("select format('alter table task drop constraint %I', conname) {keys}"))? {
        database.try_sql(&drop)?;
    }
    let make_indexes = lines(&format!("select indexdef {indexes}"))?;
    for drop in lines(&format!("select format('drop index %I', indexname) {indexes}"))? {
        database.try_sql(&drop)?;
    }
    let finished = stored - waiting(stored);
    for (first, last) in portions(stored) {
        go_on()?;
        database.try_sql(&format!(
            "insert into task (id, test_id, type, version, data, created_at, state, attempts,
                               agent_id, claimed_at, finished_at, result)
             select gen_random_uuid(), gen_random_uuid(), '{TASK_TYPE}', 1,
                    '{{\"url\": \"http://127.0.0.1/\", \"number\": ' || i || '}}',
                    timestamptz '2023-11-14' + i * interval '1 ms',
                    case when waits then 'pending' else 'completed' end, case when waits then 0 else 1 end,
                    case when not waits then gen_random_uuid() end,
                    case when not waits then timestamptz '2023-11-14' + i * interval '1 ms' + interval '0.5 s' end,
                    case when not waits then timestamptz '2023-11-14' + i * interval '1 ms' + interval '0.9 s' end,
                    case when not waits then '{{\"status\": 200}}' end
             from (select i, i > {finished} as waits from generate_series({first}, {last}) as i) as number"
        ))?;
    }
    for make in make_keys.iter().chain(&make_indexes) {
        go_on()?;
        database
            .try_sql(&format!("set maintenance_work_mem = '1GB'; {make}"))
            .with_context(|| make.clone())?;
    }
    // As autovacuum would have, long ago.
    database.try_sql("vacuum analyze task; checkpoint;")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use slamon_store::{PostgresOptions, PostgresStore, SqliteStore, Store};
    use slamon_testbed::PgCluster;

    use super::*;

    const COUNTS: &str = "select count(*), count(claimed_at), count(finished_at), count(result), min(type), max(type) from task";

    fn create_tables(store: &dyn Store) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(store.create_tables()).unwrap();
        // Its connections would be in the way of the fill.
        runtime.block_on(store.close());
    }

    #[test]
    fn an_sqlite_file_holds_what_was_asked_for_and_has_all_its_indexes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("afm.db");
        create_tables(&SqliteStore::new(&format!("sqlite:///{}", file.display()), false).unwrap());
        let schema = || {
            let connection = Connection::open(&file).unwrap();
            let mut statement =
                connection.prepare("select name, sql from sqlite_master order by name").unwrap();
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            rows.collect::<Result<Vec<(String, Option<String>)>, _>>().unwrap()
        };
        let before = schema();
        fill_sqlite(&file, 1_000, || Ok(())).unwrap();
        assert_eq!(schema(), before);
        let connection = Connection::open(&file).unwrap();
        let counts = connection
            .query_row(COUNTS, [], |row| {
                let counts: [u64; 4] = [row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?];
                Ok((counts, row.get::<_, String>(4)?, row.get::<_, String>(5)?))
            })
            .unwrap();
        assert_eq!(counts, ([1_000, 900, 900, 900], TASK_TYPE.to_owned(), TASK_TYPE.to_owned()));
        assert_eq!(
            connection.query_row("pragma journal_mode", [], |row| row.get::<_, String>(0)).unwrap(),
            "wal"
        );
    }

    #[test]
    fn a_postgresql_database_holds_what_was_asked_for_and_has_all_its_indexes() {
        let database = PgCluster::shared().create_database();
        let patience = Duration::from_secs(60);
        let options = PostgresOptions {
            uri: database.uri(),
            pool_size: 1,
            pool_timeout: patience,
            statement_timeout: patience,
            echo: false,
        };
        create_tables(&PostgresStore::new(&options).unwrap());
        let schema = || {
            let indexes =
                database.sql("select indexdef from pg_indexes where schemaname = 'public' order by indexdef");
            let keys = "select conname, pg_get_constraintdef(oid) from pg_constraint \
                        where conrelid = 'task'::regclass order by conname";
            (indexes, database.sql(keys))
        };
        let before = schema();
        fill_postgres(&database, 1_000, || Ok(())).unwrap();
        assert_eq!(schema(), before);
        assert_eq!(database.sql(COUNTS), "1000|900|900|900|backlog|backlog");
    }

    #[test]
    fn portions_are_whole() {
        assert_eq!(portions(1_000).collect::<Vec<_>>(), [(1, 1_000)]);
        assert_eq!(portions(ROWS + 1).collect::<Vec<_>>(), [(1, ROWS), (ROWS + 1, ROWS + 1)]);
    }
}
