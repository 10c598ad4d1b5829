//! Adopts a database of slamon-afm 1.1.0.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rusqlite::{Connection, Row, Transaction, params};
use slamon_protocol::{JsonText, excerpt, parse_id};
use uuid::Uuid;

use super::test_index;
use crate::error::StoreError;
use crate::store::Adopted;

/// The columns by which the tables of slamon-afm 1.1.0 are told from those of others with the same names.
const TASKS: &[&str] = &[
    "uuid",
    "test_id",
    "type",
    "version",
    "data",
    "result_data",
    "assigned_agent_uuid",
    "created",
    "claimed",
    "completed",
    "started",
    "error",
];
const AGENTS: &[&str] = &["uuid", "name", "last_seen"];
const CAPABILITIES: &[&str] = &["agent_uuid", "type", "version"];

/// Whether the tables of slamon-afm 1.1.0 exist.
pub(super) fn holds_original(connection: &Connection) -> rusqlite::Result<bool> {
    has_columns(connection, "tasks", TASKS)
}

fn has_columns(connection: &Connection, table: &str, columns: &[&str]) -> rusqlite::Result<bool> {
    let mut select = connection.prepare("select name from pragma_table_info(?1)")?;
    let names: Vec<String> = select.query_map([table], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(columns.iter().all(|column| names.iter().any(|name| name == column)))
}

/// Copies all rows into our tables, which are empty, and drops the original's tables.
pub(super) fn adopt(transaction: &Transaction<'_>) -> Result<Adopted, StoreError> {
    // A table that does not exist, or is not the original's, is neither read nor dropped.
    let agents = has_columns(transaction, "agents", AGENTS)?;
    let capabilities = has_columns(transaction, "agent_capabilities", CAPABILITIES)?;
    if capabilities {
        refuse_bad_capabilities(transaction)?;
    }
    let mut adopted = Adopted { tasks: 0, pending: 0, agents: 0, renamed: 0 };
    if agents {
        adopted.agents = adopt_agents(transaction, capabilities)?;
    }
    adopt_tasks(transaction, &mut adopted)?;
    test_index::build(transaction)?;
    transaction.execute_batch("update task_total set is_counted = 0")?;
    transaction.execute_batch("drop table tasks")?;
    if capabilities {
        transaction.execute_batch("drop table agent_capabilities")?;
    }
    if agents {
        transaction.execute_batch("drop table agents")?;
    }
    Ok(adopted)
}

fn refuse_bad_capabilities(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    let mut owners = transaction.prepare("select distinct agent_uuid from agent_capabilities")?;
    let mut rows = owners.query([])?;
    while let Some(row) = rows.next()? {
        if let Some(owner) = row.get::<_, Option<String>>(0)? {
            id("agent_capabilities", "agent_uuid", &owner, &owner)?;
        }
    }
    Ok(())
}

fn adopt_agents(transaction: &Transaction<'_>, with_capabilities: bool) -> Result<u64, StoreError> {
    // The original could leave a type in several versions; the highest is the one the agent said last.
    let capabilities = if with_capabilities {
        "(select json_group_object(type, version) from
             (select type, max(version) as version from agent_capabilities
              where agent_uuid = a.uuid and type is not null and version is not null group by type))"
    } else {
        "'{}'"
    };
    // Of agents whose ids differ in letter case only, the one seen last counts.
    let mut agents = transaction.prepare(&format!(
        "select a.uuid, a.name, a.last_seen, {capabilities} from agents a order by a.last_seen, a.uuid"
    ))?;
    let mut insert = transaction.prepare(
        "insert into agent (id, name, capabilities, last_seen) values (?1, ?2, ?3, ?4)
         on conflict (id) do update set name = excluded.name, capabilities = excluded.capabilities,
                                        last_seen = excluded.last_seen",
    )?;
    let mut rows = agents.query([])?;
    while let Some(row) = rows.next()? {
        let text: String = row.get(0)?;
        let id = id("agents", "uuid", &text, &text)?;
        let last_seen = time("agents", "last_seen", &text, row.get::<_, Option<String>>(2)?.as_deref())?
            .unwrap_or(Timestamp::UNIX_EPOCH);
        let name: Option<String> = row.get(1)?;
        insert.execute(params![
            id.as_bytes(),
            name.unwrap_or_default(),
            row.get::<_, String>(3)?,
            last_seen.as_microsecond()
        ])?;
    }
    transaction.execute_batch(
        "insert into agent_offer (type, version, agent)
         select key, value, agent.seq from agent, json_each(agent.capabilities)",
    )?;
    Ok(transaction.query_row("select count(*) from agent", [], |row| row.get(0))?)
}

