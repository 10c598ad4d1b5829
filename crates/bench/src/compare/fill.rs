//! Fills a store by SQL with tasks that have been there for long, since ten million of them over HTTP would take hours.
//!
//! Columns are named, and what is not named is as the tables have it. Indexes and keys are made again after the rows, which
//! gives the same indexes in a fraction of the time. What the server keeps beside its tasks is made from them.

pub(crate) mod varied;
mod waiting_line;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use rusqlite::Connection;
use slamon_testbed::TestDatabase;

use super::place::Place;
use super::spread::grouped;
use super::workshop::Workshop;

pub(crate) use waiting_line::{TASK_TYPE, waiting};

/// One statement's rows: enough to be fast, few enough to be interrupted.
const ROWS: u64 = 500_000;

/// What the tasks are like. Those that wait are the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contents {
    /// All of one type: many wait, the rest was completed.
    WaitingLine,
    /// Of many types, tests and agents, and in every state.
    Varied,
}

impl Contents {
    /// What inserts tasks `first..=last` of `stored` into an SQLite file.
    fn sqlite_rows(self, portion: (u64, u64), stored: u64) -> String {
        match self {
            Self::WaitingLine => waiting_line::sqlite_rows(portion, stored),
            Self::Varied => varied::sqlite_rows(portion, stored),
        }
    }

    /// The same for PostgreSQL.
    fn postgres_rows(self, portion: (u64, u64), stored: u64) -> String {
        match self {
            Self::WaitingLine => waiting_line::postgres_rows(portion, stored),
            Self::Varied => varied::postgres_rows(portion, stored),
        }
    }
}

/// Counts what waits and runs, as the server does.
const COUNT: [&str; 2] = [
    "insert into task_count (type, version, delayed, pending, claimed)
     select type, version, count(*) filter (where state = 'delayed'), count(*) filter (where state = 'pending'),
            count(*) filter (where state = 'claimed')
     from task where state in ('delayed', 'pending', 'claimed') group by type, version",
    "update task_total set delayed = (select coalesce(sum(delayed), 0) from task_count),
                           pending = (select coalesce(sum(pending), 0) from task_count),
                           claimed = (select coalesce(sum(claimed), 0) from task_count)",
];

/// Puts `stored` tasks into the empty tables in `place`.
///
/// # Errors
/// When there is no room, or somebody pressed Ctrl-C.
pub(crate) fn fill(workshop: &Workshop, place: &Place, stored: u64, contents: Contents) -> Result<()> {
    let began = Instant::now();
    let go_on = || workshop.go_on();
    match place.database() {
        Some(database) => fill_postgres(database, stored, contents, go_on)?,
        None => fill_sqlite(&place.database_file(), stored, contents, go_on)?,
    }
    eprintln!("filled with {} tasks in {:.1} s", grouped(stored as f64), began.elapsed().as_secs_f64());
    Ok(())
}

/// `first..=last` of each statement.
fn portions(stored: u64) -> impl Iterator<Item = (u64, u64)> {
    (0..stored.div_ceil(ROWS)).map(move |n| (n * ROWS + 1, ((n + 1) * ROWS).min(stored)))
}

pub(super) fn fill_sqlite(
    file: &Path,
    stored: u64,
    contents: Contents,
    go_on: impl Fn() -> Result<()>,
) -> Result<()> {
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
    for portion in portions(stored) {
        go_on()?;
        transaction.execute_batch(&contents.sqlite_rows(portion, stored))?;
    }
    for (_, sql) in &indexes {
        go_on()?;
        transaction.execute_batch(sql)?;
    }
    // As the migration that has made this table fills it.
    transaction.execute_batch(
        "insert into task_of_test (test_id, seq) select test_id, seq from task order by test_id, seq",
    )?;
    if contents == Contents::Varied {
        varied::sqlite_surroundings().iter().try_for_each(|sql| transaction.execute_batch(sql))?;
    }
    COUNT.iter().try_for_each(|sql| transaction.execute_batch(sql))?;
    transaction.commit()?;
    connection.execute_batch("pragma journal_mode = wal;")?;
    Ok(())
}

