//! Reads what operators have paused.

use rusqlite::Connection;
use slamon_domain::{MAX_PAUSES, PauseTarget, Pauses};
use slamon_protocol::Capability;
use uuid::Uuid;

use super::columns;

pub(super) fn read(connection: &Connection) -> rusqlite::Result<Pauses> {
    let mut select =
        connection.prepare_cached("select agent_id, type, version, paused_at from pause limit ?1")?;
    let mut rows = select.query([MAX_PAUSES])?;
    let mut pauses = Pauses::default();
    while let Some(row) = rows.next()? {
        let agent: Option<[u8; 16]> = row.get("agent_id")?;
        let target = match (agent, row.get("version")?) {
            (Some(id), _) => PauseTarget::Agent(Uuid::from_bytes(id)),
            (None, None) => PauseTarget::Type(row.get("type")?),
            (None, Some(version)) => {
                PauseTarget::Version(Capability { task_type: row.get("type")?, version })
            }
        };
        pauses.add(target, columns::time(row, "paused_at")?);
    }
    Ok(pauses)
}
