//! What only PostgreSQL has.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod adoption;
mod agreement;
mod alone;
mod claiming;
mod cluster;
mod connections;
mod cursors;
mod endings;
mod listening;
mod locks;
mod migration;
mod pooler;
mod reading;
mod schema;
mod sharing;
mod silence;
mod statements;
mod statistics;
mod sweeping;
mod tls;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use slamon_domain::{Command, Delivery};
use slamon_protocol::{Capability, PollRequest, PostTask, ResultPost, Terms};
use slamon_store::{PostgresStore, Store, StoreError};
use uuid::Uuid;

use slamon_domain::testing::outcome::{Outcome, in_order};

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

pub(crate) fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

pub(crate) fn submit(n: u128, task_type: &str) -> Command {
    submit_under(n, task_type, Terms::default())
}

pub(crate) fn submit_under(n: u128, task_type: &str, terms: Terms) -> Command {
    Command::Submit(PostTask {
        task_id: id(n),
        test_id: id(0),
        task_type: task_type.to_owned(),
        task_version: 1,
        task_data: None,
        terms,
        posted_by: None,
    })
}

pub(crate) fn poll(agent: u128, task_types: &[&str], max_tasks: u32) -> Command {
    let capability = |task_type: &&str| Capability { task_type: (*task_type).to_owned(), version: 1 };
    Command::from(PollRequest {
        agent_id: id(agent),
        agent_name: format!("agent {agent}"),
        agent_capabilities: task_types.iter().map(capability).collect(),
        max_tasks,
        agent_location: None,
        max_wait: Duration::ZERO,
        agent_running: None,
    })
}

pub(crate) fn report(n: u128) -> Command {
    report_under(id(n), n)
}

pub(crate) fn report_under(alias: Uuid, n: u128) -> Command {
    let body = format!(r#"{{"protocol": 1, "task_id": "{alias}", "task_data": {{"n": {n}}}}}"#);
    Command::Report(ResultPost::parse(&body).unwrap())
}

/// Applies a batch, and saves what is given back of when agents were seen.
pub(crate) async fn try_apply(
    store: &PostgresStore,
    batch: Vec<Command>,
    second: i64,
) -> Result<Vec<Outcome>, StoreError> {
    let batch: Arc<[Command]> = batch.into();
    let applied = store.apply(Arc::clone(&batch), at(second)).await?;
    if !applied.heartbeats.is_empty() {
        // A store that is being closed saves no more.
        let _ = store.apply(Arc::new([Command::Seen(applied.heartbeats)]), at(second)).await;
    }
    Ok(in_order(&batch, applied.replies))
}

/// Applies a batch; what meets a locked row is given again until it does not.
pub(crate) async fn apply(store: &PostgresStore, batch: Vec<Command>) -> Vec<Outcome> {
    let mut outcomes = try_apply(store, batch.clone(), 0).await.unwrap();
    for _ in 0..1_000 {
        let is_locked = |place: &usize| outcomes[*place] == Outcome::Locked;
        let locked: Vec<usize> = (0..batch.len()).filter(is_locked).collect();
        if locked.is_empty() {
            return outcomes;
        }
        let again = locked.iter().map(|place| batch[*place].clone()).collect();
        for (place, outcome) in locked.into_iter().zip(try_apply(store, again, 0).await.unwrap()) {
            outcomes[place] = outcome;
        }
        tokio::task::yield_now().await;
    }
    panic!("something stays locked: {outcomes:?}");
}

/// The ids of the tasks that a poll was given.
#[track_caller]
pub(crate) fn given(outcome: &Outcome) -> Vec<u128> {
    let Outcome::Poll(polled) = outcome else { panic!("{outcome:?}") };
    polled.tasks.iter().map(|Delivery { task_id, .. }| task_id.as_u128()).collect()
}
