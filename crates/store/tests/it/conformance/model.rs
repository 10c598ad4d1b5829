//! Random sequences of batches, applied to a store and to the model of the lifecycle rules.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use slamon_domain::{
    Attempt, Command, End, Polled, Replies, Reply, State, StateName, Sweep, Task, Transition, WaitingKind,
};
use tokio::runtime::Handle;
use uuid::Uuid;

use crate::driver::Driver;
use crate::fixture::Fixture;
use slamon_domain::testing::commands::json;
use slamon_domain::testing::model::{FLEET, Model, before_the_fleet};
use slamon_domain::testing::sequences::{Batch, sequences};

const CASES: u32 = 64;

/// Nobody has been silent for so long.
const LAST: Sweep = Sweep {
    limit: 1_000,
    lost_after: Some(YEAR),
    forget_after: None,
    delete_after: None,
    heartbeats: Vec::new(),
};

const YEAR: Duration = Duration::from_secs(365 * 86_400);

pub(crate) async fn any_sequence_of_batches_goes_as_in_the_model(fixture: &impl Fixture) {
    let store = fixture.store();
    let runtime = Handle::current();
    let run = move || {
        let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) };
        let check = |batches| runtime.block_on(goes_as_in_the_model(&store, batches));
        TestRunner::new(config).run(&sequences(14, 14), check).unwrap_or_else(|failure| panic!("{failure}"));
    };
    tokio::task::spawn_blocking(run).await.unwrap();
}

async fn goes_as_in_the_model(store: &Driver, batches: Vec<Batch>) -> Result<(), TestCaseError> {
    store.drop_tables().await.unwrap();
    store.create_tables().await.unwrap();
    let (mut model, mut names) = (Model::default(), Names::default());
    // The last sweep has no more to do than to save what a store may save later.
    let last = batches.last().map(|(now, _)| (*now, vec![Command::Sweep(LAST)]));
    for (now, batch) in batches.into_iter().chain(last) {
        let before = model.clone();
        let expected = model.apply(&batch, now);
        let applied = store.applied(now, batch.iter().map(|command| names.to_store(command)).collect()).await;
        names.learn(&expected.polls, &applied.replies.polls);
        let (replies, expected) = (names.replies(applied.replies), names.replies(expected));
        prop_assert_eq!(nameless(&replies), nameless(&expected));
        let ended: BTreeSet<_> = applied.ended.iter().copied().collect();
        prop_assert_eq!(applied.ended.len(), ended.len());
        // One that was deleted by the batch that ended it may be named, too.
        prop_assert!(ended.is_superset(&model.newly_ended(&before)));
        followed(&applied.transitions, &before, &model)?;
        let waiting = |kinds: Vec<WaitingKind>| {
            let mut kinds: Vec<String> = kinds.iter().map(|kind| format!("{kind:?}")).collect();
            kinds.sort_unstable();
            kinds
        };
        let kinds = applied.waiting.into_iter().map(|waiting| waiting.kind).collect();
        prop_assert_eq!(waiting(kinds), waiting(newly_waiting(&before, &model)));
    }
    compare(store, &model, &names).await
}

/// Checks that each change follows the one before, and that they lead from the states before a batch to those
/// after it.
fn followed(changes: &[Transition], before: &Model, after: &Model) -> Result<(), TestCaseError> {
    let states = |model: &Model| -> BTreeMap<Uuid, StateName> {
        model.tasks.iter().map(|(id, task)| (*id, StateName::from(&task.state))).collect()
    };
    let mut followed = states(before);
    for change in changes {
        prop_assert_eq!(followed.insert(change.task_id, change.to), change.from, "{:?}", change);
        prop_assert_eq!(change.to.is_end(), change.lived_for.is_some(), "{:?}", change);
    }
    for (id, state) in states(after) {
        prop_assert_eq!(followed.get(&id), Some(&state), "{}", id);
    }
    Ok(())
}

