//! Decides commands, one after the other.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem;
use std::time::Duration;

use jiff::Timestamp;
use slamon_protocol::{PostTask, ResultPost, TaskOutcome};
use uuid::Uuid;

use super::{Effects, LockedTask, PostLookup, Snapshot};
use crate::command::{
    Cancelled, Command, Locked, Refusal, Replies, Reply, Reported, Running, Submitted, Sweep, Swept,
};
use crate::lifecycle::{self, Change, Report};
use crate::pending_reason::kept_from_agents;
use crate::task::{EndedAttempt, State, Task, expires};
use crate::transition::Transition;

/// Decides the commands of a batch, but for what polls are handed out.
#[derive(Debug)]
pub struct Executor<'a> {
    now: Timestamp,
    /// What was found for the commands that are executed next.
    pub snapshot: Snapshot<'a>,
    /// What these have changed.
    changes: Changes<'a>,
    /// What all commands so far are replied.
    pub replies: Replies,
    /// What all commands so far change for others.
    pub effects: Effects,
}

/// What a store has to save, besides the tasks of [`Executor::changed_tasks`].
#[derive(Debug, Default)]
pub struct Changes<'a> {
    tasks: BTreeSet<Uuid>,
    /// Attempts that have ended without finishing their tasks, in the order of their ends.
    pub ended: Vec<(Uuid, EndedAttempt)>,
    /// Late results, by the task and the number of the attempt; none of these has one.
    pub late: BTreeMap<(Uuid, u32), &'a TaskOutcome>,
    /// When time first changes one of the tasks that were posted.
    posted_due: Option<Timestamp>,
}

