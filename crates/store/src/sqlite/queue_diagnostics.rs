//! Reads which agents might take a task, and how many tasks come before it.

use jiff::Timestamp;
use rusqlite::{Connection, params};
use slamon_domain::{AHEAD_COUNTED, QueueDiagnostics, Task};
use slamon_protocol::AgentFilter;

use super::rows;

/// How many other versions are named.
const VERSIONS: u32 = 5;

pub(super) fn of(
    connection: &Connection,
    task: &Task,
    seen_since: Timestamp,
) -> rusqlite::Result<QueueDiagnostics> {
    let posted = &task.posted;
    let other_versions = connection
        .prepare_cached(
            "select distinct version from agent_offer where type = ?1 and version <> ?2 order by version \
             limit ?3",
        )?
        .query_map(params![posted.task_type, posted.task_version, VERSIONS], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let filter = &posted.terms.agent_filter;
    let mut diagnostics = connection
        .prepare_cached(
            "with capable as (
                 select last_seen >= ?3 as active, max_tasks > 0 as free,
                        (?4 is null or ?4 = location ->> '$.country')
                        and (?5 is null or ?5 = location ->> '$.region')
                        and (?6 is null or ?6 = id) and (?7 is null or ?7 = name) as matching,
                        not exists (select 1 from pause where pause.agent_id = agent.id) as unpaused
                 from (
                     -- The only one that may take it.
                     select agent from agent_offer
                     where type = ?1 and version = ?2 and agent = (select seq from agent where id = ?6)
                     union
                     -- Many are as good as all: this is asked of each task that expires while it waits. Those that
                     -- came first may be gone.
                     select agent from (
                         select agent from agent_offer where type = ?1 and version = ?2
                         order by agent desc limit 1000)
                 ) as offer join agent on agent.seq = offer.agent)
             select count(*) as capable, count(*) filter (where matching) as matching,
                    count(*) filter (where matching and active) as active,
                    count(*) filter (where matching and active and unpaused) as unpaused,
                    count(*) filter (where matching and active and unpaused and free) as free,
                    exists (select 1 from pause where pause.type = ?1
                            and (pause.version is null or pause.version = ?2)) as paused
             from capable",
        )?
        .query_row(
            params![
                posted.task_type,
                posted.task_version,
                seen_since.as_microsecond(),
                filter.country,
                filter.region,
                filter.agent_id.map(uuid::Uuid::into_bytes),
                filter.agent_name,
            ],
            |row| {
                Ok(QueueDiagnostics {
                    capable: row.get("capable")?,
                    matching: row.get("matching")?,
                    active: row.get("active")?,
                    unpaused: row.get("unpaused")?,
                    free: row.get("free")?,
                    paused: row.get("paused")?,
                    ..QueueDiagnostics::default()
                })
            },
        )?;
    diagnostics.other_versions = other_versions;
    diagnostics.ahead = ahead(connection, task)?;
    Ok(diagnostics)
}

/// Counts the tasks of the same type and version that come before: those for any agent, and those with the
/// same filter.
fn ahead(connection: &Connection, task: &Task) -> rusqlite::Result<u64> {
    let posted = &task.posted;
    let Some(seq) = rows::task(connection, posted.task_id)?.map(|found| found.seq) else { return Ok(0) };
    // Two ranges of the index of waiting tasks, each read only as far as it is counted.
    let mut count = connection.prepare_cached(
        "select (select count(*) from (select 1 from task
                     where state = 'pending' and type = ?1 and version = ?2 and agent_filter = ?3
                       and priority > ?4 limit ?6))
              + (select count(*) from (select 1 from task
                     where state = 'pending' and type = ?1 and version = ?2 and agent_filter = ?3
                       and priority = ?4 and seq < ?5 limit ?6))",
    )?;
    let mut filters = vec![posted.terms.agent_filter.key(), AgentFilter::default().key()];
    filters.dedup();
    let mut ahead = 0;
    for filter in filters {
        ahead += count.query_row(
            params![posted.task_type, posted.task_version, filter, posted.terms.priority, seq, AHEAD_COUNTED],
            |row| row.get::<_, u64>(0),
        )?;
    }
    Ok(ahead.min(AHEAD_COUNTED))
}
