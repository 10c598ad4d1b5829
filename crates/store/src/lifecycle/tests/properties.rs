//! What holds after any sequence of commands.

use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::prelude::*;
use uuid::Uuid;

use super::model::Model;
use super::sequences::sequences;
use crate::{Claim, Command, Outcome, Reported, State, Submitted};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]

    #[test]
    fn every_step_is_a_step_of_the_diagram(batches in sequences(30, 6)) {
        let mut model = Model::default();
        let mut finished: BTreeMap<Uuid, usize> = BTreeMap::new();
        for (now, batch) in batches {
            for command in batch {
                let before = model.clone();
                let outcome = model.apply(std::slice::from_ref(&command), now).remove(0);
                check_step(&before, &command, now, &outcome, &model)?;
                if let (Command::Report(report), Outcome::Report(Ok(Reported::Stored))) = (&command, &outcome) {
                    *finished.entry(report.task_id).or_default() += 1;
                }
            }
        }
        for (id, task) in &model.tasks {
            let ended = matches!(task.state, State::Completed { .. } | State::Failed { .. });
            prop_assert_eq!(finished.get(id).copied().unwrap_or(0), usize::from(ended));
        }
    }

    #[test]
    fn saying_everything_twice_changes_nothing(batches in sequences(20, 6)) {
        let mut model = Model::default();
        for (now, batch) in batches {
            // Polls and releases are no repeats when they are said again.
            let repeatable = |command: &&Command| matches!(command, Command::Submit(_) | Command::Report(_));
            let said: Vec<_> = batch.iter().filter(repeatable).cloned().collect();
            let outcomes = model.apply(&said, now);
            let accepted = said.into_iter().zip(&outcomes).filter(|(_, outcome)| is_accepted(outcome));
            let again: Vec<_> = accepted.map(|(command, _)| command).collect();
            let before = model.clone();
            for outcome in model.apply(&again, now) {
                prop_assert!(matches!(
                    outcome,
                    Outcome::Submit(Ok(Submitted::Repeated)) | Outcome::Report(Ok(Reported::Repeated))
                ));
            }
            prop_assert_eq!(&before, &model);
            model.apply(&batch, now);
        }
    }
}

fn is_accepted(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Submit(Ok(_)) | Outcome::Report(Ok(_)))
}

fn check_step(
    before: &Model,
    command: &Command,
    now: Timestamp,
    outcome: &Outcome,
    after: &Model,
) -> Result<(), TestCaseError> {
    let changed: Vec<_> =
        before.tasks.iter().filter(|(id, task)| after.tasks.get(id) != Some(task)).collect();
    let new: Vec<_> = after.tasks.keys().filter(|id| !before.tasks.contains_key(id)).collect();
    for (id, task) in &before.tasks {
        let still = after.tasks.get(id);
        prop_assert!(still.is_some_and(|still| still.posted == task.posted && still.created == task.created));
        let ended = matches!(task.state, State::Completed { .. } | State::Failed { .. });
        prop_assert!(!ended || still == Some(task), "a finished task changed");
    }
    match (command, outcome) {
        (Command::Submit(posted), Outcome::Submit(Ok(Submitted::Stored))) => {
            prop_assert!(changed.is_empty());
            prop_assert_eq!(new, [&posted.task_id]);
            prop_assert_eq!(&after.tasks[&posted.task_id].state, &State::Pending);
        }
        (Command::Poll(poll), Outcome::Poll(delivered)) => {
            prop_assert!(new.is_empty());
            prop_assert_eq!(changed.len(), delivered.len());
            for delivery in delivered {
                let claim = Claim { agent_id: poll.agent_id, at: now };
                prop_assert_eq!(&before.tasks[&delivery.task_id].state, &State::Pending);
                prop_assert_eq!(&after.tasks[&delivery.task_id].state, &State::Claimed(claim));
            }
        }
        (Command::Report(report), Outcome::Report(Ok(Reported::Stored))) => {
            prop_assert!(new.is_empty());
            prop_assert_eq!(changed.len(), 1);
            let State::Claimed(held) = before.tasks[&report.task_id].state else {
                return Err(TestCaseError::fail("a report was stored for a task that nobody held"));
            };
            let ended = &after.tasks[&report.task_id].state;
            let (State::Completed { claim, at, .. } | State::Failed { claim, at, .. }) = ended else {
                return Err(TestCaseError::fail("a stored report did not end its task"));
            };
            prop_assert_eq!((*claim, *at), (held, now));
        }
        (Command::Release { agent_id, claimed_at, task_ids }, Outcome::Release(released)) => {
            prop_assert!(new.is_empty());
            prop_assert_eq!(changed.len(), *released);
            for (id, task) in changed {
                prop_assert!(task_ids.contains(id));
                let claim = Claim { agent_id: *agent_id, at: *claimed_at };
                prop_assert_eq!(&task.state, &State::Claimed(claim));
                prop_assert_eq!(&after.tasks[id].state, &State::Pending);
            }
        }
        // Repeats and refusals.
        (Command::Submit(_), Outcome::Submit(_)) | (Command::Report(_), Outcome::Report(_)) => {
            prop_assert_eq!(before, after);
        }
        _ => prop_assert!(false, "{outcome:?} is no outcome of {command:?}"),
    }
    Ok(())
}
