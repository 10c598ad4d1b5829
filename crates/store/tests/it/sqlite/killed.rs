//! The process is killed while it writes.

use std::collections::BTreeMap;

use slamon_domain::{Command, State};
use slamon_store::SqliteStore;

use super::process::{OtherProcess, database, say};
use crate::driver::{Driver, delivered, numbers};
use crate::fixture::{Fixture, SharedFixture, SqliteFile};
use slamon_domain::testing::commands::{at, attempt, completed, number, poll, submits};

const TASKS_PER_BATCH: u128 = 5;

#[tokio::test]
async fn what_was_acknowledged_outlives_a_kill() {
    if let Some(database) = database() {
        return write_until_killed(&database).await;
    }
    let fixture = SqliteFile::empty();
    fixture.ready().await.close().await;
    let mut acknowledged = BTreeMap::new();
    for lines in [1, 40, 333] {
        let test = "sqlite::killed::what_was_acknowledged_outlives_a_kill";
        let mut process = OtherProcess::start(r#"exec "$@""#, test, &fixture.uri());
        let mut hear = |process: &mut OtherProcess| {
            let said = process.hear()?;
            let (state, n) = said.split_once(' ').unwrap();
            acknowledged.insert(n.parse::<u128>().unwrap(), state.to_owned());
            Some(())
        };
        for _ in 0..lines {
            hear(&mut process).unwrap();
        }
        process.kill();
        // What it said before it died and nobody heard yet.
        while hear(&mut process).is_some() {}
        check(&fixture.second(), &acknowledged).await;
    }
}

async fn check(store: &Driver, acknowledged: &BTreeMap<u128, String>) {
    store.check().await.unwrap();
    for (n, said) in acknowledged {
        let state = store.state(*n).await;
        // The last batch may have been committed and never acknowledged: a task can be further than was said.
        let is_right = match said.as_str() {
            "submitted" => true,
            "claimed" => !matches!(state, State::Pending),
            _ => matches!(state, State::Ended { .. }),
        };
        assert!(is_right, "task {n} was {said}, is {state:?}");
    }
    // Batches are whole: as many tasks as a batch submits, and of each batch as many claimed as it claims.
    let everything = store.everything().await;
    let tasks =
        everything.agents.items.iter().flat_map(|agent| &agent.tasks).chain(&everything.waiting.items);
    let mut batches: BTreeMap<u128, u128> = BTreeMap::new();
    for task in tasks {
        *batches.entry(number(task.task_id) / 10).or_default() += 1;
    }
    assert!(batches.values().all(|tasks| *tasks == TASKS_PER_BATCH), "{batches:?}");
    for agent in everything.agents.items {
        for task in agent.tasks {
            let n = number(task.task_id);
            assert_eq!(store.stored(n).await.last_attempt(), Some(&attempt(n, 1, at(1))));
        }
    }
    store.close().await;
}

/// Posts, claims and finishes tasks, and says so after each batch.
async fn write_until_killed(database: &str) {
    let store = Driver::new(SqliteStore::new(database, false).unwrap());
    let known = store.everything().await;
    let first =
        known.waiting.total + known.agents.items.iter().map(|agent| agent.tasks.len() as u64).sum::<u64>();
    let mut claimed: Vec<u128> = Vec::new();
    for batch in u128::from(first) / TASKS_PER_BATCH.. {
        let posted = batch * 10..batch * 10 + TASKS_PER_BATCH;
        let mut commands = submits(posted.clone());
        commands.extend(claimed.iter().map(|n| Command::Report(completed(*n, "{}"))));
        commands.push(Command::from(poll(1, 2)));
        let outcomes = store.batch(at(1), commands).await;
        for n in posted {
            say(&format!("submitted {n}"));
        }
        for n in claimed {
            say(&format!("completed {n}"));
        }
        claimed = numbers(&outcomes.into_iter().last().map(delivered).unwrap());
        for n in &claimed {
            say(&format!("claimed {n}"));
        }
    }
}
