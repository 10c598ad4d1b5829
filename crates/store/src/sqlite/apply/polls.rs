//! Registers agents and hands out tasks.

use std::cmp::Reverse;

use rusqlite::{OptionalExtension, Row, params};
use slamon_protocol::{AgentFilter, Capability, Location, ObjectWriter, PollRequest};
use uuid::Uuid;

use super::Work;
use crate::lifecycle::{self, Portion};
use crate::sqlite::rows::{self, Stored};
use crate::{Delivery, Polled, State, StoreError, WaitingKind};

/// Waiting tasks of a kind, the next one first. Those whose TTL has run out are passed over, so that they take no other's
/// place: a sweep ends them.
const NEXT: &str = "select priority, seq, coalesce(octet_length(data), 0) from task
     where state = 'pending' and type = ?1 and version = ?2 and agent_filter = ?3
       and (due_at is null or due_at > ?5)
     order by priority desc, seq limit ?4";

/// A task that may be claimed: its place in the line, and the size of its data.
type Candidate = (Reverse<i32>, i64, usize);

impl Work<'_> {
    pub(super) fn poll(&mut self, poll: &PollRequest) -> Result<Polled, StoreError> {
        self.register(poll)?;
        let cancelled = self.tell_cancelled(poll.agent_id)?;
        let mut line = Vec::new();
        if Portion::of(poll).left() > 0 {
            let location = poll.agent_location.as_ref();
            let filters = AgentFilter::keys_matching(poll.agent_id, &poll.agent_name, location);
            for capability in &poll.agent_capabilities {
                for filter in &filters {
                    self.find(poll, capability, filter, &mut line)?;
                }
            }
        }
        Ok(Polled { tasks: self.hand_out(poll, line)?, cancelled })
    }

    pub(super) fn claim(&self, poll: &PollRequest, kinds: &[WaitingKind]) -> Result<Polled, StoreError> {
        let mut line = Vec::new();
        for kind in kinds {
            self.find(poll, &kind.capability, &kind.agent_filter.key(), &mut line)?;
        }
        Ok(Polled { tasks: self.hand_out(poll, line)?, cancelled: Vec::new() })
    }

    fn find(
        &self,
        poll: &PollRequest,
        capability: &Capability,
        filter: &str,
        line: &mut Vec<Candidate>,
    ) -> rusqlite::Result<()> {
        let most = Portion::of(poll).left();
        let mut select = self.transaction.prepare_cached(NEXT)?;
        let of_kind =
            params![capability.task_type, capability.version, filter, most, self.now.as_microsecond()];
        let read = |row: &Row<'_>| Ok((Reverse(row.get(0)?), row.get(1)?, row.get(2)?));
        for found in select.query_map(of_kind, read)? {
            line.push(found?);
        }
        Ok(())
    }

    /// Claims tasks as far as a portion goes.
    fn hand_out(&self, poll: &PollRequest, mut line: Vec<Candidate>) -> Result<Vec<Delivery>, StoreError> {
        line.sort_unstable();
        let mut portion = Portion::of(poll);
        let mut tasks = Vec::new();
        for (_, seq, bytes) in line {
            // Before the data is read.
            if !portion.has_room(bytes) {
                break;
            }
            if let Some(delivery) = self.take(seq, poll)? {
                portion.add(bytes);
                tasks.push(delivery);
            }
        }
        Ok(tasks)
    }

    fn take(&self, seq: i64, poll: &PollRequest) -> Result<Option<Delivery>, StoreError> {
        let Some(Stored { mut task, .. }) = rows::task_at(self.transaction, seq)? else { return Ok(None) };
        let Some(attempt) = lifecycle::claim(&task, poll, Uuid::new_v4, self.now) else { return Ok(None) };
        task.attempts = attempt.number;
        task.state = State::Claimed(attempt.clone());
        rows::save_claim(self.transaction, seq, &task, &attempt)?;
        Ok(Delivery::of(task))
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
