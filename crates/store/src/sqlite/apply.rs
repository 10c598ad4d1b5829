//! Applies commands.

mod agents;
mod polls;
mod sweep;

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use slamon_protocol::{JsonText, PostTask, ResultPost, TaskOutcome};
use uuid::Uuid;

use super::rows::{self, Stored, micros};
use super::surroundings;
use crate::lifecycle::{self, Change, Report};
use crate::{
    Applied, Cancelled, Command, Refusal, Replies, Reported, Running, State, StoreError, Submitted,
    WaitingKind, expires, kept_from_agents,
};

pub(super) fn apply(
    connection: &mut Connection,
    batch: &[Command],
    now: Timestamp,
    default_timeout: Option<Duration>,
) -> Result<Applied, StoreError> {
    // Immediate: two processes on one file must not both read before either writes.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut work = Work {
        transaction: &transaction,
        now,
        default_timeout,
        applied: Applied::default(),
        came_to_wait: Vec::new(),
        handed_out: Vec::new(),
    };
    for command in batch {
        work.apply(command)?;
    }
    // What agents have lost is lost before any of them is given something new.
    for (agent_id, running) in Running::of(batch) {
        work.abandon(agent_id, running)?;
    }
    // Polls come last, so that they see what came in together with them.
    for command in batch {
        work.apply_poll(command)?;
    }
    let applied = work.finish();
    transaction.commit()?;
    Ok(applied)
}

/// One batch in its transaction.
struct Work<'t> {
    transaction: &'t Transaction<'t>,
    now: Timestamp,
    /// Of an attempt of a task that names none.
    default_timeout: Option<Duration>,
    applied: Applied,
    came_to_wait: Vec<(Uuid, WaitingKind)>,
    handed_out: Vec<Uuid>,
}

