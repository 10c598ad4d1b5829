//! Saves what agents say of themselves, and reads what they are to be told.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};
use slamon_protocol::{Location, PollRequest};
use uuid::Uuid;

use super::BatchTransaction;
use crate::sqlite::columns;

impl BatchTransaction<'_> {
    /// Saves what an agent says of itself.
    pub(super) fn register(&self, poll: &PollRequest) -> rusqlite::Result<()> {
        let capabilities = poll.capabilities_to_json();
        let known: Option<String> = self
            .transaction
            .prepare_cached("select capabilities from agent where id = ?1")?
            .query_row([poll.agent_id.as_bytes()], |row| row.get(0))
            .optional()?;
        let agent = self.save_agent(poll, &capabilities)?;
        match known {
            None => self.save_offers(agent, poll),
            Some(known) if known == capabilities => Ok(()),
            Some(_) => {
                self.withdraw_offers(agent)?;
                self.save_offers(agent, poll)
            }
        }
    }

    /// Saves an agent, and gives its place in the order of arrival.
    fn save_agent(&self, poll: &PollRequest, capabilities: &str) -> rusqlite::Result<i64> {
        self.transaction
            .prepare_cached(
                "insert into agent (id, name, capabilities, location, last_seen, max_tasks)
                 values (?1, ?2, ?3, ?4, ?5, ?6)
                 on conflict (id) do update set
                     name = excluded.name, capabilities = excluded.capabilities, location = excluded.location,
                     last_seen = max(last_seen, excluded.last_seen), max_tasks = excluded.max_tasks
                 returning seq",
            )?
            .query_row(
                params![
                    poll.agent_id.as_bytes(),
                    poll.agent_name,
                    capabilities,
                    poll.agent_location.as_ref().map(Location::to_json),
                    self.now.as_microsecond(),
                    poll.max_tasks,
                ],
                |row| row.get(0),
            )
    }

    fn save_offers(&self, agent: i64, poll: &PollRequest) -> rusqlite::Result<()> {
        let mut insert = self
            .transaction
            .prepare_cached("insert into agent_offer (type, version, agent) values (?1, ?2, ?3)")?;
        for capability in &poll.agent_capabilities {
            insert.execute(params![capability.task_type, capability.version, agent])?;
        }
        Ok(())
    }

    fn withdraw_offers(&self, agent: i64) -> rusqlite::Result<()> {
        self.transaction.prepare_cached("delete from agent_offer where agent = ?1")?.execute([agent])?;
        Ok(())
    }

    /// Forgets an agent. Its name is kept while there is anything that it has executed.
    pub(super) fn forget_agent(&self, agent: i64) -> rusqlite::Result<()> {
        self.withdraw_offers(agent)?;
        self.transaction
            .prepare_cached(
                "insert or replace into past_agent (id, name)
                 select id, name from agent
                 where seq = ?1
                     and (exists (select 1 from task where task.agent_id = agent.id)
                         or exists (select 1 from attempt where attempt.agent_id = agent.id))",
            )?
            .execute([agent])?;
        self.transaction.prepare_cached("delete from agent where seq = ?1")?.execute([agent])?;
        Ok(())
    }

    /// Forgets the name of an agent of which nothing is left.
    pub(super) fn forget_name(&self, agent_id: [u8; 16]) -> rusqlite::Result<()> {
        self.transaction
            .prepare_cached(
                "delete from past_agent
                 where id = ?1
                     and not exists (select 1 from task where task.agent_id = past_agent.id)
                     and not exists (select 1 from attempt where attempt.agent_id = past_agent.id)",
            )?
            .execute([agent_id])?;
        Ok(())
    }

    /// Saves when an agent was seen; `false` if there is no such agent.
    pub(super) fn seen(&self, agent_id: Uuid, at: Timestamp) -> rusqlite::Result<bool> {
        let updated = self
            .transaction
            .prepare_cached("update agent set last_seen = max(last_seen, ?2) where id = ?1")?
            .execute(params![agent_id.as_bytes(), at.as_microsecond()])?;
        Ok(updated == 1)
    }

    pub(super) fn seen_all(&self, agents: &[(Uuid, Timestamp)]) -> rusqlite::Result<Vec<Uuid>> {
        let mut unknown = Vec::new();
        for &(agent_id, at) in agents {
            if !self.seen(agent_id, at)? {
                unknown.push(agent_id);
            }
        }
        Ok(unknown)
    }

    /// Marks cancellations again that the agent was told of in an answer that it never got.
    pub(super) fn tell_again(&mut self, agent_id: Uuid, aliases: &[Uuid]) -> rusqlite::Result<()> {
        let mut update = self.transaction.prepare_cached(
            "update attempt set untold = 1
             where alias = ?1 and agent_id = ?2 and untold is null and ending in ('expired', 'cancelled')",
        )?;
        for alias in aliases {
            if update.execute([alias.as_bytes(), agent_id.as_bytes()])? > 0 {
                self.executor.effects.pending_cancellations.push(agent_id);
            }
        }
        Ok(())
    }

    /// Reads the pending cancellations of an agent, of which it is told once.
    pub(super) fn tell_cancelled(&self, agent_id: Uuid) -> rusqlite::Result<Vec<Uuid>> {
        let told = self
            .transaction
            .prepare_cached("select 1 from attempt where agent_id = ?1 and untold is not null limit 1")?
            .exists([agent_id.as_bytes()])?;
        if !told {
            return Ok(Vec::new());
        }
        self.transaction
            .prepare_cached(
                "update attempt set untold = null where agent_id = ?1 and untold is not null returning alias",
            )?
            .query_map([agent_id.as_bytes()], |row| columns::id(row, "alias"))?
            .collect()
    }
}
