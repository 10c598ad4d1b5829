//! Tasks in a map, moved by the lifecycle rules alone: what every store must agree with.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::claim_budget::MAX_TASKS_PER_POLL;
use crate::command::{
    Cancelled, Command, Delivery, Polled, Refusal, Replies, Reported, Running, Submitted, Sweep, Swept,
};
use crate::cursor::{KindCursor, WaitingKind};
use crate::lifecycle::{self, Change, Report};
use crate::task::{AttemptEnd, EndedAttempt, LateResult, State, Task};
use jiff::Timestamp;
use slamon_protocol::{PollRequest, PostTask, ResultPost};
use uuid::Uuid;

use super::outcome::{Outcome, in_order};

/// What the model says of the agents that might have taken a task.
pub const FLEET: &str = "the fleet";

/// Everything that a store would hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Model {
    pub tasks: BTreeMap<Uuid, Task>,
    /// Ids in the order of arrival.
    pub arrivals: Vec<Uuid>,
    /// The attempts of each task that ended without finishing it.
    pub past: BTreeMap<Uuid, Vec<(EndedAttempt, Option<LateResult>)>>,
    /// What each agent has still to be told of.
    pub pending_cancellations: BTreeMap<Uuid, BTreeSet<Uuid>>,
    /// Names and last-seen times.
    pub agents: BTreeMap<Uuid, (String, Timestamp)>,
    /// Agents of whom a result came in the batch that is applied.
    pub reported: BTreeSet<Uuid>,
    /// How many second and further attempts have been handed out: their aliases are numbers.
    pub aliases: u128,
}

/// The alias of the `n`th attempt that was not its task's first.
pub fn alias(n: u128) -> Uuid {
    Uuid::from_u128(0xa11a << 112 | n)
}

/// What agents that poll in a batch say that they execute.
fn running(batch: &[Command]) -> impl Iterator<Item = (Uuid, &Running)> {
    batch.iter().filter_map(|command| match command {
        Command::Poll { poll, running: Some(running), .. } => Some((poll.agent_id, running)),
        _ => None,
    })
}

impl Model {
    /// Does what `Store::apply` promises: commands in their order, polls after all others.
    pub fn apply(&mut self, batch: &[Command], now: Timestamp) -> Replies {
        let mut replies = Replies::default();
        let (polls, others): (Vec<_>, Vec<_>) = batch.iter().partition(|command| command.poll().is_some());
        for command in others {
            self.apply_to(command, now, &mut replies);
        }
        for (agent_id, running) in running(batch) {
            self.abandon(agent_id, running, now);
        }
        for command in polls {
            self.apply_to(command, now, &mut replies);
        }
        self.reported.clear();
        replies
    }

    pub fn apply_one(&mut self, command: &Command, now: Timestamp) -> Outcome {
        let batch = std::slice::from_ref(command);
        in_order(batch, self.apply(batch, now)).remove(0)
    }

    /// What an agent says that it executes is seen to elsewhere.
    fn apply_to(&mut self, command: &Command, now: Timestamp, replies: &mut Replies) {
        match command {
            Command::Submit(posted) => replies.submits.push(Ok(self.submit(posted, now))),
            Command::Poll { poll, kinds, .. } => {
                replies.polls.push(Ok(self.poll(poll, kinds.as_deref(), now)));
            }
            Command::Claim { poll, kinds } => {
                let tasks = self.hand_out(poll, now, |task| names(kinds, task));
                replies.polls.push(Ok(Polled { tasks, cancelled: Vec::new() }));
            }
            Command::Report(result) => replies.reports.push(Ok(self.report(result, now))),
            Command::Cancel(id) => replies.cancels.push(Ok(self.cancel(*id, now))),
            Command::Release { agent_id, claimed_at, task_ids, cancelled } => {
                self.tell_again(*agent_id, cancelled);
                let released =
                    task_ids.iter().filter(|id| self.release(**id, *agent_id, *claimed_at)).count();
                replies.releases.push(Ok(released));
            }
            Command::Seen(agents) => replies.seen.push(Ok(self.seen(agents))),
            Command::Sweep(sweep) => replies.sweeps.push(Ok(self.sweep(sweep, now))),
            // Pauses and the list of agents are no part of a task's life.
            Command::Operate(_) => replies.operations.push(Ok(Ok(None))),
        }
    }

