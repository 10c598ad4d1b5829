//! Checks, makes, migrates, adopts and drops the tables.

use slamon_protocol::excerpt;
use uuid::Uuid;

use super::errors::PgError;
use super::session::Session;
use crate::error::SchemaError;
use crate::store::{Adopted, Prepared};

/// The SQL that makes the tables of the newest version. PostgreSQL writes each index to the disk when it is
/// made, so no migration makes one in vain.
const TABLES: &str = include_str!("../../migrations/postgres/tables.sql");

/// The version that each file brings the tables to, from the one before. A file sets `slamon_schema.version`
/// itself.
const MIGRATIONS: &[(i64, &str)] = &[
    (2, include_str!("../../migrations/postgres/0002_life.sql")),
    (3, include_str!("../../migrations/postgres/0003_speed.sql")),
    (4, include_str!("../../migrations/postgres/0004_abandoned.sql")),
    (5, include_str!("../../migrations/postgres/0005_names.sql")),
    (6, include_str!("../../migrations/postgres/0006_pauses.sql")),
    (7, include_str!("../../migrations/postgres/0007_statistics.sql")),
    (8, include_str!("../../migrations/postgres/0008_lists.sql")),
    (9, include_str!("../../migrations/postgres/0009_tasks_of_agents.sql")),
    (10, include_str!("../../migrations/postgres/0010_traces.sql")),
    (11, include_str!("../../migrations/postgres/0011_tests.sql")),
    (12, include_str!("../../migrations/postgres/0012_agent_outcomes.sql")),
    (13, include_str!("../../migrations/postgres/0013_census.sql")),
    (14, include_str!("../../migrations/postgres/0014_tokens.sql")),
];

const ADOPT: &str = include_str!("../../migrations/postgres/adopt.sql");

const NEWEST: i64 = MIGRATIONS[MIGRATIONS.len() - 1].0;

/// Takes the lock that lets one AFM at a time change tables: several may start at once. The number is
/// "slamon" in ASCII.
const LOCK: &str = "select pg_advisory_xact_lock(126909328224110)";

enum ExistingTables {
    Nothing,
    Original(OriginalTables),
    Version(i64),
}

/// Which tables of slamon-afm 1.1.0 exist besides `tasks`.
struct OriginalTables {
    agents: bool,
    capabilities: bool,
}

/// Finds out which tables exist. Names are looked up along the search path, as the statements of both
/// programs do.
async fn look(session: &Session) -> Result<ExistingTables, PgError> {
    let sql = "
        with columns as (
            select attrelid::regclass as of_table, array_agg(attname::text) as names
            from pg_attribute
            where attrelid in (to_regclass('tasks'), to_regclass('agents'), to_regclass('agent_capabilities'))
                and attnum > 0 and not attisdropped
            group by attrelid
        )
        select
            to_regclass('slamon_schema') is not null as ours,
            (
                select names @> '{uuid,test_id,type,version,data,result_data,assigned_agent_uuid}'::text[]
                    and names @> '{created,claimed,completed,started,error}'::text[]
                from columns where of_table = to_regclass('tasks')
            ) as tasks,
            (
                select names @> '{uuid,name,last_seen}'::text[]
                from columns where of_table = to_regclass('agents')
            ) as agents,
            (
                select names @> '{agent_uuid,type,version}'::text[]
                from columns where of_table = to_regclass('agent_capabilities')
            ) as capabilities
    ";
    let rows = session.query(sql, &[]).await?;
    let row = rows
        .first()
        .ok_or_else(|| PgError::Unexpected("the query of the catalog returned no row".to_owned()))?;
    let has = |column: &str| Ok::<_, PgError>(row.try_get::<_, Option<bool>>(column)?.unwrap_or(false));
    if has("ours")? {
        let rows = session.query("select max(version) from slamon_schema", &[]).await?;
        let version = rows.first().map(|row| row.try_get::<_, Option<i64>>(0)).transpose()?.flatten();
        let none = || PgError::Unexpected("the table slamon_schema is empty".to_owned());
        return Ok(ExistingTables::Version(version.ok_or_else(none)?));
    }
    if has("tasks")? {
        return Ok(ExistingTables::Original(OriginalTables {
            agents: has("agents")?,
            capabilities: has("capabilities")?,
        }));
    }
    Ok(ExistingTables::Nothing)
}

/// Whether slamon-afm 1.1.0 was started again on a database that is ours, and made tables of its own.
async fn original_beside(session: &Session) -> Result<bool, PgError> {
    let sql = "select to_regclass('tasks') is not null and to_regclass('agent_capabilities') is not null";
    let rows = session.query(sql, &[]).await?;
    Ok(rows.first().map(|row| row.try_get(0)).transpose()?.unwrap_or(false))
}

/// Checks whether the tables are those of this version. Whether they can be written is checked by `fitness`.
pub(super) async fn check(session: &Session) -> Result<(), PgError> {
    match look(session).await? {
        ExistingTables::Version(NEWEST) => Ok(()),
        ExistingTables::Version(found) if found < NEWEST => {
            Err(SchemaError::Behind { found, needed: NEWEST }.into())
        }
        ExistingTables::Version(found) => Err(SchemaError::Ahead { found, known: NEWEST }.into()),
        ExistingTables::Original(_) => Err(SchemaError::Original.into()),
        ExistingTables::Nothing => Err(SchemaError::Missing.into()),
    }
}

