//! The executor against the model, over random batches: executed at once, and each command by itself.

mod decisions;

use std::collections::BTreeSet;

use jiff::Timestamp;
use proptest::prelude::*;
use slamon_protocol::JsonText;
use uuid::Uuid;

use super::{DueTasks, Executor, HeldTasks, LockedTask, PostLookup};
use crate::command::{Applied, Command, Polled, Replies, Sweep};
use crate::cursor::{QueueCursor, WaitingKind};
use crate::lifecycle;
use crate::pending_reason::QueueDiagnostics;
use crate::task::{End, LateResult, State, Task};
use crate::testing::model::{FLEET, Model, before_the_fleet};
use crate::testing::sequences::sequences;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn commands_executed_at_once_do_what_the_model_does(batches in sequences(20, 14)) {
        let (mut model, mut tables) = (Model::default(), Tables::default());
        for (now, batch) in batches {
            let before = model.clone();
            let expected = model.apply(&batch, now);
            let applied = tables.apply_at_once(&batch, now);
            check(&before, &model, expected, &tables, applied)?;
        }
    }

    #[test]
    fn commands_executed_one_by_one_do_what_the_model_does(batches in sequences(20, 14)) {
        let (mut model, mut tables) = (Model::default(), Tables::default());
        for (now, batch) in batches {
            let before = model.clone();
            let expected = model.apply(&batch, now);
            let applied = tables.apply_one_by_one(&batch, now);
            check(&before, &model, expected, &tables, applied)?;
        }
    }
}

fn check(
    before: &Model,
    model: &Model,
    expected: Replies,
    tables: &Tables,
    applied: Applied,
) -> Result<(), TestCaseError> {
    prop_assert_eq!(comparable(applied.replies), comparable(expected));
    let mut held = tables.0.clone();
    held.tasks.values_mut().for_each(forget_fleet);
    prop_assert_eq!(&held, model);
    let ended: BTreeSet<Uuid> = applied.ended.iter().copied().collect();
    prop_assert_eq!(ended.len(), applied.ended.len());
    // One that was deleted by the batch that ended it is named, too.
    prop_assert!(ended.is_superset(&model.newly_ended(before)));
    let pending_cancellations =
        |model: &Model| model.pending_cancellations.keys().copied().collect::<BTreeSet<Uuid>>();
    let named: BTreeSet<Uuid> = applied.pending_cancellations.iter().copied().collect();
    prop_assert!(
        pending_cancellations(model)
            .difference(&pending_cancellations(before))
            .all(|agent| named.contains(agent))
    );
    let mut waiting: Vec<String> =
        applied.waiting.iter().map(|waiting| format!("{:?}", waiting.kind)).collect();
    let waits = |task: &Task| task.state == State::Pending;
    let new = |(id, task): &(&Uuid, &Task)| waits(task) && !before.tasks.get(*id).is_some_and(waits);
    let mut expected: Vec<String> = model
        .tasks
        .iter()
        .filter(new)
        .map(|(_, task)| format!("{:?}", WaitingKind::of(&task.posted)))
        .collect();
    waiting.sort_unstable();
    expected.sort_unstable();
    prop_assert_eq!(waiting, expected);
    Ok(())
}

/// The model knows nothing of the agents that might have taken a task. Whether a sweep already sees what
/// comes after it in its batch is the store's to say.
fn comparable(mut replies: Replies) -> Replies {
    for task in replies.cancels.iter_mut().flatten().flatten().flatten() {
        forget_fleet(task);
    }
    for swept in replies.sweeps.iter_mut().flatten() {
        swept.next_due = None;
    }
    replies
}