    /// Ends the attempts of an agent that it does not name.
    fn abandon(&mut self, agent_id: Uuid, running: &Running, now: Timestamp) {
        let held =
            |task: &Task| matches!(&task.state, State::Claimed(attempt) if attempt.agent_id == agent_id);
        for id in self.arrivals.clone().into_iter().filter(|id| held(&self.tasks[id])).collect::<Vec<_>>() {
            self.settle(id, now);
            if let Some(change) = lifecycle::abandon(&self.tasks[&id], agent_id, running, now) {
                self.change(id, change);
            }
        }
    }

    pub fn seen(&mut self, agents: &[(Uuid, Timestamp)]) -> Vec<Uuid> {
        let mut unknown = Vec::new();
        for (id, at) in agents {
            match self.agents.get_mut(id) {
                Some((_, seen)) => *seen = (*seen).max(*at),
                None => unknown.push(*id),
            }
        }
        unknown
    }

    /// The tasks that are over here and were not in `before`.
    pub fn newly_ended(&self, before: &Self) -> BTreeSet<Uuid> {
        let ended = |task: &Task| matches!(task.state, State::Ended { .. });
        let new = |(id, task): &(&Uuid, &Task)| ended(task) && !before.tasks.get(*id).is_some_and(ended);
        self.tasks.iter().filter(new).map(|(id, _)| *id).collect()
    }

    fn submit(&mut self, posted: &PostTask, now: Timestamp) -> Result<Submitted, Refusal> {
        let stored = self.tasks.get(&posted.task_id).map(|task| &task.posted);
        let is_of_attempt = stored.is_none() && self.handed_out_as(posted.task_id).is_some();
        let submitted = lifecycle::submit(stored, is_of_attempt, posted)?;
        if submitted == Submitted::Stored {
            let state = lifecycle::first_state(posted, now);
            let task = Task { posted: posted.clone(), created: now, attempts: 0, state };
            self.tasks.insert(posted.task_id, task);
            self.arrivals.push(posted.task_id);
        }
        Ok(submitted)
    }

    pub fn poll(&mut self, poll: &PollRequest, kinds: Option<&[KindCursor]>, now: Timestamp) -> Polled {
        let agent = self.agents.entry(poll.agent_id).or_insert((String::new(), now));
        *agent = (poll.agent_name.clone(), agent.1.max(now));
        let cancelled =
            self.pending_cancellations.remove(&poll.agent_id).unwrap_or_default().into_iter().collect();
        let is_asked_for = |task: &Task| kinds.is_none_or(|kinds| names(kinds, task));
        Polled { tasks: self.hand_out(poll, now, is_asked_for), cancelled }
    }

    pub fn hand_out(
        &mut self,
        poll: &PollRequest,
        now: Timestamp,
        is_asked_for: impl Fn(&Task) -> bool,
    ) -> Vec<Delivery> {
        let mut line = self.arrivals.clone();
        line.retain(|id| is_asked_for(&self.tasks[id]));
        line.sort_by_key(|id| Reverse(self.tasks[id].posted.terms.priority));
        let most = poll.max_tasks.min(MAX_TASKS_PER_POLL) as usize;
        let mut tasks = Vec::new();
        for id in line {
            if tasks.len() < most {
                tasks.extend(self.claim(id, poll, now));
            }
        }
        tasks
    }

