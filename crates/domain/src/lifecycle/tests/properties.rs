//! What holds after any sequence of commands.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use uuid::Uuid;

use crate::command::{Command, Refusal, Reported, Submitted, Sweep};
use crate::task::{Attempt, AttemptEnd, State, Task};
use crate::testing::model::Model;
use crate::testing::outcome::Outcome;
use crate::testing::sequences::sequences;

const SWEEP: Sweep =
    Sweep { limit: 1_000, lost_after: None, forget_after: None, delete_after: None, heartbeats: Vec::new() };

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn every_step_is_a_step_of_the_diagram(batches in sequences(30, 6)) {
        let mut model = Model::default();
        let mut ends: BTreeMap<Uuid, usize> = BTreeMap::new();
        for (now, batch) in batches {
            for command in batch {
                let before = model.clone();
                let outcome = model.apply_one(&command, now);
                check_tasks(&before, &command, &model)?;
                check_attempts(&model)?;
                check_outcome(&before, &command, now, &outcome, &model)?;
                for id in model.newly_ended(&before) {
                    *ends.entry(id).or_default() += 1;
                }
                // A task that was deleted may be posted again.
                ends.retain(|id, _| model.tasks.contains_key(id));
            }
        }
        for (id, task) in &model.tasks {
            prop_assert_eq!(ends.get(id).copied().unwrap_or(0), usize::from(is_ended(task)), "{:?}", task);
        }
    }

    #[test]
    fn saying_everything_twice_changes_nothing(batches in sequences(20, 6)) {
        let mut model = Model::default();
        for (now, batch) in batches {
            // Polls, releases and sweeps are no repeats when they are said again.
            let repeatable =
                |command: &&Command| {
                    matches!(command, Command::Submit(_) | Command::Report(_) | Command::Cancel(_))
                };
            for command in batch.iter().filter(repeatable) {
                let said = model.apply_one(command, now);
                let before = model.clone();
                let again = model.apply_one(command, now);
                match &said {
                    Outcome::Submit(Ok(_)) => {
                        prop_assert_eq!(again, Outcome::Submit(Ok(Submitted::Repeated)));
                    }
                    Outcome::Report(Ok(_)) => prop_assert_eq!(again, Outcome::Report(Ok(Reported::Repeated))),
                    _ => prop_assert_eq!(again, said),
                }
                prop_assert_eq!(&before, &model);
            }
            model.apply(&batch, now);
        }
    }

    #[test]
    fn time_ends_every_task_with_a_ttl_and_every_agent(batches in sequences(20, 6)) {
        let mut model = Model::default();
        let mut last = Timestamp::UNIX_EPOCH;
        for (now, batch) in batches {
            model.apply(&batch, now);
            last = last.max(now);
        }
        let expired = |task: &Task, now| task.expires().is_some_and(|at| at <= now);
        for (id, task) in model.tasks.clone() {
            if let Some(at) = task.expires() {
                let mut swept = model.clone();
                swept.apply_one(&Command::Sweep(SWEEP), at);
                prop_assert!(is_ended(&swept.tasks[&id]));
                let claimed = Command::Sweep(Sweep { lost_after: Some(Duration::ZERO), ..SWEEP });
                swept.apply_one(&claimed, last.max(at));
                prop_assert!(!swept.tasks.values().any(|task| expired(task, at) && !is_ended(task)));
            }
        }
        // Nobody keeps a task for ever once silent agents are lost.
        let much_later = last + Duration::from_secs(86_400);
        let sweep = Sweep { lost_after: Some(Duration::from_secs(60)), ..SWEEP };
        model.apply_one(&Command::Sweep(sweep), much_later);
        prop_assert!(!model.tasks.values().any(|task| matches!(task.state, State::Claimed(_))));
    }
}

fn is_ended(task: &Task) -> bool {
    matches!(task.state, State::Ended { .. })
}