fn forget_fleet(task: &mut Task) {
    if let State::Ended { end: End::Expired(message), .. } = &mut task.state
        && let Some(before) = before_the_fleet(message.as_str())
    {
        *message = JsonText::from_stored(format!(r#"{before}{FLEET}""#));
    }
}

/// What a database would hold: a model that is only read and written here, and moved by nothing but the
/// executor.
#[derive(Default)]
struct Tables(Model);

impl Tables {
    /// As PostgreSQL does it: everything is found before anything is decided.
    fn apply_at_once(&mut self, batch: &[Command], now: Timestamp) -> Applied {
        let mut executor = Executor::new(now);
        for command in batch {
            self.insert(command, &mut executor);
        }
        for command in batch {
            self.find(command, &mut executor);
        }
        self.execute(batch, &mut executor);
        self.hand_out(batch, executor)
    }

    /// As SQLite does it: each command finds what those before it have saved.
    fn apply_one_by_one(&mut self, batch: &[Command], now: Timestamp) -> Applied {
        let mut executor = Executor::new(now);
        let (polls, others): (Vec<_>, Vec<_>) = batch.iter().partition(|command| command.poll().is_some());
        for command in others.into_iter().chain(polls) {
            self.insert(command, &mut executor);
            self.find(command, &mut executor);
            self.execute(std::slice::from_ref(command), &mut executor);
        }
        self.hand_out(batch, executor)
    }

    fn insert<'a>(&mut self, command: &'a Command, executor: &mut Executor<'a>) {
        let Command::Submit(posted) = command else { return };
        let id = posted.task_id;
        if executor.snapshot.posts.contains_key(&id) {
            return;
        }
        let lookup = if let Some(stored) = self.0.tasks.get(&id) {
            PostLookup::Stored(Box::new(stored.posted.clone()))
        } else if self.0.handed_out_as(id).is_some() {
            PostLookup::OfAttempt
        } else {
            let state = lifecycle::first_state(posted, executor.now());
            let task = Task { posted: posted.clone(), created: executor.now(), attempts: 0, state };
            self.0.tasks.insert(id, task);
            self.0.arrivals.push(id);
            PostLookup::Inserted(QueueCursor::START)
        };
        executor.snapshot.add_post(id, lookup);
    }

    fn find(&self, command: &Command, executor: &mut Executor<'_>) {
        let now = executor.now();
        let mut named: Vec<Uuid> = Vec::new();
        match command {
            Command::Report(result) => {
                named.extend(self.0.handed_out_as(result.task_id));
                for (id, past) in &self.0.past {
                    for (ended, late) in
                        past.iter().filter(|(ended, _)| ended.attempt.alias == result.task_id)
                    {
                        executor.snapshot.add_past(*id, ended.clone(), late.is_some());
                    }
                }
            }
            Command::Cancel(id) => named.push(*id),
            Command::Release { task_ids, .. } => named.extend(task_ids),
            Command::Sweep(sweep) => {
                let due = self.due(sweep, now);
                named.extend(due.due.iter().chain(due.silent.iter().map(|(id, _)| id)));
                executor.snapshot.add_due(due);
            }
            Command::Poll { poll, running: Some(_), .. } => {
                let tasks = self.claimed().filter(|(_, agent_id, _)| *agent_id == poll.agent_id);
                let tasks: Vec<Uuid> = tasks.map(|(id, ..)| id).collect();
                named.extend(&tasks);
                executor.snapshot.add_held(poll.agent_id, HeldTasks { tasks, has_more: false });
            }
            Command::Submit(_)
            | Command::Poll { .. }
            | Command::Claim { .. }
            | Command::Seen(_)
            | Command::Operate(_) => {}
        }
        for task in named.iter().filter_map(|id| self.0.tasks.get(id)) {
            let task = task.clone();
            executor.snapshot.add_task(LockedTask { task, seq: 0, cursor: QueueCursor::START });
        }
        let expired: Vec<Uuid> = executor.snapshot.expired(now).map(|task| task.posted.task_id).collect();
        for id in expired {
            executor.snapshot.add_diagnostics(id, QueueDiagnostics::default());
        }
    }

    fn claimed(&self) -> impl Iterator<Item = (Uuid, Uuid, Timestamp)> {
        self.0.tasks.iter().filter_map(|(id, task)| match &task.state {
            State::Claimed(attempt) => Some((*id, attempt.agent_id, attempt.at)),
            _ => None,
        })
    }

    fn due(&self, sweep: &Sweep, now: Timestamp) -> DueTasks {
        let is_due = |task: &Task| task.due().is_some_and(|at| at <= now);
        let due = self.0.tasks.iter().filter(|(_, task)| is_due(task)).map(|(id, _)| *id).collect();
        let before = sweep.lost_after.and_then(|after| now.checked_sub(after).ok());
        let last_seen = |(id, agent_id, claimed_at): (Uuid, Uuid, Timestamp)| {
            let seen = self.0.agents.get(&agent_id).map_or(claimed_at, |(_, seen)| claimed_at.max(*seen));
            (id, seen)
        };
        let silent =
            self.claimed().map(last_seen).filter(|(_, seen)| before.is_some_and(|before| *seen < before));
        DueTasks { due, silent: silent.collect() }
    }

    /// Executes commands, and saves what has changed.
    fn execute<'a>(&mut self, commands: &'a [Command], executor: &mut Executor<'a>) {
        executor.execute(commands);
        let now = executor.now();
        let model = &mut self.0;
        for LockedTask { task, .. } in executor.changed_tasks() {
            model.tasks.insert(task.posted.task_id, task.clone());
        }
        let changes = executor.changes();
        for (id, ended) in &changes.ended {
            if ended.end.is_to_be_told() {
                model
                    .pending_cancellations
                    .entry(ended.attempt.agent_id)
                    .or_default()
                    .insert(ended.attempt.alias);
            }
            model.past.entry(*id).or_default().push((ended.clone(), None));
        }
        for ((id, number), outcome) in &changes.late {
            let past = model.past.get_mut(id).into_iter().flatten();
            for (_, late) in past.filter(|(ended, _)| ended.attempt.number == *number) {
                assert_eq!(*late, None);
                *late = Some(LateResult { at: now, outcome: (*outcome).clone() });
            }
        }
        for (agent_id, at) in &executor.effects.heartbeats {
            model.seen(&[(*agent_id, *at)]);
        }
        for command in commands {
            if let Command::Release { agent_id, cancelled, .. } = command {
                model.tell_again(*agent_id, cancelled);
                executor.effects.pending_cancellations.push(*agent_id);
            }
        }
        executor.forget_saved();
    }

    /// Does what the executor does not.
    fn hand_out(&mut self, batch: &[Command], executor: Executor<'_>) -> Applied {
        let (now, mut replies) = (executor.now(), executor.replies);
        let mut swept = replies.sweeps.iter_mut().flatten();
        let mut claimed = Vec::new();
        for command in batch {
            match command {
                Command::Sweep(sweep) => {
                    let swept = swept.next().expect("a reply for each sweep");
                    self.0.clean(sweep, now, swept);
                }
                Command::Seen(agents) => replies.seen.push(Ok(self.0.seen(agents))),
                _ => {}
            }
        }
        for command in batch {
            let polled = match command {
                Command::Poll { poll, kinds, .. } => self.0.poll(poll, kinds.as_deref(), now),
                Command::Claim { poll, kinds } => {
                    let is_of =
                        |task: &Task| kinds.iter().any(|known| known.kind == WaitingKind::of(&task.posted));
                    Polled { tasks: self.0.hand_out(poll, now, is_of), cancelled: Vec::new() }
                }
                _ => continue,
            };
            claimed.extend(polled.tasks.iter().map(|delivery| delivery.task_id));
            replies.polls.push(Ok(polled));
        }
        executor.effects.into_applied(replies, claimed)
    }
}
