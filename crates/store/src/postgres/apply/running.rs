//! Finds the tasks of agents that say what they execute: those that they do not name are lost.

use std::collections::{BTreeSet, HashMap};

use slamon_domain::batch::{HeldTasks, Snapshot};
use slamon_domain::{Command, Running};
use uuid::Uuid;

use super::endings::add_task;
use crate::postgres::errors::PgError;
use crate::postgres::rows;
use crate::postgres::session::Session;

/// Finds and locks the running attempts of agents. What another batch has locked, it is just ending: that is
/// passed over, not waited for, and comes without columns.
const HELD: &str = concat!(
    "select held.agent_id as holder, ",
    rows::task_columns!(),
    "
    from (
        select id, agent_id from task where state = 'claimed' and agent_id = any($1::uuid[]) order by id
    ) as held
    left join lateral (
        select * from task where task.id = held.id and task.state = 'claimed' for update skip locked
    ) as task on true
"
);

/// Finds and locks the running attempts of those agents that say what they execute.
pub(super) async fn find(
    session: &Session,
    batch: &[Command],
    snapshot: &mut Snapshot<'_>,
) -> Result<(), PgError> {
    let agents: BTreeSet<Uuid> = Running::of(batch).map(|(agent_id, _)| agent_id).collect();
    if agents.is_empty() {
        return Ok(());
    }
    let agents: Vec<Uuid> = agents.into_iter().collect();
    let mut held: HashMap<Uuid, HeldTasks> = HashMap::new();
    for row in session.query(HELD, &[&agents]).await? {
        let held = held.entry(row.try_get("holder")?).or_default();
        if let Some(id) = row.try_get("id")? {
            held.tasks.push(id);
            add_task(&row, rows::task_without_data(&row)?, snapshot)?;
        } else {
            held.has_more = true;
        }
    }
    for (agent_id, held) in held {
        snapshot.add_held(agent_id, held);
    }
    Ok(())
}
