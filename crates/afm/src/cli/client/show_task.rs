//! A task for people.

use serde::Deserialize;
use serde_json::value::RawValue;
use slamon_client::Waiting;

use super::failure::{Ending, Failure};
use super::output::Output;
use super::pages;
use super::table::Table;
use super::terminal_text::{json, name, shown};
use super::words::moment;

/// A task as AFMs show it: in their management API, by protocol 1, or as the original one.
#[derive(Debug, Deserialize)]
pub(super) struct Shown {
    task_id: String,
    #[serde(default)]
    test_id: String,
    task_type: String,
    task_version: i64,
    task_state: Option<String>,
    task_end: Option<String>,
    task_created: Option<String>,
    task_available: Option<String>,
    task_expires: Option<String>,
    task_claimed: Option<String>,
    task_completed: Option<String>,
    task_failed: Option<String>,
    task_data: Option<Box<RawValue>>,
    task_result: Option<Box<RawValue>>,
    task_result_bytes: Option<u64>,
    task_error: Option<String>,
    task_waiting: Option<Waiting>,
    agent_id: Option<String>,
    agent_name: Option<String>,
    agent_filter: Option<Box<RawValue>>,
    task_ttl: Option<f64>,
    task_timeout: Option<f64>,
    task_max_attempts: Option<u32>,
    task_priority: Option<i64>,
    #[serde(default)]
    attempts: Vec<Attempt>,
}

#[derive(Debug, Deserialize)]
struct Attempt {
    attempt: u32,
    #[serde(alias = "code")]
    outcome: String,
    agent_name: String,
    claimed: String,
    ended: Option<String>,
    reason: Option<String>,
}

impl Shown {
    /// Reads the answer of an AFM.
    pub(super) fn read(answer: &RawValue) -> Result<Self, Failure> {
        pages::read(answer)
    }

    /// How the task ended, or its state.
    pub(super) fn end(&self) -> &str {
        match self.task_end.as_deref().or(self.task_state.as_deref()) {
            Some(end) => end,
            None if self.task_completed.is_some() => "completed",
            None if self.task_failed.is_some() => "failed",
            None => "pending",
        }
    }

    /// How the task ended; `None` while it goes on.
    pub(super) fn ending(&self) -> Option<Ending> {
        match self.end() {
            "completed" => Some(Ending::Done),
            "delayed" | "pending" | "claimed" => None,
            _ => Some(Ending::TaskFailed),
        }
    }

    /// Its result, error or why it waits, on one line.
    pub(super) fn came_of_it(&self) -> String {
        match (&self.task_result, &self.task_error, &self.task_waiting) {
            (Some(result), _, _) => json(result.get()),
            (_, Some(error), _) => shown(error),
            (_, _, Some(waiting)) => shown(&waiting.reason),
            _ => self.task_result_bytes.map_or_else(String::new, |bytes| format!("({bytes} bytes)")),
        }
    }

    /// Its row in a list.
    pub(super) fn row(&self) -> Vec<String> {
        vec![
            moment(self.task_created.as_deref()),
            shown(&self.task_id),
            format!("{} {}", name(&self.task_type), self.task_version),
            shown(self.end()),
            self.agent_name.as_deref().map_or_else(|| "-".to_owned(), name),
            self.came_of_it(),
        ]
    }

    fn terms(&self) -> String {
        let seconds = |what: &str, time: Option<f64>| time.map(|time| format!("{what} {time} s"));
        let terms = [
            seconds("ttl", self.task_ttl),
            seconds("timeout", self.task_timeout),
            self.task_max_attempts.filter(|most| *most > 1).map(|most| format!("{most} attempts")),
            self.task_priority.filter(|priority| *priority != 0).map(|n| format!("priority {n}")),
            self.agent_filter.as_ref().filter(|filter| filter.get() != "{}").map(|filter| json(filter.get())),
        ];
        terms.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// The columns of a list of tasks.
pub(super) fn list() -> Table {
    Table::new(&["POSTED (UTC)", "TASK", "TYPE", "STATE", "AGENT", "RESULT OR ERROR"])
}

/// Shows a task.
pub(super) fn show_task(out: &mut Output, answer: &RawValue, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return out.raw_json(answer);
    }
    let task = Shown::read(answer)?;
    let time = |time: &Option<String>| time.as_deref().map(|time| moment(Some(time)));
    let text = |text: String| Some(text).filter(|text| !text.is_empty());
    let state = match (task.task_state.as_deref(), task.end()) {
        (Some(state), end) if state != end => format!("{} ({})", shown(state), shown(end)),
        (_, end) => shown(end),
    };
    let agent = task
        .agent_id
        .as_deref()
        .map(|id| format!("{} {}", name(task.agent_name.as_deref().unwrap_or("")), shown(id)));
    for (what, value) in [
        ("Task", text(shown(&task.task_id))),
        ("Test", text(shown(&task.test_id))),
        ("Type", Some(format!("{} {}", name(&task.task_type), task.task_version))),
        ("State", Some(state)),
        ("Waits", task.task_waiting.as_ref().map(|waiting| shown(&waiting.reason))),
        ("Posted", time(&task.task_created)),
        ("Available", time(&task.task_available)),
        ("Expires", time(&task.task_expires)),
        ("Claimed", time(&task.task_claimed)),
        ("Completed", time(&task.task_completed)),
        ("Failed", time(&task.task_failed)),
        ("Agent", agent),
        ("Terms", text(task.terms())),
        ("Data", task.task_data.as_ref().map(|data| json(data.get()))),
        ("Result", task.task_result.as_ref().map(|result| json(result.get()))),
        ("Error", task.task_error.as_deref().map(shown)),
    ] {
        if let Some(value) = value {
            out.line(&format!("{what:<10} {value}"))?;
        }
    }
    if !task.attempts.is_empty() {
        let mut table =
            Table::new(&["ATTEMPT", "OUTCOME", "CLAIMED (UTC)", "ENDED (UTC)", "AGENT", "REASON"]);
        for attempt in &task.attempts {
            table.row(vec![
                attempt.attempt.to_string(),
                shown(&attempt.outcome),
                moment(Some(&attempt.claimed)),
                moment(attempt.ended.as_deref()),
                name(&attempt.agent_name),
                attempt.reason.as_deref().map_or_else(String::new, shown),
            ]);
        }
        out.line("")?;
        out.lines(table.lines(out.room()))?;
    }
    Ok(())
}