pub(super) fn fill_postgres(
    database: &TestDatabase,
    stored: u64,
    contents: Contents,
    go_on: impl Fn() -> Result<()>,
) -> Result<()> {
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
    for portion in portions(stored) {
        go_on()?;
        database.try_sql(&contents.postgres_rows(portion, stored))?;
    }
    for make in make_keys.iter().chain(&make_indexes) {
        go_on()?;
        database
            .try_sql(&format!("set maintenance_work_mem = '1GB'; {make}"))
            .with_context(|| make.clone())?;
    }
    if contents == Contents::Varied {
        for sql in varied::postgres_surroundings() {
            database.try_sql(&sql)?;
        }
    }
    for sql in COUNT {
        database.try_sql(sql)?;
    }
    // As autovacuum would have, long ago.
    database.try_sql("vacuum analyze; checkpoint;")?;
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

    fn create_postgres_tables(database: &TestDatabase) {
        let patience = Duration::from_secs(60);
        let options = PostgresOptions {
            uri: database.uri(),
            pool_size: 1,
            pool_timeout: patience,
            statement_timeout: patience,
            echo: false,
        };
        create_tables(&PostgresStore::new(&options).unwrap());
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
        fill_sqlite(&file, 1_000, Contents::WaitingLine, || Ok(())).unwrap();
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
        create_postgres_tables(&database);
        let schema = || {
            let indexes =
                database.sql("select indexdef from pg_indexes where schemaname = 'public' order by indexdef");
            let keys = "select conname, pg_get_constraintdef(oid) from pg_constraint \
                        where conrelid = 'task'::regclass order by conname";
            (indexes, database.sql(keys))
        };
        let before = schema();
        fill_postgres(&database, 1_000, Contents::WaitingLine, || Ok(())).unwrap();
        assert_eq!(schema(), before);
        assert_eq!(database.sql(COUNTS), "1000|900|900|900|backlog|backlog");
    }

    /// Of both stores: how many are in each state, have a second attempt, have an agent, and are rare.
    const VARIED: &str = "select (select count(*) from task where state = 'completed'),
        (select count(*) from task where state = 'failed' and error like '%refused%'),
        (select count(*) from task where state = 'lost'), (select count(*) from task where state = 'timed_out'),
        (select count(*) from task where state = 'expired'), (select count(*) from task where state = 'cancelled'),
        (select count(*) from task where state = 'claimed'), (select count(*) from task where state = 'pending'),
        (select count(*) from task where state = 'delayed'), (select count(*) from attempt),
        (select count(*) from task where agent_id is not null), (select count(*) from task where type = 'rare'),
        (select count(distinct test_id) from task), (select count(*) from agent_offer),
        (select sum(delayed + pending + claimed) from task_count),
        (select delayed + pending + claimed from task_total), (select count(*) from minute_statistics)";

    #[test]
    fn both_stores_have_the_same_tasks_of_all_kinds() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("afm.db");
        create_tables(&SqliteStore::new(&format!("sqlite:///{}", file.display()), false).unwrap());
        fill_sqlite(&file, 10_000, Contents::Varied, || Ok(())).unwrap();
        let connection = Connection::open(&file).unwrap();
        let in_file = connection
            .query_row(VARIED, [], |row| {
                (0..17)
                    .map(|column| Ok(row.get::<_, u64>(column)?.to_string()))
                    .collect::<Result<Vec<_>, _>>()
            })
            .unwrap()
            .join("|");
        let last = "select lower(hex(test_id)) from task where id = ?1";
        let id = varied::task_id(9_999).into_bytes();
        let test: String = connection.query_row(last, [id], |row| row.get(0)).unwrap();
        assert_eq!(test, varied::test_id(9_999).simple().to_string());
        let of_test = "select count(*) from task_of_test join task using (seq, test_id)";
        assert_eq!(connection.query_row(of_test, [], |row| row.get::<_, u64>(0)).unwrap(), 10_000);

        let database = PgCluster::shared().create_database();
        create_postgres_tables(&database);
        fill_postgres(&database, 10_000, Contents::Varied, || Ok(())).unwrap();
        assert_eq!(database.sql(VARIED), in_file);
        assert_eq!(in_file, "8832|389|94|95|93|97|100|200|100|175|9510|4|501|2000|400|400|60");
    }

    #[test]
    fn portions_are_whole() {
        assert_eq!(portions(1_000).collect::<Vec<_>>(), [(1, 1_000)]);
        assert_eq!(portions(ROWS + 1).collect::<Vec<_>>(), [(1, ROWS), (ROWS + 1, ROWS + 1)]);
    }
}
