//! Lists agents, and reads one.

use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};
use uuid::Uuid;

use super::columns::{id, optional_time, text, time};
use crate::fleet::{
    AgentDetails, AgentQuery, AgentState, Candidate, LISTED_CAPABILITIES, ListedAgent, MOST_PASSED_OVER,
    MOST_RUNNING, Page, RunningTask, Search,
};
use crate::views::{TEXT_READ, shown};

/// A query for the agents that a search passes over, with the place of each as `place`.
macro_rules! candidates {
    ($place:literal, $from:literal) => {
        concat!(
            "select ",
            $place,
            " as place, agent.id, name, last_seen, location ->> '$.country' as country, \
             location ->> '$.region' as region, \
             (select paused_at from pause where pause.agent_id = agent.id) as paused_at from ",
            $from
        )
    };
}

/// All agents, in the order of their arrival.
const ALL: &str = candidates!("agent.seq", "agent where seq > ?1 order by seq limit ?2");

/// The agents that offer a type, in one version or in any: an agent offers it in one version at most.
const OF_TYPE: &str = candidates!(
    "agent_offer.version || '.' || agent_offer.agent",
    "agent_offer join agent on agent.seq = agent_offer.agent
     where agent_offer.type = ?1 and (agent_offer.version, agent_offer.agent) > (?2, ?3)
     order by agent_offer.version, agent_offer.agent limit ?4"
);

const OF_VERSION: &str = candidates!(
    "agent_offer.version || '.' || agent_offer.agent",
    "agent_offer join agent on agent.seq = agent_offer.agent
     where agent_offer.type = ?1 and agent_offer.version = ?2 and agent_offer.agent > ?3
     order by agent_offer.agent limit ?4"
);

const PAUSED: &str = candidates!(
    "hex(agent.id)",
    "pause join agent on agent.id = pause.agent_id
     where pause.agent_id > ?1 order by pause.agent_id limit ?2"
);

const ONE: &str = candidates!("''", "agent where id = ?1");

pub(super) fn list(connection: &mut Connection, query: &AgentQuery) -> rusqlite::Result<Page<ListedAgent>> {
    // All is read from one snapshot.
    let transaction = connection.transaction()?;
    let (ids, next) = find(&transaction, query)?;
    let agents = ids.iter().map(|id| read_agent(&transaction, *id, true));
    // None is gone, in one snapshot.
    let items = agents.filter_map(Result::transpose).collect::<Result<_, _>>()?;
    Ok(Page { items, next })
}

fn find(connection: &Connection, query: &AgentQuery) -> rusqlite::Result<(Vec<Uuid>, Option<String>)> {
    let after = query.after.as_deref();
    let numbers = after.and_then(|after| {
        let (version, agent) = after.split_once('.')?;
        Some((version.parse::<i64>().ok()?, agent.parse::<i64>().ok()?))
    });
    if let Some(id) = query.id {
        return search(connection, query, ONE, &[&id.as_bytes()]);
    }
    if let Some(task_type) = &query.task_type {
        return match (query.task_version, numbers) {
            (Some(version), at) => {
                let agent = at.map_or(i64::MIN, |(_, agent)| agent);
                search(connection, query, OF_VERSION, &[task_type, &version, &agent, &MOST_PASSED_OVER])
            }
            (None, at) => {
                let (version, agent) = at.unwrap_or((i64::MIN, i64::MIN));
                search(connection, query, OF_TYPE, &[task_type, &version, &agent, &MOST_PASSED_OVER])
            }
        };
    }
    if query.state == Some(AgentState::Paused) {
        let after = after.and_then(|after| after.parse::<Uuid>().ok());
        let after = after.map_or_else(Vec::new, |id| id.as_bytes().to_vec());
        return search(connection, query, PAUSED, &[&after, &MOST_PASSED_OVER]);
    }
    let after = after.and_then(|after| after.parse::<i64>().ok()).unwrap_or(i64::MIN);
    search(connection, query, ALL, &[&after, &MOST_PASSED_OVER])
}

