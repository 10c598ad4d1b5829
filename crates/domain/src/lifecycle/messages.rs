//! What is said of a task that ended without a result: what happened, and in which phase.

use std::time::Duration;

use jiff::Timestamp;
use slamon_protocol::{JsonText, excerpt};

use crate::task::{Attempt, State, Task};

pub(super) fn expired(task: &Task, now: Timestamp, fleet: impl FnOnce() -> String) -> JsonText {
    let ttl = seconds(task.posted.terms.ttl.unwrap_or_default());
    let phase = match &task.state {
        State::Claimed(attempt) => {
            format!("{} had it for {} s, {}", agent(attempt), tenths(since(attempt.at, now)), number(task))
        }
        State::Delayed { until } => format!("it was delayed until {}", slamon_protocol::sql_time(*until)),
        State::Pending if task.attempts > 0 => {
            format!("{} had ended, and {}", number(task), fleet())
        }
        State::Pending | State::Ended { .. } => {
            format!("waited {} s, {}", tenths(since(task.created, now)), fleet())
        }
    };
    JsonText::string(&format!("Task TTL of {ttl} s expired: {phase}"))
}

pub(super) fn timed_out(task: &Task, attempt: &Attempt) -> JsonText {
    // Its own, or the one that tasks without have when they are claimed.
    let timeout = seconds(since(attempt.at, attempt.deadline.unwrap_or(attempt.at)));
    JsonText::string(&format!(
        "Task timeout of {timeout} s passed: {} sent no result, {}",
        agent(attempt),
        number(task)
    ))
}

pub(super) fn lost(task: &Task, attempt: &Attempt, silent_for: Duration) -> JsonText {
    let mut agent = agent(attempt);
    agent[..1].make_ascii_uppercase();
    let silent_for = silent_for.as_secs();
    JsonText::string(&format!("{agent} was lost: silent for {silent_for} s, {}", number(task)))
}

pub(super) fn abandoned(task: &Task, attempt: &Attempt) -> JsonText {
    let mut agent = agent(attempt);
    agent[..1].make_ascii_uppercase();
    let number = number(task);
    JsonText::string(&format!("{agent} has lost the task: its agent_running does not name it, {number}"))
}

pub(super) fn cancelled(task: &Task) -> JsonText {
    JsonText::string(&match &task.state {
        State::Claimed(attempt) => {
            format!("Task was cancelled while {} had it, {}", agent(attempt), number(task))
        }
        State::Delayed { .. } | State::Pending | State::Ended { .. } => {
            "Task was cancelled while it waited for an agent".to_owned()
        }
    })
}

fn agent(attempt: &Attempt) -> String {
    format!("agent \"{}\" ({})", excerpt(&attempt.agent_name), attempt.agent_id)
}

fn number(task: &Task) -> String {
    format!("attempt {} of {}", task.attempts, task.posted.terms.max_attempts)
}

fn since(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

/// `30`, `0.5`: as the client wrote it.
fn seconds(time: Duration) -> String {
    time.as_secs_f64().to_string()
}

fn tenths(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64())
}