async fn compare(store: &Driver, model: &Model, names: &Names) -> Result<(), TestCaseError> {
    for (id, task) in &model.tasks {
        let stored = store.task(*id).await.unwrap().map(|task| names.task(task));
        prop_assert_eq!(nameless(&stored.as_ref()), nameless(&Some(task)));
        let past = store.attempts(*id).await.unwrap().into_iter().map(|(mut ended, late)| {
            ended.attempt = names.attempt(ended.attempt);
            (ended, late)
        });
        let expected = model.past.get(id).cloned().unwrap_or_default();
        prop_assert_eq!(nameless(&past.collect::<Vec<_>>()), nameless(&expected));
    }
    let overview = store.everything().await;
    let pending = model.arrivals.iter().rev().filter(|id| model.tasks[id].state == State::Pending);
    let waiting = overview.waiting.items.iter().map(|task| &task.task_id);
    prop_assert_eq!(waiting.collect::<Vec<_>>(), pending.collect::<Vec<_>>());
    let agents = overview.agents.items.into_iter().map(|agent| (agent.id, (agent.name, agent.last_seen)));
    prop_assert_eq!(&agents.collect::<BTreeMap<_, _>>(), &model.agents);
    Ok(())
}

/// Everything but what agents are called. A store keeps one name an agent, the model that of each poll; here
/// agents say something else each time, and claim before they have said anything.
fn nameless(shown: &impl std::fmt::Debug) -> String {
    let mut text = format!("{shown:?}");
    for name in ["agent 0", "agent 1", "agent 2"] {
        text = text.replace(name, "somebody");
    }
    let nobody =
        [("agent_name: \"\"", "agent_name: \"somebody\""), ("gent \\\"\\\" (", "gent \\\"somebody\\\" (")];
    for (none, somebody) in nobody {
        text = text.replace(none, somebody);
    }
    text
}

/// The tasks that wait now and did not before, as whoever can take them is told.
fn newly_waiting(before: &Model, after: &Model) -> Vec<WaitingKind> {
    let waits = |task: &Task| task.state == State::Pending;
    let new = |(id, task): &(&Uuid, &Task)| waits(task) && !before.tasks.get(*id).is_some_and(waits);
    after.tasks.iter().filter(new).map(|(_, task)| WaitingKind::of(&task.posted)).collect()
}

/// A store makes aliases up, the model numbers them.
#[derive(Default)]
struct Names {
    to_store: BTreeMap<Uuid, Uuid>,
    to_model: BTreeMap<Uuid, Uuid>,
}

impl Names {
    fn learn(&mut self, expected: &[Reply<Polled>], polls: &[Reply<Polled>]) {
        for (expected, polled) in expected.iter().flatten().zip(polls.iter().flatten()) {
            for (expected, delivery) in expected.tasks.iter().zip(&polled.tasks) {
                self.to_store.insert(expected.alias, delivery.alias);
                self.to_model.insert(delivery.alias, expected.alias);
            }
        }
    }

    fn to_store(&self, command: &Command) -> Command {
        let mut command = command.clone();
        let name = |alias: &mut Uuid| *alias = self.to_store.get(alias).copied().unwrap_or(*alias);
        match &mut command {
            Command::Report(result) => name(&mut result.task_id),
            Command::Release { cancelled, .. } => cancelled.iter_mut().for_each(name),
            Command::Poll { running: Some(running), .. } => running.aliases.iter_mut().for_each(name),
            _ => {}
        }
        command
    }

    fn alias(&self, alias: Uuid) -> Uuid {
        self.to_model.get(&alias).copied().unwrap_or(alias)
    }

    fn attempt(&self, attempt: Attempt) -> Attempt {
        Attempt { alias: self.alias(attempt.alias), ..attempt }
    }

    /// The model knows nothing of the agents that might have taken a task.
    fn task(&self, mut task: Task) -> Task {
        match &mut task.state {
            State::Claimed(attempt) => *attempt = self.attempt(attempt.clone()),
            State::Ended { last, end, .. } => {
                *last = last.take().map(|attempt| self.attempt(attempt));
                if let End::Expired(words) = end
                    && let Some(before) = before_the_fleet(words.as_str())
                {
                    *words = json(format!(r#"{before}{FLEET}""#));
                }
            }
            State::Delayed { .. } | State::Pending => {}
        }
        task
    }

    fn replies(&self, mut replies: Replies) -> Replies {
        for polled in replies.polls.iter_mut().flatten() {
            for delivery in &mut polled.tasks {
                delivery.alias = self.alias(delivery.alias);
            }
            for alias in &mut polled.cancelled {
                *alias = self.alias(*alias);
            }
            polled.cancelled.sort_unstable();
        }
        for task in replies.cancels.iter_mut().flatten().flatten().flatten() {
            **task = self.task((**task).clone());
        }
        // Whether a sweep already sees what comes after it in its batch is the store's to say.
        for swept in replies.sweeps.iter_mut().flatten() {
            swept.next_due = None;
        }
        replies
    }
}