fn search(
    connection: &Connection,
    query: &AgentQuery,
    sql: &str,
    parameters: &[&dyn ToSql],
) -> rusqlite::Result<(Vec<Uuid>, Option<String>)> {
    let mut search = Search::of(query);
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query(parameters)?;
    while let Some(row) = rows.next()? {
        let candidate = Candidate {
            id: id(row, "id")?,
            name: row.get("name")?,
            last_seen: time(row, "last_seen")?,
            paused_since: optional_time(row, "paused_at")?,
            country: row.get("country")?,
            region: row.get("region")?,
        };
        let place: String = match row.get_ref("place")? {
            rusqlite::types::ValueRef::Integer(seq) => seq.to_string(),
            other => other.as_str()?.to_owned(),
        };
        if search.pass(Some(&candidate), || place.clone()).is_break() {
            return Ok(search.end(false));
        }
    }
    Ok(search.end(true))
}

/// What an agent executes. The index is named, or all that it ever had would be read.
const RUNNING: &str =
    "select seq, id, test_id, substr(type, 1, ?2) as type, version, created_at, claimed_at, attempts, due_at
     from task indexed by task_held where state = 'claimed' and agent_id = ?1 limit ?3";

/// Reads an agent; as it is in lists, or whole.
fn read_agent(connection: &Connection, id: Uuid, is_listed: bool) -> rusqlite::Result<Option<ListedAgent>> {
    let mut select = connection.prepare_cached(
        "select id, iif(?2, substr(name, 1, ?3), name) as name, last_seen, location, max_tasks,
                (select paused_at from pause where pause.agent_id = agent.id) as paused_at,
                iif(?2 and octet_length(capabilities) > ?4, null, capabilities) as capabilities,
                octet_length(capabilities) as capabilities_bytes,
                (select count(*) from (select 1 from task indexed by task_held
                     where state = 'claimed' and agent_id = agent.id limit ?5)) as running
         from agent where id = ?1",
    )?;
    let read = |row: &Row<'_>| {
        let name = row.get_ref("name")?.as_str()?;
        Ok(ListedAgent {
            id: super::columns::id(row, "id")?,
            name: if is_listed { shown(name) } else { name.to_owned() },
            last_seen: time(row, "last_seen")?,
            paused_since: optional_time(row, "paused_at")?,
            capabilities: text(row, "capabilities")?,
            capabilities_bytes: row.get("capabilities_bytes")?,
            location: text(row, "location")?,
            max_tasks: row.get("max_tasks")?,
            running: row.get("running")?,
        })
    };
    let of = params![id.as_bytes(), is_listed, TEXT_READ, LISTED_CAPABILITIES, MOST_RUNNING];
    select.query_row(of, read).optional()
}

pub(super) fn agent(connection: &mut Connection, id: Uuid) -> rusqlite::Result<Option<AgentDetails>> {
    let transaction = connection.transaction()?;
    let Some(agent) = read_agent(&transaction, id, false)? else { return Ok(None) };
    let mut tasks: Vec<(i64, RunningTask)> = transaction
        .prepare_cached(RUNNING)?
        .query_map(params![id.as_bytes(), TEXT_READ, MOST_RUNNING + 1], |row| {
            Ok((row.get("seq")?, running_task(row)?))
        })?
        .collect::<Result<_, _>>()?;
    let more_tasks = tasks.len() > MOST_RUNNING as usize;
    tasks.truncate(MOST_RUNNING as usize);
    tasks.sort_unstable_by_key(|(seq, _)| *seq);
    let tasks = tasks.into_iter().map(|(_, task)| task).collect();
    Ok(Some(AgentDetails { agent, tasks, more_tasks }))
}

fn running_task(row: &Row<'_>) -> rusqlite::Result<RunningTask> {
    Ok(RunningTask {
        task_id: id(row, "id")?,
        test_id: id(row, "test_id")?,
        task_type: shown(row.get_ref("type")?.as_str()?),
        task_version: row.get("version")?,
        created: time(row, "created_at")?,
        claimed: time(row, "claimed_at")?,
        attempt: row.get("attempts")?,
        deadline: optional_time(row, "due_at")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::schema;

    #[test]
    fn what_an_agent_executes_is_found_without_what_it_has_had() {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::create(&mut connection).unwrap();
        let plan = format!("explain query plan {RUNNING}");
        let plan =
            connection.query_row(&plan, params![[0_u8; 16], 1, 1], |row| row.get::<_, String>("detail"));
        assert!(plan.as_ref().is_ok_and(|plan| plan.contains("INDEX task_held (agent_id=?)")), "{plan:?}");
    }
}
