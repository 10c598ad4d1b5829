//! Reads which types agents offer.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use slamon_protocol::Capability;

use super::columns::time;
use crate::fleet::{MOST_PASSED_OVER, Page};
use crate::offers::{MOST_OFFERING, OfferedType, OffersQuery};

/// The first type, and the first one after another: one look into the index each.
const FIRST: &str = "select type, version from agent_offer order by type, version limit 1";
const NEXT: &str = "select type, version from agent_offer where (type, version) > (?1, ?2)
     order by type, version limit 1";

const AGENTS: &str = "select count(*) as agents, coalesce(sum(active), 0) as active from (
         select last_seen >= ?3 as active
         from agent_offer join agent on agent.seq = agent_offer.agent
         where type = ?1 and version = ?2 limit ?4)";

const KEPT: &str = "select agents, offer_count.active, counted_at
     from offer_count join agent_census on counted_at is not null where type = ?1 and version = ?2";

pub(super) fn list(connection: &mut Connection, query: &OffersQuery) -> rusqlite::Result<Page<OfferedType>> {
    // All is read from one snapshot.
    let transaction = connection.transaction()?;
    let mut at = query.after.as_deref().and_then(|after| {
        let (version, task_type) = after.split_once('.')?;
        Some(Capability { task_type: task_type.to_owned(), version: version.parse().ok()? })
    });
    let (mut items, mut passed_over) = (Vec::new(), 0);
    loop {
        let Some(next) = next(&transaction, at.as_ref())? else { return Ok(Page { items, next: None }) };
        if items.len() >= query.limit as usize || passed_over >= MOST_PASSED_OVER {
            let place = at.map(|Capability { task_type, version }| format!("{version}.{task_type}"));
            return Ok(Page { items, next: place });
        }
        at = Some(next.clone());
        let offered = count(&transaction, next, query.seen_since)?;
        passed_over += if offered.counted_at.is_some() { 1 } else { offered.agents + 1 };
        items.push(offered);
    }
}

fn next(connection: &Connection, after: Option<&Capability>) -> rusqlite::Result<Option<Capability>> {
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Capability { task_type: row.get("type")?, version: row.get("version")? })
    };
    match after {
        None => connection.prepare_cached(FIRST)?.query_row([], read).optional(),
        Some(Capability { task_type, version }) => {
            connection.prepare_cached(NEXT)?.query_row(params![task_type, version], read).optional()
        }
    }
}

/// How many agents offer a type: those of the last census, or else those that are counted now.
fn count(
    connection: &Connection,
    capability: Capability,
    seen_since: Timestamp,
) -> rusqlite::Result<OfferedType> {
    let Capability { task_type, version } = &capability;
    let kept = connection
        .prepare_cached(KEPT)?
        .query_row(params![task_type, version], |row| {
            Ok((row.get("agents")?, row.get("active")?, time(row, "counted_at")?))
        })
        .optional()?;
    if let Some((agents, active, counted_at)) = kept {
        return Ok(OfferedType {
            capability,
            agents,
            active,
            counted_at: Some(counted_at),
            is_complete: true,
        });
    }
    let of = params![task_type, version, seen_since.as_microsecond(), MOST_OFFERING];
    let (agents, active) = connection
        .prepare_cached(AGENTS)?
        .query_row(of, |row| Ok((row.get("agents")?, row.get("active")?)))?;
    Ok(OfferedType { capability, agents, active, counted_at: None, is_complete: agents < MOST_OFFERING })
}

pub(super) fn of_types(
    connection: &Connection,
    types: &[Capability],
    seen_since: Timestamp,
) -> rusqlite::Result<Vec<OfferedType>> {
    types.iter().map(|capability| count(connection, capability.clone(), seen_since)).collect()
}
