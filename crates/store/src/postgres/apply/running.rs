//! Agents that say what they execute: of what they were given before, the rest is lost.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::tasks::{News, Tasks};
use crate::postgres::errors::Problem;
use crate::postgres::rows;
use crate::postgres::session::Session;
use crate::{Command, Running, State, lifecycle};

/// What is locked is just being ended by another batch, and is passed over, not waited for; it comes without columns.
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

/// What the agents have that say what they execute.
#[derive(Default)]
pub(super) struct Held {
    /// The tasks of each, which are locked.
    tasks: BTreeMap<Uuid, BTreeSet<Uuid>>,
    /// Those that have more than these.
    incomplete: BTreeSet<Uuid>,
}

/// What came of what they said.
pub(super) struct Accounts {
    pub(super) accounted: Vec<Uuid>,
    pub(super) abandoned: usize,
}

impl Held {
    pub(super) async fn find(
        session: &Session,
        batch: &[Command],
        tasks: &mut Tasks,
    ) -> Result<Self, Problem> {
        let agents: BTreeSet<Uuid> = Running::of(batch).map(|(agent_id, _)| agent_id).collect();
        let mut held = Self::default();
        if agents.is_empty() {
            return Ok(held);
        }
        let agents: Vec<Uuid> = agents.into_iter().collect();
        for row in session.query(HELD, &[&agents]).await? {
            let holder = row.try_get("holder")?;
            if let Some(id) = row.try_get("id")? {
                held.tasks.entry(holder).or_default().insert(id);
                tasks.add(rows::task_without_data(&row)?, row.try_get("seq")?);
            } else {
                held.incomplete.insert(holder);
            }
        }
        Ok(held)
    }

    /// Ends what agents do not name, as the commands before have left it.
    pub(super) fn decide(self, batch: &[Command], tasks: &mut Tasks, news: &mut News) -> Accounts {
        let mut accounts = Accounts { accounted: Vec::new(), abandoned: 0 };
        for (agent_id, running) in Running::of(batch) {
            let running = Running { until: rows::as_stored(running.until), ..running.clone() };
            let mut accounted = !self.incomplete.contains(&agent_id);
            for id in self.tasks.get(&agent_id).into_iter().flatten() {
                tasks.settle(*id, news);
                let now = tasks.now;
                let Some(task) = tasks.get(*id) else { continue };
                if let Some(change) = lifecycle::abandon(task, agent_id, &running, now) {
                    tasks.change(*id, change, news);
                    accounts.abandoned += 1;
                } else if let State::Claimed(attempt) = &task.state {
                    accounted &= running.names(attempt);
                }
            }
            // The last poll of an agent counts.
            accounts.accounted.retain(|id| *id != agent_id);
            if accounted {
                accounts.accounted.push(agent_id);
            }
        }
        accounts
    }
}