/// No task is lost, a finished one stays as it is, what was posted stays as it was.
fn check_tasks(before: &Model, command: &Command, after: &Model) -> Result<(), TestCaseError> {
    let deletes = matches!(command, Command::Sweep(Sweep { delete_after: Some(_), .. }));
    let releases = matches!(command, Command::Release { .. });
    for (id, task) in &before.tasks {
        let Some(still) = after.tasks.get(id) else {
            prop_assert!(deletes, "{command:?} lost {task:?}");
            prop_assert!(after.past.get(id).is_none_or(Vec::is_empty));
            continue;
        };
        prop_assert!(still.posted == task.posted && still.created == task.created);
        prop_assert!(!is_ended(task) || still == task, "a finished task changed: {:?} to {:?}", task, still);
        prop_assert!(still.attempts >= task.attempts || releases);
        // An attempt goes on until it ends: then its task has ended with it, or it is kept, or was released.
        let past = after.past.get(id).into_iter().flatten();
        if let (State::Claimed(attempt), false) = (&task.state, still.state == task.state) {
            let kept = past.clone().any(|(ended, _)| ended.attempt == *attempt);
            prop_assert!(kept || releases || still.last_attempt() == Some(attempt));
        }
        for (ended, late) in before.past.get(id).into_iter().flatten() {
            let is_kept = |(now, then): &(_, Option<_>)| now == ended && (late.is_none() || then == late);
            prop_assert!(past.clone().any(is_kept), "an attempt that had ended changed: {:?}", ended);
        }
    }
    Ok(())
}

/// Attempts are numbered, within what is allowed, and each has an id of its own.
fn check_attempts(model: &Model) -> Result<(), TestCaseError> {
    let mut aliases: BTreeMap<Uuid, Uuid> = BTreeMap::new();
    for (id, task) in &model.tasks {
        prop_assert!(task.attempts <= task.posted.terms.max_attempts);
        let past = model.past.get(id).into_iter().flatten().map(|(ended, _)| &ended.attempt);
        let mut attempts: Vec<_> = past.collect();
        if let Some(last) = task.last_attempt().filter(|last| !attempts.contains(last)) {
            attempts.push(last);
        }
        let numbers: Vec<u32> = attempts.iter().map(|attempt| attempt.number).collect();
        prop_assert_eq!(numbers, (1..=task.attempts).collect::<Vec<_>>(), "{:?}", task);
        for attempt in attempts {
            prop_assert_eq!(attempt.alias == *id, attempt.number == 1);
            prop_assert_eq!(aliases.insert(attempt.alias, *id), None, "an alias was given twice");
        }
    }
    Ok(())
}

fn check_outcome(
    before: &Model,
    command: &Command,
    now: Timestamp,
    outcome: &Outcome,
    after: &Model,
) -> Result<(), TestCaseError> {
    let changed: Vec<_> =
        before.tasks.iter().filter(|(id, task)| after.tasks.get(id) != Some(task)).collect();
    let new: Vec<_> = after.tasks.keys().filter(|id| !before.tasks.contains_key(id)).collect();
    prop_assert!(new.is_empty() || *outcome == Outcome::Submit(Ok(Submitted::Stored)));
    match (command, outcome) {
        (Command::Submit(posted), Outcome::Submit(Ok(Submitted::Stored))) => {
            prop_assert!(changed.is_empty());
            prop_assert_eq!(new, [&posted.task_id]);
            let waits = matches!(after.tasks[&posted.task_id].state, State::Delayed { .. } | State::Pending);
            prop_assert!(waits);
        }
        (Command::Poll { poll, .. } | Command::Claim { poll, .. }, Outcome::Poll(polled)) => {
            let abandoned = check_abandoned(before, command, after)?;
            let given: BTreeSet<Uuid> = polled.tasks.iter().map(|delivery| delivery.task_id).collect();
            for (id, task) in changed {
                let expired = task.expires().is_some_and(|at| at <= now);
                let is_due = |attempt: &Attempt| expired || attempt.deadline.is_some_and(|at| at <= now);
                let by_time = matches!(&task.state, State::Claimed(attempt) if is_due(attempt));
                prop_assert!(given.contains(id) || abandoned.contains(id) || by_time);
            }
            for delivery in &polled.tasks {
                let waited = before.tasks[&delivery.task_id].state == State::Pending;
                prop_assert!(waited || says_what_runs(command));
                let State::Claimed(attempt) = &after.tasks[&delivery.task_id].state else {
                    return Err(TestCaseError::fail("a delivered task is not claimed"));
                };
                prop_assert_eq!((attempt.agent_id, attempt.at), (poll.agent_id, now));
                prop_assert_eq!((attempt.alias, attempt.number), (delivery.alias, delivery.attempt));
            }
            match command {
                Command::Poll { .. } => {
                    prop_assert!(!after.pending_cancellations.contains_key(&poll.agent_id));
                }
                _ => prop_assert_eq!(
                    (&before.pending_cancellations, &before.agents),
                    (&after.pending_cancellations, &after.agents)
                ),
            }
        }
        (Command::Report(result), Outcome::Report(Ok(Reported::Stored))) => {
            prop_assert_eq!(changed.len(), 1);
            let State::Claimed(held) = &changed[0].1.state else {
                return Err(TestCaseError::fail("a result was stored for a task that nobody held"));
            };
            prop_assert_eq!(held.alias, result.task_id);
            prop_assert!(result.agent_id.is_none_or(|agent| agent == held.agent_id));
            prop_assert!(held.deadline.is_none_or(|deadline| now < deadline), "a late result was taken");
            prop_assert!(changed[0].1.expires().is_none_or(|at| now < at), "an expired task took a result");
        }
        (Command::Cancel(id), Outcome::Cancel(Some(Ok(_)))) => {
            prop_assert!(changed.iter().all(|(changed, _)| *changed == id));
            prop_assert_eq!(after.tasks[id].state.name(), "cancelled");
        }
        (Command::Release { agent_id, claimed_at, task_ids, .. }, Outcome::Release(released)) => {
            prop_assert_eq!(changed.len(), *released);
            for (id, task) in changed {
                prop_assert!(task_ids.contains(id));
                let State::Claimed(held) = &task.state else {
                    return Err(TestCaseError::fail("a task was released that nobody held"));
                };
                prop_assert_eq!((held.agent_id, held.at), (*agent_id, *claimed_at));
                prop_assert_eq!(&after.tasks[id].state, &State::Pending);
            }
        }
        (Command::Sweep(_), Outcome::Sweep(swept)) => {
            let most = swept.settled + swept.lost + swept.deleted;
            prop_assert!(changed.len() as u64 <= most, "{changed:?} in {swept:?}");
        }
        (Command::Report(result), Outcome::Report(refused)) => {
            check_unchanged(before, result.task_id, *refused, after)?;
        }
        (Command::Cancel(id), Outcome::Cancel(_)) => {
            check_unchanged(before, *id, Ok(Reported::Repeated), after)?;
        }
        (Command::Submit(_), Outcome::Submit(_)) => prop_assert_eq!(before, after),
        (Command::Seen(_), Outcome::Seen(_)) => prop_assert_eq!(&before.tasks, &after.tasks),
        _ => prop_assert!(false, "{outcome:?} is no outcome of {command:?}"),
    }
    Ok(())
}

