//! Why a task is waiting.

use std::borrow::Cow;

use jiff::Timestamp;
use slamon_protocol::{excerpt, sql_time};

use crate::task::{State, Task};

/// The facts about agents and other tasks from which the reason is told why a task is waiting.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueueDiagnostics {
    /// Whether the task's type is paused, in its version or in all.
    pub paused: bool,
    /// The versions in which agents offer the task's type, other than the task's; the lowest ones, ascending.
    pub other_versions: Vec<i64>,
    /// How many agents offer the task's type and version; a thousand of them are looked at.
    pub capable: u64,
    /// How many of them the task's `agent_filter` matches.
    pub matching: u64,
    /// How many of these were seen lately.
    pub active: u64,
    /// How many of these are not paused.
    pub unpaused: u64,
    /// How many of these asked for at least one task when they polled last.
    pub free: u64,
    /// How many tasks of this type and version will be handed out before this one, counted up to a thousand.
    pub ahead: u64,
}

/// The reason why a task is waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingReason {
    /// A word for programs.
    pub code: &'static str,
    /// A sentence for people.
    pub sentence: String,
}

/// Tells why `task` is waiting; `None` when it is not.
#[must_use]
pub fn pending_reason(task: &Task, diagnostics: &QueueDiagnostics) -> Option<PendingReason> {
    let reason = |code, sentence| Some(PendingReason { code, sentence });
    match &task.state {
        State::Claimed(_) | State::Ended { .. } => None,
        State::Delayed { until } => reason("delayed", delayed(task, *until)),
        State::Pending => {
            let (code, sentence) = pending(task, diagnostics);
            reason(code, sentence)
        }
    }
}

/// Tells what kept a task that has expired from agents, as the end of a sentence.
pub fn kept_from_agents(task: &Task, diagnostics: &QueueDiagnostics) -> String {
    let kind = kind(task);
    match pending(task, diagnostics).0 {
        // Only agents that were seen since it was posted are active.
        "no_agent" | "lost" => format!("no agent offering {kind} polled in that time"),
        "other_versions" => {
            format!("no agent offering {kind} polled in that time, only {}", versions(diagnostics))
        }
        "filter" => format!("no agent offering {kind} matches its agent_filter"),
        "paused" => format!("{kind} was paused"),
        "agents_paused" => format!("all agents offering {kind} were paused"),
        "busy" => format!("all agents offering {kind} were busy"),
        "behind" => format!("behind {} of {kind}", tasks(diagnostics.ahead)),
        _ => format!("no agent offering {kind} came for it"),
    }
}

fn delayed(task: &Task, until: Timestamp) -> String {
    let until = sql_time(until);
    match task.attempts {
        0 => format!("delayed until {until} UTC"),
        n => {
            let of = task.posted.terms.max_attempts;
            format!("attempt {n} of {of} has ended, the next one may start at {until} UTC")
        }
    }
}

fn pending(task: &Task, diagnostics: &QueueDiagnostics) -> (&'static str, String) {
    let kind = kind(task);
    if diagnostics.paused {
        return ("paused", format!("{kind} is paused"));
    }
    if diagnostics.capable == 0 {
        return if diagnostics.other_versions.is_empty() {
            ("no_agent", format!("no agent offers {}", task_type(task)))
        } else {
            ("other_versions", format!("no agent offers {kind}, only {}", versions(diagnostics)))
        };
    }
    if diagnostics.matching == 0 {
        (
            "filter",
            format!("none of {} offering {kind} matches its agent_filter", agents(diagnostics.capable)),
        )
    } else if diagnostics.active == 0 {
        ("lost", format!("all agents offering {kind} are lost: {}", agents(diagnostics.matching)))
    } else if diagnostics.unpaused == 0 {
        ("agents_paused", format!("all agents offering {kind} are paused: {}", agents(diagnostics.active)))
    } else if diagnostics.free == 0 {
        ("busy", format!("all agents offering {kind} are busy: {}", agents(diagnostics.unpaused)))
    } else if diagnostics.ahead > 0 {
        ("behind", format!("behind {} of {kind}", tasks(diagnostics.ahead)))
    } else {
        ("next", format!("next in line for {} offering {kind}", agents(diagnostics.free)))
    }
}

fn task_type(task: &Task) -> Cow<'_, str> {
    match task.posted.task_type.as_str() {
        "" => "the empty task type".into(),
        name => excerpt(name),
    }
}

fn kind(task: &Task) -> String {
    format!("{} version {}", task_type(task), task.posted.task_version)
}

fn versions(diagnostics: &QueueDiagnostics) -> String {
    let list: Vec<String> = diagnostics.other_versions.iter().map(i64::to_string).collect();
    format!("version {}", list.join(", "))
}

fn agents(n: u64) -> String {
    match n {
        1 => "1 agent".to_owned(),
        AGENTS_COUNTED.. => format!("at least {n} agents"),
        _ => format!("{n} agents"),
    }
}

fn tasks(n: u64) -> String {
    match n {
        1 => "1 task".to_owned(),
        AHEAD_COUNTED.. => format!("at least {n} tasks"),
        _ => format!("{n} tasks"),
    }
}

/// The number up to which agents are counted.
const AGENTS_COUNTED: u64 = 1_000;

/// How far [`QueueDiagnostics::ahead`] is counted.
pub const AHEAD_COUNTED: u64 = 1_000;