impl<'a> Executor<'a> {
    /// An executor that has nothing to do yet.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self {
            now,
            snapshot: Snapshot::default(),
            changes: Changes::default(),
            replies: Replies::default(),
            effects: Effects::default(),
        }
    }

    /// The time of the batch.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Decides commands, for which everything is in the snapshot, and then what their agents have abandoned.
    pub fn execute(&mut self, commands: &'a [Command]) {
        for command in commands {
            match command {
                Command::Submit(posted) => {
                    let reply = self.submit(posted);
                    self.replies.submits.push(reply);
                }
                Command::Report(result) => {
                    let reply = self.report(result);
                    self.replies.reports.push(reply);
                }
                Command::Cancel(id) => {
                    let reply = self.cancel(*id);
                    self.replies.cancels.push(reply);
                }
                Command::Release { agent_id, claimed_at, task_ids, .. } => {
                    let reply = self.release(*agent_id, *claimed_at, task_ids);
                    self.replies.releases.push(reply);
                }
                Command::Sweep(sweep) => {
                    let swept = self.sweep(sweep);
                    self.replies.sweeps.push(Ok(swept));
                }
                Command::Poll { .. } | Command::Claim { .. } | Command::Seen(_) | Command::Operate(_) => {}
            }
        }
        for (agent_id, running) in Running::of(commands) {
            self.abandon(agent_id, running);
        }
    }

    /// What has changed since the last [`Executor::forget_saved`].
    #[must_use]
    pub fn changes(&self) -> &Changes<'a> {
        &self.changes
    }

    /// The tasks that have changed, as they are now, in the order of their ids.
    pub fn changed_tasks(&self) -> impl ExactSizeIterator<Item = &LockedTask> {
        self.changes.tasks.iter().map(|id| &self.snapshot.tasks[id])
    }

    /// When time first changes one of the tasks that have changed, or were posted.
    #[must_use]
    pub fn first_due(&self) -> Option<Timestamp> {
        self.changed_tasks().filter_map(|locked| locked.task.due()).chain(self.changes.posted_due).min()
    }

    /// Begins anew with an empty snapshot, once all changes are saved.
    pub fn forget_saved(&mut self) {
        self.snapshot.clear();
        self.changes = Changes::default();
    }

    /// A post that was not looked up cannot be decided.
    fn submit(&mut self, posted: &'a PostTask) -> Reply<Result<Submitted, Refusal>> {
        let Some(found) = self.snapshot.posts.get_mut(&posted.task_id) else { return Err(Locked) };
        match found {
            PostLookup::Locked => Err(Locked),
            PostLookup::OfAttempt => Ok(lifecycle::submit(None, true, posted)),
            PostLookup::Stored(stored) => Ok(lifecycle::submit(Some(stored), false, posted)),
            PostLookup::Posted(stored) => Ok(lifecycle::submit(Some(stored), false, posted)),
            PostLookup::Inserted(cursor) => {
                let cursor = *cursor;
                *found = PostLookup::Posted(posted);
                let state = lifecycle::first_state(posted, self.now);
                let due = state.due(expires(posted, self.now));
                self.changes.posted_due = self.changes.posted_due.into_iter().chain(due).min();
                self.effects.transitions.push(Transition::posted(posted, &state, self.now));
                self.effects.note(posted, &state, cursor);
                Ok(lifecycle::submit(None, false, posted))
            }
        }
    }

    /// `false` for a task that is only posted later in the batch.
    fn is_there(&self, id: Uuid) -> bool {
        !matches!(self.snapshot.posts.get(&id), Some(PostLookup::Inserted(_)))
    }

    fn report(&mut self, result: &'a ResultPost) -> Reply<Result<Reported, Refusal>> {
        let alias = result.task_id;
        if self.snapshot.is_locked(alias) {
            return Err(Locked);
        }
        let Some(id) = self.snapshot.id_of(alias).filter(|id| self.is_there(*id)) else {
            return Ok(Err(Refusal::UnknownTask));
        };
        self.advance(id);
        let Some(task) = self.snapshot.task(id) else { return Ok(Err(Refusal::UnknownTask)) };
        // What was running until now may just have ended.
        let past = self.snapshot.past(alias);
        let attempt = past.map(|past| &past.attempt).or(task.last_attempt());
        let agent = attempt.map(|attempt| attempt.agent_id);
        let report = match lifecycle::report(task, past, result, self.now) {
            Ok(report) => report,
            Err(refusal) => return Ok(Err(refusal)),
        };
        // A result is a sign of life, also a late or a repeated one.
        if let Some(agent_id) = agent {
            self.effects.add_heartbeat(agent_id, self.now);
        }
        match report {
            Report::Ends(change) => {
                self.change(id, change);
                Ok(Ok(Reported::Stored))
            }
            Report::Repeated => Ok(Ok(Reported::Repeated)),
            Report::Late { .. } if self.snapshot.locked_attempts.contains(&alias) => Err(Locked),
            Report::Late { attempt } => {
                if !self.snapshot.kept_late.contains(&alias) {
                    self.changes.late.entry((id, attempt)).or_insert(&result.outcome);
                }
                Ok(Err(Refusal::TooLate(attempt)))
            }
        }
    }

    fn cancel(&mut self, id: Uuid) -> Reply<Cancelled> {
        if self.snapshot.is_locked(id) {
            return Err(Locked);
        }
        if !self.is_there(id) {
            return Ok(None);
        }
        self.advance(id);
        let Some(task) = self.snapshot.task(id) else { return Ok(None) };
        match lifecycle::cancel(task, self.now) {
            Ok(change) => {
                if let Some(change) = change {
                    self.change(id, change);
                }
                Ok(self.snapshot.task(id).map(|task| Ok(Box::new(task.clone()))))
            }
            Err(refusal) => Ok(Some(Err(refusal))),
        }
    }

    /// Releases those of the tasks that no other session has locked.
    fn release(&mut self, agent_id: Uuid, claimed_at: Timestamp, ids: &[Uuid]) -> Reply<usize> {
        let mut released = 0;
        for id in ids {
            let state = self.snapshot.task(*id);
            let state = state.and_then(|task| lifecycle::release(task, agent_id, claimed_at));
            let Some(state) = state else { continue };
            self.snapshot.forget_alias(*id);
            if let Some(locked) = self.snapshot.tasks.get_mut(id) {
                locked.task.attempts = locked.task.attempts.saturating_sub(1);
            }
            self.change(*id, state.into());
            released += 1;
        }
        if ids.iter().any(|id| self.snapshot.is_locked(*id)) { Err(Locked) } else { Ok(released) }
    }

    /// Changes what a sweep has found, as the commands before have left it.
    fn sweep(&mut self, sweep: &Sweep) -> Swept {
        let found = self.snapshot.due.pop_front().unwrap_or_default();
        let mut swept = Swept::default();
        for id in found.due {
            swept.settled += u64::from(self.advance(id));
        }
        let mut heartbeats: HashMap<Uuid, Timestamp> = HashMap::new();
        if !found.silent.is_empty() {
            for (agent_id, at) in &sweep.heartbeats {
                heartbeats.entry(*agent_id).and_modify(|latest| *latest = *at.max(latest)).or_insert(*at);
            }
        }
        let seen_before = sweep.lost_after.and_then(|after| self.now.checked_sub(after).ok());
        let mut over = 0;
        for (id, last_seen) in found.silent {
            over += u64::from(self.advance(id));
            let Some(task) = self.snapshot.task(id) else { continue };
            let Some(agent_id) = task.last_attempt().map(|attempt| attempt.agent_id) else { continue };
            if self.effects.heartbeats.contains_key(&agent_id) {
                continue;
            }
            let last_seen = heartbeats.get(&agent_id).map_or(last_seen, |at| last_seen.max(*at));
            if seen_before.is_none_or(|before| last_seen >= before) {
                continue;
            }
            let silent_for = Duration::try_from(self.now.duration_since(last_seen)).unwrap_or_default();
            if let Some(change) = lifecycle::agent_lost(task, agent_id, silent_for, self.now) {
                self.change(id, change);
                swept.lost += 1;
            }
        }
        // A task that is left as it is must not have the next sweep begin at once.
        let limit = u64::from(sweep.limit);
        swept.more = swept.settled >= limit || swept.lost + over >= limit;
        swept
    }

    /// Ends the attempts of an agent that it does not name.
    fn abandon(&mut self, agent_id: Uuid, running: &Running) {
        let held = self.snapshot.held.get(&agent_id).cloned().unwrap_or_default();
        let mut accounted = !held.has_more;
        for id in held.tasks {
            // A command before may have released it.
            if !self.snapshot.task(id).is_some_and(|task| is_held_by(task, agent_id)) {
                continue;
            }
            self.advance(id);
            let Some(task) = self.snapshot.task(id) else { continue };
            if let Some(change) = lifecycle::abandon(task, agent_id, running, self.now) {
                self.change(id, change);
                self.effects.abandoned += 1;
            } else if let State::Claimed(attempt) = &task.state {
                accounted &= running.names(attempt);
            }
        }
        // The last poll of an agent counts.
        self.effects.accounted.retain(|id| *id != agent_id);
        if accounted {
            self.effects.accounted.push(agent_id);
        }
    }

    /// Brings a task to where time has brought it; `false` if it was there.
    fn advance(&mut self, id: Uuid) -> bool {
        let Some(task) = self.snapshot.task(id) else { return false };
        let diagnostics = &self.snapshot.diagnostics;
        let fleet = || kept_from_agents(task, &diagnostics.get(&id).cloned().unwrap_or_default());
        let Some(change) = lifecycle::advance(task, self.now, fleet) else { return false };
        self.change(id, change);
        true
    }

    fn change(&mut self, id: Uuid, change: Change) {
        let Some(LockedTask { task, cursor, .. }) = self.snapshot.tasks.get_mut(&id) else { return };
        let before = mem::replace(&mut task.state, change.state);
        self.changes.tasks.insert(id);
        self.effects.transitions.push(Transition::changed(
            &task.posted,
            task.created,
            &before,
            &task.state,
            change.ended.as_ref().map(|ended| &ended.end),
            self.now,
        ));
        self.effects.note(&task.posted, &task.state, *cursor);
        if let Some(ended) = change.ended {
            if ended.end.is_to_be_told() {
                self.effects.pending_cancellations.push(ended.attempt.agent_id);
            }
            self.snapshot.end_attempt(id, &ended);
            self.changes.ended.push((id, ended));
        }
    }
}

fn is_held_by(task: &Task, agent_id: Uuid) -> bool {
    matches!(&task.state, State::Claimed(attempt) if attempt.agent_id == agent_id)
}