    fn claim(&mut self, id: Uuid, poll: &PollRequest, now: Timestamp) -> Option<Delivery> {
        let task = self.tasks.get_mut(&id)?;
        let attempt = lifecycle::claim(task, poll, || alias(self.aliases), now, None)?;
        self.aliases += u128::from(attempt.number > 1);
        task.attempts = attempt.number;
        let delivery = Delivery {
            task_id: id,
            alias: attempt.alias,
            task_type: task.posted.task_type.clone(),
            task_version: task.posted.task_version,
            task_data: task.posted.task_data.clone(),
            attempt: attempt.number,
            deadline: [attempt.deadline, task.expires()].into_iter().flatten().min(),
        };
        task.state = State::Claimed(attempt);
        Some(delivery)
    }

    fn report(&mut self, result: &ResultPost, now: Timestamp) -> Result<Reported, Refusal> {
        let id = self.handed_out_as(result.task_id).ok_or(Refusal::UnknownTask)?;
        self.settle(id, now);
        let mut past = self.past.get(&id).into_iter().flatten().map(|(ended, _)| ended);
        let past = past.find(|ended| ended.attempt.alias == result.task_id).cloned();
        let task = &self.tasks[&id];
        let report = lifecycle::report(task, past.as_ref(), result, now)?;
        // A result is a sign of life, also a late or a repeated one.
        let attempt = past.as_ref().map(|past| &past.attempt).or(task.last_attempt());
        if let Some(agent_id) = attempt.map(|attempt| attempt.agent_id) {
            self.seen(&[(agent_id, now)]);
            self.reported.insert(agent_id);
        }
        match report {
            Report::Ends(change) => {
                self.change(id, change);
                Ok(Reported::Stored)
            }
            Report::Repeated => Ok(Reported::Repeated),
            Report::Late { attempt } => {
                for (ended, late) in self.past.entry(id).or_default() {
                    if ended.attempt.number == attempt && late.is_none() {
                        *late = Some(LateResult { at: now, outcome: result.outcome.clone() });
                    }
                }
                Err(Refusal::TooLate(attempt))
            }
        }
    }

    /// The task that an agent knows, or knew, as `alias`.
    pub fn handed_out_as(&self, alias: Uuid) -> Option<Uuid> {
        let knows = |task: &&Task| {
            let past = self.past.get(&task.posted.task_id).into_iter().flatten();
            let mut aliases = past.map(|(ended, _)| &ended.attempt).chain(task.last_attempt());
            task.posted.task_id == alias || aliases.any(|attempt| attempt.alias == alias)
        };
        self.tasks.values().find(knows).map(|task| task.posted.task_id)
    }

    fn cancel(&mut self, id: Uuid, now: Timestamp) -> Cancelled {
        self.settle(id, now);
        match lifecycle::cancel(self.tasks.get(&id)?, now) {
            Ok(change) => {
                if let Some(change) = change {
                    self.change(id, change);
                }
                Some(Ok(Box::new(self.tasks[&id].clone())))
            }
            Err(refusal) => Some(Err(refusal)),
        }
    }

    pub fn tell_again(&mut self, agent_id: Uuid, aliases: &[Uuid]) {
        for (ended, _) in self.past.values().flatten() {
            let attempt = &ended.attempt;
            if attempt.agent_id == agent_id && ended.end.is_to_be_told() && aliases.contains(&attempt.alias) {
                self.pending_cancellations.entry(agent_id).or_default().insert(attempt.alias);
            }
        }
    }

    fn release(&mut self, id: Uuid, agent_id: Uuid, claimed_at: Timestamp) -> bool {
        let Some(task) = self.tasks.get_mut(&id) else { return false };
        let Some(state) = lifecycle::release(task, agent_id, claimed_at) else { return false };
        task.state = state;
        task.attempts -= 1;
        true
    }

