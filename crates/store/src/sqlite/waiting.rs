//! Reads the first waiting task of each kind.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use slamon_protocol::{AgentFilter, Capability};

use super::columns::{id, time, unreadable};
use crate::waiting::{AGENTS_LOOKED_AT, WaitingHead, WaitingPart};

/// The first head, the next one of the same kind, and that of the next kind: one look into the index each.
macro_rules! head {
    ($from:literal) => {
        concat!(
            "select type, version, agent_filter, priority, id, created_at
             from task indexed by task_waiting where state = 'pending' ",
            $from,
            " order by type, version, agent_filter, priority desc, seq limit 1"
        )
    };
}

const FIRST: &str = head!("");
const NEXT_PRIORITY: &str = head!("and type = ?1 and version = ?2 and agent_filter = ?3 and priority < ?4");
const NEXT_KIND: &str = head!("and (type, version, agent_filter) > (?1, ?2, ?3)");

const OFFERED: &str = "select exists (
    select 1 from (
        select agent from agent_offer where type = ?1 and version = ?2 order by agent desc limit ?4
    ) as offer join agent on agent.seq = offer.agent where last_seen >= ?3)";

const SEEN: &str = "select exists (select 1 from agent where id = ?1 and last_seen >= ?2)";

pub(super) fn heads(
    connection: &mut Connection,
    after: Option<&WaitingHead>,
    seen_since: Timestamp,
    limit: u32,
) -> rusqlite::Result<WaitingPart> {
    // All is read from one snapshot.
    let transaction = connection.transaction()?;
    let mut heads: Vec<WaitingHead> = Vec::new();
    while heads.len() < limit as usize {
        let Some(mut head) = next(&transaction, heads.last().or(after))? else { break };
        head.is_served = is_served(&transaction, &head, seen_since)?;
        heads.push(head);
    }
    Ok(WaitingPart::of(heads, limit))
}

fn next(connection: &Connection, after: Option<&WaitingHead>) -> rusqlite::Result<Option<WaitingHead>> {
    let Some(WaitingHead { capability, agent_filter, priority, .. }) = after else {
        return connection.prepare_cached(FIRST)?.query_row([], read).optional();
    };
    let Capability { task_type, version } = capability;
    let of_kind = connection
        .prepare_cached(NEXT_PRIORITY)?
        .query_row(params![task_type, version, agent_filter, priority], read)
        .optional()?;
    if of_kind.is_some() {
        return Ok(of_kind);
    }
    connection
        .prepare_cached(NEXT_KIND)?
        .query_row(params![task_type, version, agent_filter], read)
        .optional()
}

fn is_served(connection: &Connection, head: &WaitingHead, seen_since: Timestamp) -> rusqlite::Result<bool> {
    let filter = AgentFilter::from_key(&head.agent_filter).map_err(|error| unreadable(error.to_string()))?;
    let since = seen_since.as_microsecond();
    if let Some(agent) = filter.agent_id {
        return connection
            .prepare_cached(SEEN)?
            .query_row(params![agent.as_bytes(), since], |row| row.get(0));
    }
    let Capability { task_type, version } = &head.capability;
    connection
        .prepare_cached(OFFERED)?
        .query_row(params![task_type, version, since, AGENTS_LOOKED_AT], |row| row.get(0))
}

fn read(row: &Row<'_>) -> rusqlite::Result<WaitingHead> {
    Ok(WaitingHead {
        capability: Capability { task_type: row.get("type")?, version: row.get("version")? },
        agent_filter: row.get("agent_filter")?,
        priority: row.get("priority")?,
        task_id: id(row, "id")?,
        created: time(row, "created_at")?,
        is_served: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::schema;

    #[test]
    fn kinds_are_read_and_not_tasks() {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::create(&mut connection).unwrap();
        for (sql, parameters) in [(FIRST, 0), (NEXT_PRIORITY, 4), (NEXT_KIND, 3)] {
            let mut plan = connection.prepare(&format!("explain query plan {sql}")).unwrap();
            let parameters = rusqlite::params_from_iter(vec![0; parameters]);
            let details = plan.query_map(parameters, |row| row.get::<_, String>("detail")).unwrap();
            let details: Vec<String> = details.map(Result::unwrap).collect();
            assert!(details.len() == 1 && details[0].contains("INDEX task_waiting"), "{details:?}");
        }
    }
}
