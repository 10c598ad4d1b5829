//! Hands out tasks.

use std::cmp::Reverse;

use rusqlite::{Row, params};
use slamon_protocol::{AgentFilter, Capability, PollRequest};

use super::Work;
use crate::alias;
use crate::lifecycle::{self, Portion};
use crate::sqlite::rows::{self, Stored};
use crate::{Delivery, Polled, State, StoreError, WaitingKind};

/// Waiting tasks of a kind, the next one first. Those whose TTL has run out are passed over, so that they take no other's
/// place: a sweep ends them.
const NEXT: &str = "select priority, seq, coalesce(octet_length(data), 0) from task
     where state = 'pending' and type = ?1 and version = ?2 and agent_filter = ?3
       and (due_at is null or due_at > ?5)
     order by priority desc, seq limit ?4";

/// A task that may be claimed: its place in the line, and its size in a portion.
type Candidate = (Reverse<i32>, i64, usize);

impl Work<'_> {
    /// Where `kinds` is `None`, there may be tasks of any kind.
    pub(super) fn poll(
        &mut self,
        poll: &PollRequest,
        kinds: Option<&[WaitingKind]>,
    ) -> Result<Polled, StoreError> {
        self.register(poll)?;
        let cancelled = self.tell_cancelled(poll.agent_id)?;
        let tasks = match kinds {
            Some(kinds) => self.claim_of(poll, kinds)?,
            None => self.claim_any(poll)?,
        };
        Ok(Polled { tasks, cancelled })
    }

    pub(super) fn claim(&mut self, poll: &PollRequest, kinds: &[WaitingKind]) -> Result<Polled, StoreError> {
        Ok(Polled { tasks: self.claim_of(poll, kinds)?, cancelled: Vec::new() })
    }

    fn claim_of(&mut self, poll: &PollRequest, kinds: &[WaitingKind]) -> Result<Vec<Delivery>, StoreError> {
        let mut line = Vec::new();
        for kind in kinds {
            self.find(poll, &kind.capability, &kind.agent_filter.key(), &mut line)?;
        }
        self.hand_out(poll, line)
    }

    fn claim_any(&mut self, poll: &PollRequest) -> Result<Vec<Delivery>, StoreError> {
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
        self.hand_out(poll, line)
    }

    fn find(
        &self,
        poll: &PollRequest,
        capability: &Capability,
        filter: &str,
        line: &mut Vec<Candidate>,
    ) -> rusqlite::Result<()> {
        let most = Portion::of(poll).worth_reading(&capability.task_type, filter);
        let mut select = self.transaction.prepare_cached(NEXT)?;
        let of_kind =
            params![capability.task_type, capability.version, filter, most, self.now.as_microsecond()];
        let read = |row: &Row<'_>| {
            let size = Portion::size(&capability.task_type, row.get(2)?);
            Ok((Reverse(row.get(0)?), row.get(1)?, size))
        };
        for found in select.query_map(of_kind, read)? {
            line.push(found?);
        }
        Ok(())
    }

    /// Claims tasks as far as a portion goes.
    fn hand_out(
        &mut self,
        poll: &PollRequest,
        mut line: Vec<Candidate>,
    ) -> Result<Vec<Delivery>, StoreError> {
        line.sort_unstable();
        let mut portion = Portion::of(poll);
        let mut tasks = Vec::new();
        for (_, seq, size) in line {
            // Before the data is read.
            if !portion.has_room(size) {
                break;
            }
            if let Some(delivery) = self.take(seq, poll)? {
                portion.add(size);
                tasks.push(delivery);
            }
        }
        Ok(tasks)
    }

    fn take(&mut self, seq: i64, poll: &PollRequest) -> Result<Option<Delivery>, StoreError> {
        let Some(Stored { mut task, .. }) = rows::task_at(self.transaction, seq)? else { return Ok(None) };
        // The first attempt has the task's own id.
        let alias = if task.attempts > 0 {
            rows::unused_id(self.transaction, alias::new)?
        } else {
            task.posted.task_id
        };
        let attempt = lifecycle::claim(&task, poll, || alias, self.now, self.default_timeout);
        let Some(attempt) = attempt else { return Ok(None) };
        task.attempts = attempt.number;
        task.state = State::Claimed(attempt.clone());
        rows::save_claim(self.transaction, seq, &task, &attempt)?;
        self.handed_out.push(task.posted.task_id);
        Ok(Delivery::of(task))
    }
}