fn says_what_runs(command: &Command) -> bool {
    matches!(command, Command::Poll { running: Some(_), .. })
}

/// The tasks whose attempts a poll has ended: each was its agent's, known to it by then, and not named.
fn check_abandoned(
    before: &Model,
    command: &Command,
    after: &Model,
) -> Result<BTreeSet<Uuid>, TestCaseError> {
    let mut abandoned = BTreeSet::new();
    for (id, past) in &after.past {
        let known = before.past.get(id).map_or(0, Vec::len);
        for (ended, _) in past[known..].iter().filter(|(ended, _)| ended.end == AttemptEnd::Abandoned) {
            let Command::Poll { poll, running: Some(running), .. } = command else {
                return Err(TestCaseError::fail("nobody has said what is executed"));
            };
            prop_assert_eq!(ended.attempt.agent_id, poll.agent_id);
            prop_assert!(
                ended.attempt.at <= running.until && !running.aliases.contains(&ended.attempt.alias)
            );
            abandoned.insert(*id);
        }
    }
    Ok(abandoned)
}

/// Repeats and refusals change nothing, but that time is let pass for the task, and that a late result is
/// kept and shows that its agent lives.
fn check_unchanged(
    before: &Model,
    id: Uuid,
    refused: Result<Reported, Refusal>,
    after: &Model,
) -> Result<(), TestCaseError> {
    let Some(id) = before.handed_out_as(id) else {
        prop_assert_eq!(before, after);
        return Ok(());
    };
    let (was, is) = (&before.tasks[&id], &after.tasks[&id]);
    if was != is {
        let by_time = match &is.state {
            State::Ended { end, .. } => matches!(end, crate::End::Expired(_) | crate::End::TimedOut(_)),
            State::Pending | State::Delayed { .. } => true,
            State::Claimed(_) => false,
        };
        prop_assert!(by_time, "{:?} became {:?} by a refusal", was, is);
        return Ok(());
    }
    let kept = |model: &Model| model.past.get(&id).cloned().unwrap_or_default();
    let (was, is) = (kept(before), kept(after));
    if let Err(Refusal::TooLate(number)) = refused {
        let (ended, late) = &is[number as usize - 1];
        prop_assert!(late.is_some() && !matches!(ended.end, AttemptEnd::Error(_)));
        prop_assert_eq!(was.len(), is.len());
    } else {
        prop_assert_eq!(was, is);
    }
    let is_sign_of_life = matches!(refused, Ok(Reported::Repeated) | Err(Refusal::TooLate(_)));
    prop_assert!(is_sign_of_life || before.agents == after.agents);
    Ok(())
}