    /// Forgets agents and deletes tasks.
    pub fn clean(&mut self, sweep: &Sweep, now: Timestamp, swept: &mut Swept) {
        let before = |after: Option<Duration>| now.checked_sub(after?).ok();
        if let Some(before) = before(sweep.forget_after) {
            let known = self.agents.len();
            self.agents.retain(|_, (_, seen)| *seen >= before);
            swept.forgotten = (known - self.agents.len()) as u64;
        }
        if let Some(before) = before(sweep.delete_after) {
            let stored = self.tasks.len();
            let old = |task: &Task| matches!(task.state, State::Ended { at, .. } if at < before);
            self.arrivals.retain(|id| !old(&self.tasks[id]));
            self.tasks.retain(|_, task| !old(task));
            swept.deleted = (stored - self.tasks.len()) as u64;
            for (id, past) in std::mem::take(&mut self.past) {
                if self.tasks.contains_key(&id) {
                    self.past.insert(id, past);
                    continue;
                }
                for (ended, _) in past {
                    self.pending_cancellations
                        .values_mut()
                        .for_each(|aliases| _ = aliases.remove(&ended.attempt.alias));
                }
            }
        }
    }

    /// Sweeps without limits.
    fn sweep(&mut self, sweep: &Sweep, now: Timestamp) -> Swept {
        let ids = self.arrivals.clone();
        let settled = ids.iter().filter(|id| self.settle(**id, now)).count() as u64;
        let before = |after: Option<Duration>| now.checked_sub(after?).ok();
        let mut swept = Swept { settled, ..Swept::default() };
        if let Some(before) = before(sweep.lost_after) {
            swept.lost =
                ids.iter().filter(|id| self.lose(**id, before, &sweep.heartbeats, now)).count() as u64;
        }
        self.clean(sweep, now, &mut swept);
        swept.next_due = self.tasks.values().filter_map(Task::due).min();
        swept
    }

    fn lose(
        &mut self,
        id: Uuid,
        seen_before: Timestamp,
        heartbeats: &[(Uuid, Timestamp)],
        now: Timestamp,
    ) -> bool {
        let State::Claimed(attempt) = &self.tasks[&id].state else { return false };
        let agent_id = attempt.agent_id;
        // It was there when it claimed, whether that was saved as a sign of life or not.
        let seen = self.agents.get(&agent_id).map_or(attempt.at, |(_, seen)| attempt.at.max(*seen));
        let buffered = heartbeats.iter().filter(|(id, _)| *id == agent_id).map(|(_, at)| *at);
        let seen = buffered.fold(seen, Timestamp::max);
        if seen >= seen_before || self.reported.contains(&agent_id) {
            return false;
        }
        let silent_for = Duration::try_from(now.duration_since(seen)).unwrap_or_default();
        let change = lifecycle::agent_lost(&self.tasks[&id], agent_id, silent_for, now);
        change.map(|change| self.change(id, change)).is_some()
    }

    fn settle(&mut self, id: Uuid, now: Timestamp) -> bool {
        let Some(task) = self.tasks.get(&id) else { return false };
        let change = lifecycle::advance(task, now, || FLEET.to_owned());
        change.map(|change| self.change(id, change)).is_some()
    }

    fn change(&mut self, id: Uuid, change: Change) {
        if let Some(task) = self.tasks.get_mut(&id) {
            task.state = change.state;
        }
        if let Some(ended) = change.ended {
            if matches!(ended.end, AttemptEnd::Expired | AttemptEnd::Cancelled) {
                self.pending_cancellations
                    .entry(ended.attempt.agent_id)
                    .or_default()
                    .insert(ended.attempt.alias);
            }
            self.past.entry(id).or_default().push((ended, None));
        }
    }
}

/// Whether a task is of one of these kinds.
fn names(kinds: &[KindCursor], task: &Task) -> bool {
    kinds.iter().any(|known| known.kind == WaitingKind::of(&task.posted))
}

/// All that is said of a task that expired while it waited, up to what is said of the fleet.
pub fn before_the_fleet(message: &str) -> Option<&str> {
    let phase = message.find(" expired: ")?;
    let join = ["had ended, and ", " s, "].into_iter().find_map(|join| {
        let at = message[phase..].find(join)?;
        (!message[phase..].contains(" had it for ")).then_some(phase + at + join.len())
    })?;
    Some(&message[..join])
}
