//! Finds what time has made due, forgets agents and deletes tasks.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{ToSql, params};
use slamon_domain::Sweep;
use slamon_domain::batch::DueTasks;

use super::BatchTransaction;
use crate::error::StoreError;
use crate::sqlite::{columns, test_index};

/// A task that is deleted.
struct OldTask {
    seq: i64,
    id: [u8; 16],
    test_id: [u8; 16],
}

impl BatchTransaction<'_> {
    /// Finds the tasks that are due, and those whose agents are silent.
    pub(super) fn due(&self, sweep: &Sweep) -> rusqlite::Result<DueTasks> {
        let due = self
            .transaction
            .prepare_cached("select id from task where due_at <= ?1 order by due_at limit ?2")?
            .query_map(params![self.now.as_microsecond(), sweep.limit], |row| columns::id(row, "id"))?
            .collect::<Result<_, _>>()?;
        let seen_before = sweep.lost_after.and_then(|after| self.ago(after));
        let Some(seen_before) = seen_before else { return Ok(DueTasks { due, silent: Vec::new() }) };
        // An agent was seen when it claimed. For one that has been forgotten, or was never known, that
        // counts.
        let silent = self
            .transaction
            .prepare_cached(
                "select task.id as id, max(coalesce(agent.last_seen, claimed_at), claimed_at) as last_seen
                 from task left join agent on agent.id = task.agent_id
                 where state = 'claimed' and claimed_at < ?1 and coalesce(agent.last_seen, claimed_at) < ?1
                 limit ?2",
            )?
            .query_map(params![seen_before.as_microsecond(), sweep.limit], |row| {
                Ok((columns::id(row, "id")?, columns::time(row, "last_seen")?))
            })?
            .collect::<Result<_, _>>()?;
        Ok(DueTasks { due, silent })
    }

    /// Forgets agents and deletes tasks.
    pub(super) fn clean(&mut self, sweep: &Sweep) -> Result<(), StoreError> {
        let (forgotten, deleted) = (self.forget_agents(sweep)?, self.delete_finished(sweep)?);
        let next_due = self.next_due()?;
        if let Some(Ok(swept)) = self.executor.replies.sweeps.last_mut() {
            let limit = u64::from(sweep.limit);
            (swept.forgotten, swept.deleted, swept.next_due) = (forgotten, deleted, next_due);
            swept.more |= forgotten == limit || deleted == limit;
        }
        Ok(())
    }

    fn forget_agents(&mut self, sweep: &Sweep) -> Result<u64, StoreError> {
        let Some(seen_before) = sweep.forget_after.and_then(|after| self.ago(after)) else { return Ok(0) };
        let forgotten: Vec<i64> = self
            .transaction
            .prepare_cached(
                "select seq from agent
                 where last_seen < ?1
                     and not exists (select 1 from pause where pause.agent_id = agent.id)
                 limit ?2",
            )?
            .query_map(params![seen_before.as_microsecond(), sweep.limit], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for agent in &forgotten {
            self.forget_agent(*agent)?;
        }
        Ok(forgotten.len() as u64)
    }

    fn delete_finished(&mut self, sweep: &Sweep) -> Result<u64, StoreError> {
        let Some(before) = sweep.delete_after.and_then(|after| self.ago(after)) else { return Ok(0) };
        let old: Vec<OldTask> = self
            .transaction
            .prepare_cached(
                "select seq, id, test_id from task where finished_at < ?1 order by finished_at limit ?2",
            )?
            .query_map(params![before.as_microsecond(), sweep.limit], |row| {
                Ok(OldTask { seq: row.get(0)?, id: row.get(1)?, test_id: row.get(2)? })
            })?
            .collect::<Result<_, _>>()?;
        let mut agents: BTreeSet<[u8; 16]> = BTreeSet::new();
        for OldTask { seq, id, test_id } in &old {
            for (delete, key) in [
                ("delete from attempt where task_id = ?1 returning agent_id", id as &dyn ToSql),
                ("delete from task where seq = ?1 returning agent_id", seq),
            ] {
                let mut delete = self.transaction.prepare_cached(delete)?;
                for agent in delete.query_map([key], |row| row.get::<_, Option<[u8; 16]>>(0))? {
                    agents.extend(agent?);
                }
            }
            test_index::deleted(self.transaction, *test_id, *seq)?;
        }
        for agent in agents {
            self.forget_name(agent)?;
        }
        Ok(old.len() as u64)
    }

    fn next_due(&self) -> rusqlite::Result<Option<Timestamp>> {
        self.transaction
            .prepare_cached("select min(due_at) as due_at from task where due_at is not null")?
            .query_row([], |row| columns::optional_time(row, "due_at"))
    }

    /// The time so long ago; `None` where that is before all time.
    fn ago(&self, after: Duration) -> Option<Timestamp> {
        self.now.checked_sub(after).ok()
    }
}
