//! Claims tasks for polls.

use std::cmp::Reverse;

use rusqlite::{Row, params};
use slamon_domain::batch::LockedTask;
use slamon_domain::{
    ClaimBudget, Delivery, KindCursor, Polled, QueueCursor, State, Transition, WaitingKind, alias, lifecycle,
};
use slamon_protocol::{AgentFilter, PollRequest};

use super::BatchTransaction;
use crate::error::StoreError;
use crate::sqlite::rows;

/// Finds waiting tasks of a kind, the next one first. Those whose TTL has run out are passed over, so that
/// they take no other's place: a sweep ends them.
const NEXT: &str = "select priority, seq, coalesce(octet_length(data), 0) from task
     where state = 'pending' and type = ?1 and version = ?2 and agent_filter = ?3
       and (due_at is null or due_at > ?5)
     order by priority desc, seq limit ?4";

/// A task that may be claimed: its place in the queue, its size in a claim budget, and which of the kinds it
/// is of.
type QueuedTask = (Reverse<i32>, i64, usize, usize);

/// The tasks that were found for a poll.
#[derive(Default)]
struct FoundForPoll {
    line: Vec<QueuedTask>,
    /// The kinds that were searched.
    kinds: Vec<Searched>,
}

/// A kind that was searched.
struct Searched {
    kind: WaitingKind,
    /// How many of its waiting tasks are not handed out; `None`: not all of them were read.
    left: Option<usize>,
}

impl BatchTransaction<'_> {
    /// Applies a poll. Where `kinds` is `None`, there may be tasks of any kind.
    pub(super) fn poll(
        &mut self,
        poll: &PollRequest,
        kinds: Option<&[KindCursor]>,
    ) -> Result<Polled, StoreError> {
        self.register(poll)?;
        let cancelled = self.tell_cancelled(poll.agent_id)?;
        let tasks = match kinds {
            Some(kinds) => self.claim_of(poll, kinds)?,
            None => self.claim_any(poll)?,
        };
        Ok(Polled { tasks, cancelled })
    }

    pub(super) fn claim(&mut self, poll: &PollRequest, kinds: &[KindCursor]) -> Result<Polled, StoreError> {
        Ok(Polled { tasks: self.claim_of(poll, kinds)?, cancelled: Vec::new() })
    }

    /// Claims tasks of these kinds. The index of waiting tasks keeps none that was claimed: what waits is
    /// found wherever a search starts.
    fn claim_of(&mut self, poll: &PollRequest, kinds: &[KindCursor]) -> Result<Vec<Delivery>, StoreError> {
        if let [KindCursor { kind, .. }] = kinds
            && ClaimBudget::of(poll).left() == 1
        {
            return self.claim_next(poll, kind);
        }
        let mut found = FoundForPoll::default();
        for KindCursor { kind, .. } in kinds {
            self.find_waiting(poll, kind.clone(), &mut found)?;
        }
        self.hand_out(poll, found)
    }

    /// Claims the next task of the only kind, which is what nearly all polls want: it is found and read at once.
    fn claim_next(&mut self, poll: &PollRequest, kind: &WaitingKind) -> Result<Vec<Delivery>, StoreError> {
        let next = rows::next_pending(self.transaction, kind, self.now)?;
        let cursor = next.is_some().then_some(QueueCursor::START);
        let delivery = next.map(|next| self.take(next, poll)).transpose()?.flatten();
        self.searched.push((kind.clone(), cursor));
        Ok(delivery.into_iter().collect())
    }

    fn claim_any(&mut self, poll: &PollRequest) -> Result<Vec<Delivery>, StoreError> {
        let mut found = FoundForPoll::default();
        if ClaimBudget::of(poll).left() > 0 {
            let location = poll.agent_location.as_ref();
            let filters = AgentFilter::matching(poll.agent_id, &poll.agent_name, location);
            for capability in &poll.agent_capabilities {
                for agent_filter in &filters {
                    let (capability, agent_filter) = (capability.clone(), agent_filter.clone());
                    self.find_waiting(poll, WaitingKind { capability, agent_filter }, &mut found)?;
                }
            }
        }
        self.hand_out(poll, found)
    }

    fn find_waiting(
        &self,
        poll: &PollRequest,
        kind: WaitingKind,
        found: &mut FoundForPoll,
    ) -> rusqlite::Result<()> {
        let WaitingKind { capability, agent_filter } = &kind;
        let (filter, place) = (agent_filter.key(), found.kinds.len());
        let most = ClaimBudget::of(poll).worth_reading(&capability.task_type, &filter);
        let mut select = self.transaction.prepare_cached(NEXT)?;
        let of_kind =
            params![capability.task_type, capability.version, filter, most, self.now.as_microsecond()];
        let read = |row: &Row<'_>| {
            let size = ClaimBudget::size(&capability.task_type, row.get(2)?);
            Ok((Reverse(row.get(0)?), row.get(1)?, size, place))
        };
        let before = found.line.len();
        for candidate in select.query_map(of_kind, read)? {
            found.line.push(candidate?);
        }
        let count = found.line.len() - before;
        let left = (count < most as usize).then_some(count);
        drop(select);
        found.kinds.push(Searched { kind, left });
        Ok(())
    }

    /// Claims tasks as far as the claim budget goes.
    fn hand_out(&mut self, poll: &PollRequest, found: FoundForPoll) -> Result<Vec<Delivery>, StoreError> {
        let FoundForPoll { mut line, mut kinds } = found;
        line.sort_unstable();
        let mut budget = ClaimBudget::of(poll);
        let mut tasks = Vec::new();
        for (_, seq, size, kind) in line {
            // This is checked before the data is read.
            if !budget.has_room(size) {
                break;
            }
            let Some(task) = rows::pending_at(self.transaction, seq)? else { continue };
            if let Some(delivery) = self.take(task, poll)? {
                budget.add(size);
                tasks.push(delivery);
                if let Some(left) = &mut kinds[kind].left {
                    *left -= 1;
                }
            }
        }
        let cursor = |left: Option<usize>| (left != Some(0)).then_some(QueueCursor::START);
        let searched = kinds.into_iter().map(|Searched { kind, left }| (kind, cursor(left)));
        self.searched.extend(searched);
        Ok(tasks)
    }

    fn take(&mut self, waiting: LockedTask, poll: &PollRequest) -> Result<Option<Delivery>, StoreError> {
        let LockedTask { mut task, seq, .. } = waiting;
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
        let claimed = Transition::claimed(&task.posted, task.created, &attempt);
        self.executor.effects.transitions.push(claimed);
        Ok(Delivery::of(task))
    }
}
