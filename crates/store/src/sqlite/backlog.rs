//! Reads which kinds of tasks wait, and which agents have pending cancellations.

use rusqlite::{Connection, Row, params};
use slamon_domain::{KindCursor, WaitingKind};
use slamon_protocol::{AgentFilter, Capability};
use uuid::Uuid;

use super::columns;
use crate::store::{BACKLOG_BYTES, Backlog};

/// A query that goes from one kind to the next in the index of waiting tasks, and so reads kinds, not tasks.
macro_rules! kinds {
    ($from:literal) => {
        concat!(
            "with recursive kind (type, version, agent_filter) as (
                select * from (select type, version, agent_filter from task where state = 'pending' ",
            $from,
            " order by type, version, agent_filter limit 1)
                union all
                select next.type, next.version, next.agent_filter
                from kind join task as next on next.seq = (
                    select seq from task
                    where state = 'pending'
                        and (type, version, agent_filter) > (kind.type, kind.version, kind.agent_filter)
                    order by type, version, agent_filter limit 1)
            )
            select * from kind limit ?1"
        )
    };
}

const KINDS: &str = kinds!("");

const KINDS_AFTER: &str = kinds!("and (type, version, agent_filter) > (?2, ?3, ?4)");

/// A query for the agents that have pending cancellations. They have few, and each is told once.
const PENDING_CANCELLATIONS: &str = "select distinct agent_id from attempt where untold is not null limit ?1";

/// A query for whether any task of a kind waits.
const WAITS: &str = "select exists (
    select 1 from task where state = 'pending' and type = ?1 and version = ?2 and agent_filter = ?3)";

pub(super) fn read(
    connection: &Connection,
    after: Option<&WaitingKind>,
    limit: u32,
) -> rusqlite::Result<Backlog> {
    let mut select = connection.prepare_cached(if after.is_none() { KINDS } else { KINDS_AFTER })?;
    let found = match after {
        None => select.query_map([limit], read_kind)?,
        Some(WaitingKind { capability, agent_filter }) => {
            let after = params![limit, capability.task_type, capability.version, agent_filter.key()];
            select.query_map(after, read_kind)?
        }
    };
    let mut bytes = 0;
    let mut kinds: Vec<KindCursor> = Vec::new();
    for kind in found {
        let kind = kind?;
        bytes += kind.text_bytes();
        kinds.push(kind.into());
        // SQLite looks for each kind only when it is asked for it.
        if bytes > BACKLOG_BYTES as usize {
            break;
        }
    }
    let is_last = kinds.len() < limit as usize && bytes <= BACKLOG_BYTES as usize;
    let next = kinds.last().filter(|_| !is_last).map(|last| last.kind.clone());
    let pending_cancellations = read_pending_cancellations(connection, limit)?;
    let is_complete = pending_cancellations.len() < limit as usize;
    Ok(Backlog { kinds, pending_cancellations, next, is_complete, ..Backlog::default() })
}

/// Reads which of the kinds of `known` have waiting tasks.
pub(super) fn read_of(
    connection: &Connection,
    known: &[KindCursor],
    limit: u32,
) -> rusqlite::Result<Backlog> {
    let mut waits = connection.prepare_cached(WAITS)?;
    let mut kinds = Vec::new();
    for KindCursor { kind, .. } in known {
        let WaitingKind { capability, agent_filter } = kind;
        let of_kind = params![capability.task_type, capability.version, agent_filter.key()];
        if waits.query_row(of_kind, |row| row.get(0))? {
            kinds.push(kind.clone().into());
        }
    }
    let pending_cancellations = read_pending_cancellations(connection, limit)?;
    let is_complete = pending_cancellations.len() < limit as usize;
    Ok(Backlog { kinds, pending_cancellations, is_complete, ..Backlog::default() })
}

fn read_pending_cancellations(connection: &Connection, limit: u32) -> rusqlite::Result<Vec<Uuid>> {
    connection
        .prepare_cached(PENDING_CANCELLATIONS)?
        .query_map([limit], |row| columns::id(row, "agent_id"))?
        .collect()
}

fn read_kind(row: &Row<'_>) -> rusqlite::Result<WaitingKind> {
    let filter: String = row.get("agent_filter")?;
    Ok(WaitingKind {
        capability: Capability { task_type: row.get("type")?, version: row.get("version")? },
        agent_filter: AgentFilter::from_key(&filter).map_err(|e| columns::unreadable(e.to_string()))?,
    })
}
