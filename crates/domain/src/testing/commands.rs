//! Tasks, polls and results, numbered so that tests stay readable.

use std::time::Duration;

use crate::command::{Command, Sweep};
use crate::task::{Attempt, End, State};
use jiff::{SignedDuration, Timestamp};
use slamon_protocol::{Capability, JsonText, PollRequest, PostTask, ResultPost, TaskOutcome, Terms};
use uuid::Uuid;

/// Seconds after an arbitrary moment with microseconds.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::constant(1_795_375_381, 621_614_000) + SignedDuration::from_secs(seconds)
}

pub fn json(text: impl Into<String>) -> JsonText {
    JsonText::from_stored(text.into())
}

const TASK: u128 = 0x7a5c << 112;

/// The id of task `n`.
pub fn task_id(n: u128) -> Uuid {
    Uuid::from_u128(TASK | n)
}

/// The number of a task: undoes [`task_id`].
pub fn number(id: Uuid) -> u128 {
    id.as_u128() ^ TASK
}

/// The id of agent `n`.
pub fn agent_id(n: u128) -> Uuid {
    Uuid::from_u128(0xa9e7 << 112 | n)
}

/// Task `n`, of type `wait`, version 1.
pub fn task(n: u128) -> PostTask {
    task_of("wait", 1, n)
}

pub fn task_of(task_type: &str, task_version: i64, n: u128) -> PostTask {
    PostTask {
        task_id: task_id(n),
        test_id: Uuid::from_u128(0x7e57 << 112),
        task_type: task_type.to_owned(),
        task_version,
        task_data: Some(json(format!(r#"{{"n":{n}}}"#))),
        terms: Terms::default(),
        posted_by: None,
    }
}

/// Task `n` under `terms`.
pub fn task_under(terms: Terms, n: u128) -> PostTask {
    PostTask { terms, ..task(n) }
}

/// Agent `n` asks for up to `most` tasks of type `wait`, version 1.
pub fn poll(n: u128, most: u32) -> PollRequest {
    poll_for(n, most, &[("wait", 1)])
}

pub fn poll_for(n: u128, most: u32, capabilities: &[(&str, i64)]) -> PollRequest {
    let capability =
        |&(task_type, version): &(&str, i64)| Capability { task_type: task_type.to_owned(), version };
    PollRequest {
        agent_id: agent_id(n),
        agent_name: format!("agent {n}"),
        agent_capabilities: capabilities.iter().map(capability).collect(),
        max_tasks: most,
        agent_location: None,
        max_wait: Duration::ZERO,
        agent_running: None,
    }
}

/// Task `n` ended with `result`, a JSON object.
pub fn completed(n: u128, result: &str) -> ResultPost {
    completed_as(task_id(n), result)
}

/// Task `n` ended with `error`, a JSON string.
pub fn failed(n: u128, error: &str) -> ResultPost {
    failed_as(task_id(n), error)
}

/// What was handed out as `alias` ended with `result`.
pub fn completed_as(alias: Uuid, result: &str) -> ResultPost {
    ResultPost { task_id: alias, agent_id: None, outcome: TaskOutcome::Completed(json(result)) }
}

/// What was handed out as `alias` ended with `error`.
pub fn failed_as(alias: Uuid, error: &str) -> ResultPost {
    ResultPost { task_id: alias, agent_id: None, outcome: TaskOutcome::Failed(json(error)) }
}

/// The first attempt at task `n`, agent `agent`'s since `at`.
pub fn attempt(n: u128, agent: u128, at: Timestamp) -> Attempt {
    let agent_name = format!("agent {agent}");
    Attempt { number: 1, alias: task_id(n), agent_id: agent_id(agent), agent_name, at, deadline: None }
}

/// Task `n` is agent `agent`'s since `at`, in its first attempt.
pub fn claimed(n: u128, agent: u128, at: Timestamp) -> State {
    State::Claimed(attempt(n, agent, at))
}

/// What was [`claimed`] ended at `at`.
pub fn ended(claimed: State, at: Timestamp, end: End) -> State {
    match claimed {
        State::Claimed(attempt) => State::Ended { at, last: Some(attempt), end },
        other => panic!("{other:?} is not claimed"),
    }
}

/// Sweeps what time has made due, and nothing else.
pub const DUE: Sweep =
    Sweep { limit: 100, lost_after: None, forget_after: None, delete_after: None, heartbeats: Vec::new() };

pub const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub const MICROSECOND: Duration = Duration::from_micros(1);

/// The claim of agent `n` on `tasks` is given up.
pub fn release(n: u128, claimed_at: Timestamp, tasks: &[u128]) -> Command {
    let task_ids = tasks.iter().map(|n| task_id(*n)).collect();
    Command::Release { agent_id: agent_id(n), claimed_at, task_ids, cancelled: Vec::new() }
}

pub fn submits(tasks: impl IntoIterator<Item = u128>) -> Vec<Command> {
    tasks.into_iter().map(|n| Command::Submit(task(n))).collect()
}