/// Makes, migrates or adopts the tables, in one transaction.
pub(super) async fn create(session: &Session) -> Result<Prepared, PgError> {
    // Locks are waited for as long as ever, but copying millions of rows takes its time, and reads all of
    // them.
    session
        .script(
            "begin read write; set local synchronous_commit = on; set local statement_timeout = 0; \
             set local enable_seqscan = on; set local enable_bitmapscan = on; \
             set local enable_hashjoin = on; set local enable_mergejoin = on",
        )
        .await?;
    session.query(LOCK, &[]).await?;
    let prepared = match look(session).await? {
        ExistingTables::Version(NEWEST) => {
            if original_beside(session).await? {
                tracing::warn!("{}", crate::error::ORIGINAL_BESIDE);
            }
            Prepared::Present
        }
        ExistingTables::Version(found) if found > NEWEST => {
            return Err(SchemaError::Ahead { found, known: NEWEST }.into());
        }
        ExistingTables::Version(from) => {
            tracing::info!(from, to = NEWEST, "{}", crate::error::MIGRATING);
            migrate(session, from).await?;
            Prepared::Migrated { from }
        }
        ExistingTables::Nothing => {
            session.script(TABLES).await?;
            Prepared::Created
        }
        ExistingTables::Original(original) => Prepared::Adopted(adopt(session, &original).await?),
    };
    session.script("commit").await?;
    Ok(prepared)
}

async fn migrate(session: &Session, from: i64) -> Result<(), PgError> {
    for (_, sql) in MIGRATIONS.iter().filter(|(version, _)| *version > from) {
        session.script(sql).await?;
    }
    Ok(())
}

async fn adopt(session: &Session, original: &OriginalTables) -> Result<Adopted, PgError> {
    // An empty table stands in for one that does not exist, or that hides it where it is not the original's.
    if !original.agents {
        session
            .script(
                "create temporary table agents (uuid char(36), name text, last_seen timestamp) \
                 on commit drop",
            )
            .await?;
    }
    if !original.capabilities {
        session
            .script(
                "create temporary table agent_capabilities (agent_uuid char(36), type text, version integer)
                 on commit drop",
            )
            .await?;
    }
    // An original that still runs waits from here on, and then finds its tables gone.
    session.script("lock table tasks, agents, agent_capabilities in access exclusive mode").await?;
    refuse_bad_ids(session).await?;
    session.script(TABLES).await?;
    session.script(ADOPT).await?;
    let renamed = session.query("select old_id, new_id from adopted_id where new_id <> id", &[]).await?;
    for row in &renamed {
        let (old, new): (String, Uuid) = (row.try_get(0)?, row.try_get(1)?);
        tracing::warn!(
            old = %excerpt(&old),
            %new,
            "two tasks had the same id but for its letter case: this one got a new one"
        );
    }
    let rows = session
        .query(
            "select
                (select count(*) from task) as tasks,
                (select count(*) from task where agent_id is null) as pending,
                (select count(*) from agent) as agents",
            &[],
        )
        .await?;
    let row =
        rows.first().ok_or_else(|| PgError::Unexpected("a query that counts returned no row".to_owned()))?;
    let count = |column| Ok::<_, PgError>(row.try_get::<_, i64>(column)?.unsigned_abs());
    Ok(Adopted {
        tasks: count("tasks")?,
        pending: count("pending")?,
        agents: count("agents")?,
        renamed: renamed.len() as u64,
    })
}

async fn refuse_bad_ids(session: &Session) -> Result<(), PgError> {
    let columns = [
        ("tasks", "uuid"),
        ("tasks", "test_id"),
        ("tasks", "assigned_agent_uuid"),
        ("agents", "uuid"),
        ("agent_capabilities", "agent_uuid"),
    ];
    for (table, column) in columns {
        let sql = format!(
            "select {column}::text, t::text from {table} as t
             where btrim({column}, E' \\t\\n\\r\\f\\v')
                 !~ '^[0-9a-fA-F]{{8}}-[0-9a-fA-F]{{4}}-[0-9a-fA-F]{{4}}-[0-9a-fA-F]{{4}}-[0-9a-fA-F]{{12}}$'
             limit 1"
        );
        if let Some(row) = session.query(&sql, &[]).await?.first() {
            let (id, row): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let (id, row) = (excerpt(&id), excerpt(&row));
            return Err(PgError::Unexpected(format!(
                "the tables of slamon-afm 1.1.0 were left as they are: {table}.{column} {id:?} is not a \
                 UUID; mend or delete the row {row}"
            )));
        }
    }
    Ok(())
}

/// Drops the tables of this program; `false` if there were none.
pub(super) async fn drop_ours(session: &Session) -> Result<bool, PgError> {
    session.script("begin read write; set local synchronous_commit = on").await?;
    session.query(LOCK, &[]).await?;
    let found = matches!(look(session).await?, ExistingTables::Version(_));
    if found {
        session
            .script(
                "drop table if exists task, attempt, agent, agent_offer, past_agent, pause, task_count, \
                 task_total, minute_statistics, task_trace, agent_outcome, agent_census, offer_count, token; \
                 drop table slamon_schema",
            )
            .await?;
    }
    session.script("commit").await?;
    Ok(found)
}
