//! Finds the tasks and attempts that commands name.

use slamon_domain::batch::{HeldTasks, LockedTask};
use slamon_domain::{Command, State, Task};
use uuid::Uuid;

use super::BatchTransaction;
use crate::error::StoreError;
use crate::sqlite::{columns, queue_diagnostics, rows};

impl<'t> BatchTransaction<'t> {
    /// Puts what a command names into the snapshot; a task that it posts is inserted.
    pub(super) fn find(&mut self, command: &'t Command) -> Result<(), StoreError> {
        match command {
            Command::Submit(posted) => {
                let lookup = self.submit(posted)?;
                self.executor.snapshot.add_post(posted.task_id, lookup);
            }
            Command::Report(result) => {
                if let Some((task, past)) = rows::task_and_past(self.transaction, result.task_id)? {
                    self.add_tasks([task])?;
                    if let Some((task_id, past, late)) = past {
                        self.executor.snapshot.add_past(task_id, past, late.is_some());
                    }
                }
            }
            Command::Cancel(id) => {
                let task = rows::task(self.transaction, *id)?;
                self.add_tasks(task)?;
            }
            Command::Release { task_ids, .. } => self.find_tasks(task_ids)?,
            Command::Poll { poll, running: Some(_), .. } => {
                let tasks = self.held_by(poll.agent_id)?;
                self.find_tasks(&tasks)?;
                self.executor.snapshot.add_held(poll.agent_id, HeldTasks { tasks, has_more: false });
            }
            Command::Sweep(sweep) => {
                let due = self.due(sweep)?;
                self.find_tasks(&due.due)?;
                let silent: Vec<Uuid> = due.silent.iter().map(|(id, _)| *id).collect();
                self.find_tasks(&silent)?;
                self.executor.snapshot.add_due(due);
            }
            Command::Poll { .. } | Command::Claim { .. } | Command::Seen(_) | Command::Operate(_) => {}
        }
        Ok(())
    }

    fn held_by(&self, agent_id: Uuid) -> rusqlite::Result<Vec<Uuid>> {
        self.transaction
            .prepare_cached("select id from task where state = 'claimed' and agent_id = ?1 order by seq")?
            .query_map([agent_id.as_bytes()], |row| columns::id(row, "id"))?
            .collect()
    }

    /// Puts those of `ids` that exist into the snapshot, without their data.
    fn find_tasks(&mut self, ids: &[Uuid]) -> Result<(), StoreError> {
        for id in ids {
            let task = rows::task_without_data(self.transaction, *id)?;
            self.add_tasks(task)?;
        }
        Ok(())
    }

    fn add_tasks(&mut self, found: impl IntoIterator<Item = LockedTask>) -> Result<(), StoreError> {
        for found in found {
            let task = &found.task;
            if self.expires_unclaimed(task) {
                let diagnostics = queue_diagnostics::of(self.transaction, task, task.created)?;
                self.executor.snapshot.add_diagnostics(task.posted.task_id, diagnostics);
            }
            self.executor.snapshot.add_task(found);
        }
        Ok(())
    }

    fn expires_unclaimed(&self, task: &Task) -> bool {
        task.state == State::Pending && task.expires().is_some_and(|time| time <= self.now)
    }
}
