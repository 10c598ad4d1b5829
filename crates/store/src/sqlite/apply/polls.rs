//! Registers agents and hands out tasks.

use std::cmp::Reverse;

use rusqlite::{OptionalExtension, Row, params};
use slamon_protocol::{AgentFilter, Location, ObjectWriter, PollRequest};
use uuid::Uuid;

use super::Work;
use crate::lifecycle::{self, Portion};
use crate::sqlite::rows;
use crate::{Delivery, Polled, State, StoreError};

impl Work<'_> {
    pub(super) fn poll(&mut self, poll: &PollRequest) -> Result<Polled, StoreError> {
        self.register(poll)?;
        let cancelled = self.tell_cancelled(poll.agent_id)?;
        let mut portion = Portion::of(poll);
        let mut first: Vec<(Reverse<i32>, i64, usize)> = Vec::new();
        if portion.left() > 0 {
            let location = poll.agent_location.as_ref();
            let filters = AgentFilter::keys_matching(poll.agent_id, &poll.agent_name, location);
            // Tasks whose TTL has run out are passed over, so that they take no other's place: a sweep ends them.
            let mut select = self.transaction.prepare_cached(
                "select priority, seq, coalesce(octet_length(data), 0) from task
                 where state = 'pending' and type = ?1 and version = ?2 and agent_filter = ?3
                   and (due_at is null or due_at > ?5)
                 order by priority desc, seq limit ?4",
            )?;
            let now = self.now.as_microsecond();
            for capability in &poll.agent_capabilities {
                for filter in &filters {
                    let of_kind =
                        params![capability.task_type, capability.version, filter, portion.left(), now];
                    let read = |row: &Row<'_>| Ok((Reverse(row.get(0)?), row.get(1)?, row.get(2)?));
                    for found in select.query_map(of_kind, read)? {
                        first.push(found?);
                    }
                }
            }
        }
        first.sort_unstable();
        let mut tasks = Vec::new();
        for (_, seq, bytes) in first {
            // Before the data is read.
            if !portion.has_room(bytes) {
                break;
            }
            if let Some(delivery) = self.claim(seq, poll)? {
                portion.add(bytes);
                tasks.push(delivery);
            }
        }
        Ok(Polled { tasks, cancelled })
    }

    fn claim(&mut self, seq: i64, poll: &PollRequest) -> Result<Option<Delivery>, StoreError> {
        let found = rows::select_tasks(self.transaction, "where seq = ?1")?
            .query_row([seq], rows::read_task)
            .optional()?;
        let Some(mut task) = found.map(|found| found.task) else { return Ok(None) };
        let Some(attempt) = lifecycle::claim(&task, poll, Uuid::new_v4(), self.now) else { return Ok(None) };
        let delivery = Delivery {
            task_id: task.posted.task_id,
            alias: attempt.alias,
            task_type: task.posted.task_type.clone(),
            task_version: task.posted.task_version,
            task_data: task.posted.task_data.clone(),
            attempt: attempt.number,
            deadline: [attempt.deadline, task.expires()].into_iter().flatten().min(),
        };
        task.attempts = attempt.number;
        self.change(&mut task, State::Claimed(attempt).into())?;
        Ok(Some(delivery))
    }

    fn register(&self, poll: &PollRequest) -> rusqlite::Result<()> {
        let mut capabilities = ObjectWriter::new();
        for capability in &poll.agent_capabilities {
            capabilities.integer(&capability.task_type, capability.version);
        }
        let capabilities = capabilities.finish();
        let known: Option<String> = self
            .transaction
            .prepare_cached("select capabilities from agent where id = ?1")?
            .query_row([poll.agent_id.as_bytes()], |row| row.get(0))
            .optional()?;
        self.transaction
            .prepare_cached(
                "insert into agent (id, name, capabilities, location, last_seen, max_tasks)
                 values (?1, ?2, ?3, ?4, ?5, ?6)
                 on conflict (id) do update set
                     name = excluded.name, capabilities = excluded.capabilities, location = excluded.location,
                     last_seen = max(last_seen, excluded.last_seen), max_tasks = excluded.max_tasks",
            )?
            .execute(params![
                poll.agent_id.as_bytes(),
                poll.agent_name,
                capabilities,
                poll.agent_location.as_ref().map(Location::to_json),
                self.now.as_microsecond(),
                poll.max_tasks,
            ])?;
        if known.as_ref() != Some(&capabilities) {
            self.save_offers(poll)?;
        }
        Ok(())
    }

    fn save_offers(&self, poll: &PollRequest) -> rusqlite::Result<()> {
        self.transaction
            .prepare_cached("delete from agent_offer where agent_id = ?1")?
            .execute([poll.agent_id.as_bytes()])?;
        let mut insert = self
            .transaction
            .prepare_cached("insert into agent_offer (type, version, agent_id) values (?1, ?2, ?3)")?;
        for capability in &poll.agent_capabilities {
            insert.execute(params![capability.task_type, capability.version, poll.agent_id.as_bytes()])?;
        }
        Ok(())
    }

    /// What the agent has that is not wanted any more. It is told once.
    fn tell_cancelled(&self, agent_id: Uuid) -> rusqlite::Result<Vec<Uuid>> {
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
            .query_map([agent_id.as_bytes()], |row| rows::id(row, "alias"))?
            .collect()
    }
}