fn adopt_tasks(transaction: &Transaction<'_>, adopted: &mut Adopted) -> Result<(), StoreError> {
    let mut tasks = transaction.prepare(
        "select uuid, test_id, type, version, data, result_data, assigned_agent_uuid,
                created, claimed, completed, started, error
         from tasks order by created, uuid",
    )?;
    let mut exact = transaction.prepare("select 1 from tasks where uuid = ?1")?;
    let mut taken = transaction.prepare("select 1 from task where id = ?1")?;
    let mut insert = transaction.prepare(
        "insert into task (id, test_id, type, version, data, created_at,
                           state, agent_id, claimed_at, finished_at, result, error, attempts)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?8 is not null)",
    )?;
    let mut rows = tasks.query([])?;
    while let Some(row) = rows.next()? {
        let task = OldTask::read(row)?;
        let canonical = task.id.to_string();
        // The original took `ABC…`, `abc…` and `abc…\n` for three tasks. Clients can only ask for the second.
        let another_has_it = canonical != task.text && exact.exists([&canonical])?;
        let id = if another_has_it || taken.exists([task.id.as_bytes()])? { Uuid::new_v4() } else { task.id };
        if id != task.id {
            adopted.renamed += 1;
            tracing::warn!(
                old = &*excerpt(&task.text),
                new = %id,
                "another task has the same id: this one gets a new id"
            );
        }
        adopted.tasks += 1;
        adopted.pending += u64::from(task.state == "pending");
        insert.execute(params![
            id.as_bytes(),
            task.test_id.as_bytes(),
            task.task_type,
            task.version,
            task.data,
            task.created.as_microsecond(),
            task.state,
            task.claim.map(|(agent, _)| agent.into_bytes()),
            task.claim.map(|(_, at)| at.as_microsecond()),
            task.finished.map(Timestamp::as_microsecond),
            task.result,
            task.error,
        ])?;
    }
    Ok(())
}

struct OldTask {
    text: String,
    id: Uuid,
    test_id: Uuid,
    task_type: String,
    version: i64,
    data: Option<String>,
    created: Timestamp,
    state: &'static str,
    claim: Option<(Uuid, Timestamp)>,
    finished: Option<Timestamp>,
    result: Option<String>,
    error: Option<String>,
}

impl OldTask {
    fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        let text: String = row.get("uuid")?;
        let time =
            |column: &str| time("tasks", column, &text, row.get::<_, Option<String>>(column)?.as_deref());
        let agent: Option<String> = row.get("assigned_agent_uuid")?;
        let agent = agent.map(|agent| id("tasks", "assigned_agent_uuid", &text, &agent)).transpose()?;
        let created = time("created")?.unwrap_or(Timestamp::UNIX_EPOCH);
        let (claimed, completed, failed) = (time("claimed")?, time("completed")?, time("started")?);
        let state = match (failed, completed) {
            (Some(_), _) => "failed",
            (None, Some(_)) => "completed",
            (None, None) if agent.is_some() || claimed.is_some() => "claimed",
            (None, None) => "pending",
        };
        let result: Option<String> = row.get("result_data")?;
        let error: Option<String> = row.get("error")?;
        let data: Option<String> = row.get("data")?;
        Ok(Self {
            id: id("tasks", "uuid", &text, &text)?,
            test_id: id("tasks", "test_id", &text, &row.get::<_, String>("test_id")?)?,
            task_type: row.get::<_, Option<String>>("type")?.unwrap_or_default(),
            version: row.get::<_, Option<i64>>("version")?.unwrap_or_default(),
            data: data.filter(|data| !data.is_empty()),
            created,
            state,
            claim: (state != "pending")
                .then(|| (agent.unwrap_or_else(Uuid::nil), claimed.unwrap_or(created))),
            finished: failed.or(completed),
            result: (state == "completed")
                .then(|| result.filter(|result| !result.is_empty()).unwrap_or_else(|| "{}".to_owned())),
            error: (state == "failed")
                .then(|| JsonText::string(&error.unwrap_or_default()).as_str().to_owned()),
            text,
        })
    }
}

fn id(table: &str, column: &str, row: &str, text: &str) -> Result<Uuid, StoreError> {
    // White space as PostgreSQL's adoption trims it, which is not all that Unicode has.
    let trimmed = text.trim_matches([' ', '\t', '\n', '\r', '\x0c', '\x0b']);
    parse_id(trimmed).ok_or_else(|| unreadable(table, column, row, text, "a UUID"))
}

/// A time as SQLAlchemy writes it: UTC, `2026-11-22 19:23:01.621614`.
fn time(table: &str, column: &str, row: &str, text: Option<&str>) -> Result<Option<Timestamp>, StoreError> {
    let parse = |text: &str| text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok();
    let parsed = |text: &str| parse(text).ok_or_else(|| unreadable(table, column, row, text, "a time"));
    text.map(|text| parsed(text).map(|time| time.timestamp())).transpose()
}

fn unreadable(table: &str, column: &str, row: &str, text: &str, expected: &str) -> StoreError {
    let (row, text) = (excerpt(row), excerpt(text));
    StoreError::Failed(anyhow::anyhow!(
        "cannot adopt the database of slamon-afm 1.1.0: table {table}, row with uuid {row:?}, column \
         {column}: {text:?} is not {expected}"
    ))
}
