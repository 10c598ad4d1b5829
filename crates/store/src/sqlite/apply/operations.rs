//! Applies what operators do: pauses, and forgetting an agent.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, ToSql, params};
use slamon_domain::{MAX_PAUSES, Operated, Operation, PauseTarget, Refusal};
use uuid::Uuid;

use super::BatchTransaction;
use crate::sqlite::columns;

impl BatchTransaction<'_> {
    pub(super) fn operate(&mut self, operation: &Operation) -> rusqlite::Result<Operated> {
        let operated = match operation {
            Operation::Pause(target) => self.pause(target)?,
            Operation::Resume(target) => self.resume(target)?,
            Operation::Forget(agent_id) => self.forget(*agent_id)?,
        };
        self.pauses_changed |= operated.is_ok();
        Ok(operated)
    }

    fn pause(&self, target: &PauseTarget) -> rusqlite::Result<Operated> {
        if let Some(since) = self.paused_since(target)? {
            return Ok(Ok(Some(since)));
        }
        if let PauseTarget::Agent(id) = target
            && self.agent_seq(*id)?.is_none()
        {
            return Ok(Err(Refusal::UnknownAgent));
        }
        let count: u32 =
            self.transaction.prepare_cached("select count(*) from pause")?.query_row([], |row| row.get(0))?;
        if count >= MAX_PAUSES {
            return Ok(Err(Refusal::TooManyPauses));
        }
        let (agent, task_type, version) = match target {
            PauseTarget::Agent(id) => (Some(id.as_bytes()), None, None),
            PauseTarget::Type(task_type) => (None, Some(task_type), None),
            PauseTarget::Version(of) => (None, Some(&of.task_type), Some(of.version)),
        };
        self.transaction
            .prepare_cached("insert into pause (agent_id, type, version, paused_at) values (?1, ?2, ?3, ?4)")?
            .execute(params![agent, task_type, version, self.now.as_microsecond()])?;
        Ok(Ok(Some(self.now)))
    }

    fn resume(&self, target: &PauseTarget) -> rusqlite::Result<Operated> {
        match target {
            PauseTarget::Agent(id) => {
                if !self.end_pauses("agent_id = ?1", &[id.as_bytes()])? && self.agent_seq(*id)?.is_none() {
                    return Ok(Err(Refusal::UnknownAgent));
                }
            }
            PauseTarget::Type(task_type) => {
                self.end_pauses("type = ?1", &[task_type])?;
            }
            PauseTarget::Version(of) => {
                let all = PauseTarget::Type(of.task_type.clone());
                if self.paused_since(&all)?.is_some() {
                    return Ok(Err(Refusal::AllVersionsPaused));
                }
                self.end_pauses("type = ?1 and version = ?2", &[&of.task_type, &of.version])?;
            }
        }
        Ok(Ok(None))
    }

    /// Forgets an agent and its pause, unless it executes tasks.
    fn forget(&self, agent_id: Uuid) -> rusqlite::Result<Operated> {
        let executes = self
            .transaction
            .prepare_cached(
                "select 1 from task indexed by task_held where state = 'claimed' and agent_id = ?1 limit 1",
            )?
            .exists([agent_id.as_bytes()])?;
        let agent = self.agent_seq(agent_id)?;
        if executes && agent.is_some() {
            return Ok(Err(Refusal::AgentExecutes));
        }
        if let Some(agent) = agent {
            self.forget_agent(agent)?;
        }
        let was_paused = self.end_pauses("agent_id = ?1", &[agent_id.as_bytes()])?;
        Ok(if agent.is_some() || was_paused { Ok(None) } else { Err(Refusal::UnknownAgent) })
    }

    fn paused_since(&self, target: &PauseTarget) -> rusqlite::Result<Option<Timestamp>> {
        let (condition, parameters): (&str, &[&dyn ToSql]) = match target {
            PauseTarget::Agent(id) => ("agent_id = ?1", &[id.as_bytes()]),
            PauseTarget::Type(task_type) => ("type = ?1 and version is null", &[task_type]),
            PauseTarget::Version(of) => ("type = ?1 and version = ?2", &[&of.task_type, &of.version]),
        };
        self.transaction
            .prepare_cached(&format!("select paused_at from pause where {condition}"))?
            .query_row(parameters, |row| columns::time(row, "paused_at"))
            .optional()
    }

    /// Ends pauses; `false` if there are none such.
    fn end_pauses(&self, condition: &str, parameters: &[&dyn ToSql]) -> rusqlite::Result<bool> {
        let delete = format!("delete from pause where {condition}");
        Ok(self.transaction.prepare_cached(&delete)?.execute(parameters)? > 0)
    }

    fn agent_seq(&self, id: Uuid) -> rusqlite::Result<Option<i64>> {
        self.transaction
            .prepare_cached("select seq from agent where id = ?1")?
            .query_row([id.as_bytes()], |row| row.get(0))
            .optional()
    }
}