impl Work<'_> {
    /// What has come of the batch: who came to wait and was claimed or ended since does not wait.
    fn finish(mut self) -> Applied {
        if !self.came_to_wait.is_empty() {
            let gone: HashSet<Uuid> =
                self.handed_out.into_iter().chain(self.applied.ended.iter().copied()).collect();
            let waiting = self.came_to_wait.into_iter().filter(|(id, _)| !gone.contains(id));
            self.applied.waiting = waiting.map(|(_, kind)| kind.into()).collect();
        }
        self.applied
    }

    /// Applies a command, unless it is a poll or a claim.
    fn apply(&mut self, command: &Command) -> Result<(), StoreError> {
        match command {
            Command::Submit(task) => {
                let submitted = self.submit(task)?;
                self.replies().submits.push(Ok(submitted));
            }
            Command::Report(result) => {
                let reported = self.report(result)?;
                self.replies().reports.push(Ok(reported));
            }
            Command::Cancel(id) => {
                let cancelled = self.cancel(*id)?;
                self.replies().cancels.push(Ok(cancelled));
            }
            Command::Release { agent_id, claimed_at, task_ids, cancelled } => {
                self.tell_again(*agent_id, cancelled)?;
                let released = self.release(*agent_id, *claimed_at, task_ids)?;
                self.replies().releases.push(Ok(released));
            }
            Command::Seen(agents) => {
                let unknown = self.seen_all(agents)?;
                self.replies().seen.push(Ok(unknown));
            }
            Command::Sweep(sweep) => {
                let swept = self.sweep(sweep)?;
                self.replies().sweeps.push(Ok(swept));
            }
            Command::Poll { .. } | Command::Claim { .. } => {}
        }
        Ok(())
    }

    /// Applies a command, if it is a poll or a claim.
    fn apply_poll(&mut self, command: &Command) -> Result<(), StoreError> {
        let polled = match command {
            Command::Poll { poll, kinds, .. } => self.poll(poll, kinds.as_deref())?,
            Command::Claim { poll, kinds } => self.claim(poll, kinds)?,
            Command::Submit(_)
            | Command::Report(_)
            | Command::Cancel(_)
            | Command::Release { .. }
            | Command::Seen(_)
            | Command::Sweep(_) => return Ok(()),
        };
        self.replies().polls.push(Ok(polled));
        Ok(())
    }

    fn replies(&mut self) -> &mut Replies {
        &mut self.applied.replies
    }

    fn submit(&mut self, posted: &PostTask) -> Result<Result<Submitted, Refusal>, StoreError> {
        let state = lifecycle::first_state(posted, self.now);
        let is_of_attempt = rows::is_of_attempt(self.transaction, posted.task_id)?;
        let inserted = !is_of_attempt && self.insert(posted, &state)?;
        let stored = if inserted { None } else { rows::task(self.transaction, posted.task_id)? };
        if inserted {
            self.note(posted, &state);
        }
        Ok(lifecycle::submit(stored.as_ref().map(|stored| &stored.task.posted), is_of_attempt, posted))
    }

    /// `false` if a task has its id.
    fn insert(&self, posted: &PostTask, state: &State) -> rusqlite::Result<bool> {
        let terms = &posted.terms;
        let available = match state {
            State::Delayed { until } => Some(until.as_microsecond()),
            _ => None,
        };
        let due = state.due(expires(posted, self.now));
        let inserted = self
            .transaction
            .prepare_cached(
                "insert into task (id, test_id, type, version, data, created_at, ttl, timeout, max_attempts,
                                   retry_errors, retry_delay, priority, delay, agent_filter,
                                   state, available_at, due_at)
                 values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)
                 on conflict (id) do nothing",
            )?
            .execute(params![
                posted.task_id.as_bytes(),
                posted.test_id.as_bytes(),
                posted.task_type,
                posted.task_version,
                posted.task_data.as_ref().map(JsonText::as_str),
                self.now.as_microsecond(),
                terms.ttl.map(micros),
                terms.timeout.map(micros),
                terms.max_attempts,
                terms.retry_errors,
                micros(terms.retry_delay),
                terms.priority,
                micros(terms.delay),
                terms.agent_filter.key(),
                rows::state_name(state),
                available,
                due.map(Timestamp::as_microsecond),
            ])?;
        Ok(inserted == 1)
    }

    fn report(&mut self, result: &ResultPost) -> Result<Result<Reported, Refusal>, StoreError> {
        let Some((mut found, past)) = rows::task_and_past(self.transaction, result.task_id)? else {
            return Ok(Err(Refusal::UnknownTask));
        };
        let settled = self.settle(&mut found)?;
        // What was running until now may just have ended.
        let past = if settled {
            rows::attempts::past(self.transaction, result.task_id)?.map(|(_, past)| past)
        } else {
            past
        };
        let attempt = past.as_ref().map(|past| &past.attempt).or(found.task.last_attempt());
        let agent = attempt.map(|attempt| attempt.agent_id);
        let report = match lifecycle::report(&found.task, past.as_ref(), result, self.now) {
            Ok(report) => report,
            Err(refusal) => return Ok(Err(refusal)),
        };
        // A result is a sign of life, also a late or a repeated one.
        if let Some(agent) = agent {
            self.seen(agent, self.now)?;
        }
        match report {
            Report::Ends(change) => {
                self.change(&mut found, change)?;
                Ok(Ok(Reported::Stored))
            }
            Report::Repeated => Ok(Ok(Reported::Repeated)),
            Report::Late { attempt } => {
                self.keep_late(found.task.posted.task_id, attempt, &result.outcome)?;
                Ok(Err(Refusal::TooLate(attempt)))
            }
        }
    }

    /// The first late result is kept.
    fn keep_late(&self, task_id: Uuid, number: u32, outcome: &TaskOutcome) -> rusqlite::Result<()> {
        let (result, error) = match outcome {
            TaskOutcome::Completed(result) => (Some(result.as_str()), None),
            TaskOutcome::Failed(error) => (None, Some(error.as_str())),
        };
        self.transaction
            .prepare_cached(
                "update attempt set late_at = ?3, late_result = ?4, late_error = ?5
                 where task_id = ?1 and number = ?2 and late_at is null",
            )?
            .execute(params![task_id.as_bytes(), number, self.now.as_microsecond(), result, error])?;
        Ok(())
    }

    fn cancel(&mut self, id: Uuid) -> Result<Cancelled, StoreError> {
        let Some(mut found) = rows::task(self.transaction, id)? else { return Ok(None) };
        self.settle(&mut found)?;
        match lifecycle::cancel(&found.task, self.now) {
            Ok(change) => {
                if let Some(change) = change {
                    self.change(&mut found, change)?;
                }
                Ok(Some(Ok(Box::new(found.task))))
            }
            Err(refusal) => Ok(Some(Err(refusal))),
        }
    }

    fn release(&mut self, agent_id: Uuid, claimed_at: Timestamp, ids: &[Uuid]) -> Result<usize, StoreError> {
        let mut released = 0;
        for &id in ids {
            let Some(mut found) = rows::task(self.transaction, id)? else { continue };
            if let Some(state) = lifecycle::release(&found.task, agent_id, claimed_at) {
                found.task.attempts -= 1;
                self.change(&mut found, state.into())?;
                released += 1;
            }
        }
        Ok(released)
    }

    /// Ends the attempts of an agent that it does not name.
    fn abandon(&mut self, agent_id: Uuid, running: &Running) -> Result<(), StoreError> {
        let held: Vec<Uuid> = self
            .transaction
            .prepare_cached("select id from task where state = 'claimed' and agent_id = ?1 order by seq")?
            .query_map([agent_id.as_bytes()], |row| rows::id(row, "id"))?
            .collect::<Result<_, _>>()?;
        let mut accounted = true;
        for id in held {
            let Some(mut found) = rows::task(self.transaction, id)? else { continue };
            self.settle(&mut found)?;
            if let Some(change) = lifecycle::abandon(&found.task, agent_id, running, self.now) {
                self.change(&mut found, change)?;
                self.applied.abandoned += 1;
            } else if let State::Claimed(attempt) = &found.task.state {
                accounted &= running.names(attempt);
            }
        }
        // The last poll of an agent counts.
        self.applied.accounted.retain(|id| *id != agent_id);
        if accounted {
            self.applied.accounted.push(agent_id);
        }
        Ok(())
    }

    /// Brings a task to where time has brought it; `false` if it was there.
    fn settle(&mut self, found: &mut Stored) -> Result<bool, StoreError> {
        let task = &found.task;
        // Only a task that expires while it waits is asked about its surroundings.
        let around = if task.state == State::Pending && task.expires().is_some_and(|time| time <= self.now) {
            Some(surroundings::of(self.transaction, task, task.created)?)
        } else {
            None
        };
        let fleet = || around.map_or_else(String::new, |around| kept_from_agents(task, &around));
        let Some(change) = lifecycle::advance(task, self.now, fleet) else { return Ok(false) };
        self.change(found, change)?;
        Ok(true)
    }

    fn change(&mut self, found: &mut Stored, change: Change) -> Result<(), StoreError> {
        let Stored { seq, task } = found;
        task.state = change.state;
        rows::save_state(self.transaction, *seq, task)?;
        if let Some(ended) = &change.ended {
            rows::attempts::save(self.transaction, task.posted.task_id, ended)?;
            if ended.end.is_to_be_told() {
                self.applied.untold.push(ended.attempt.agent_id);
            }
        }
        self.note(&task.posted, &task.state);
        Ok(())
    }

    /// Remembers what others may be waiting for.
    fn note(&mut self, posted: &PostTask, state: &State) {
        match state {
            State::Pending => self.came_to_wait.push((posted.task_id, WaitingKind::of(posted))),
            State::Ended { .. } => self.applied.ended.push(posted.task_id),
            State::Delayed { .. } | State::Claimed(_) => {}
        }
    }
}
