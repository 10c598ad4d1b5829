//! Reads what operators have paused.

use slamon_domain::{MAX_PAUSES, PauseTarget, Pauses};
use slamon_protocol::Capability;

use super::errors::PgError;
use super::session::Session;

pub(super) async fn read(session: &Session) -> Result<Pauses, PgError> {
    let sql = "select agent_id, type, version, paused_at from pause limit $1";
    let mut pauses = Pauses::default();
    for row in &session.query(sql, &[&i64::from(MAX_PAUSES)]).await? {
        let target = match (row.try_get("agent_id")?, row.try_get("version")?) {
            (Some(id), _) => PauseTarget::Agent(id),
            (None, None) => PauseTarget::Type(row.try_get("type")?),
            (None, Some(version)) => {
                PauseTarget::Version(Capability { task_type: row.try_get("type")?, version })
            }
        };
        pauses.add(target, row.try_get("paused_at")?);
    }
    Ok(pauses)
}
