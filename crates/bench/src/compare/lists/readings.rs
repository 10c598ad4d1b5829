//! What is read of a store that was filled with tasks of all kinds.

use super::super::fill::varied::{OTHER_TYPE, RARE_TYPE, USUAL_TYPE, agent_id, posted, task_id, test_id};
use super::What;

/// One path.
#[derive(Debug)]
pub(super) struct Reading {
    /// How tables call it.
    pub(super) name: String,
    pub(super) what: What,
    pub(super) path: String,
    /// What every answer must have in it.
    pub(super) has: &'static str,
}

impl Reading {
    /// Whether a page ends because so many tasks were passed over that it need not be full.
    pub(super) fn finds_little(&self) -> bool {
        self.has == LIST
    }
}

/// In every list that is not empty.
const TASK: &str = "\"task_id\":";
/// In a list that may be: a page passes over some thousand tasks at most.
const LIST: &str = "\"next_cursor\":";

const STATES: [&str; 9] =
    ["delayed", "pending", "claimed", "completed", "failed", "lost", "timed_out", "expired", "cancelled"];

/// Every filter by itself, some together, and every page; the same for every size.
pub(super) fn readings(stored: u64) -> Vec<Reading> {
    let filters = filters(stored);
    let lists = [What::NewestFirst, What::OldestFirst].into_iter().flat_map(|what| {
        let order = if what == What::NewestFirst { "newest" } else { "oldest" };
        let list = move |(name, query, has): &(String, String, &'static str)| {
            let path = format!("/api/v1/tasks?{query}&order={order}");
            Reading { name: name.clone(), what, path, has }
        };
        filters.iter().map(list).collect::<Vec<_>>()
    });
    lists.chain(pages(stored)).collect()
}

/// The name, the query, and what every answer has.
fn filters(stored: u64) -> Vec<(String, String, &'static str)> {
    let middle = stored / 2;
    let (from, to) = (posted(middle), posted(middle + middle / 2));
    let mut all = vec![("all".to_owned(), String::new(), TASK)];
    // No index of SQLite's has what is completed, and what waits may be all that a page passes over.
    let has = |state| if state == "completed" { LIST } else { TASK };
    all.extend(STATES.map(|state| (format!("state={state}"), format!("state={state}"), has(state))));
    let others = [
        ("task_type, half of all", format!("task_type={USUAL_TYPE}"), TASK),
        ("task_type, a fortieth", format!("task_type={OTHER_TYPE}"), TASK),
        ("task_type, rare", format!("task_type={RARE_TYPE}"), LIST),
        ("task_type, unknown", "task_type=unknown".to_owned(), LIST),
        ("task_type, task_version", format!("task_type={USUAL_TYPE}&task_version=2"), TASK),
        ("task_type, state=failed", format!("task_type={USUAL_TYPE}&state=failed"), TASK),
        ("task_type, state=pending", format!("task_type={USUAL_TYPE}&state=pending"), TASK),
        ("test_id", format!("test_id={}", test_id(middle)), TASK),
        ("agent_id", format!("agent_id={}", agent_id(7)), TASK),
        ("task_id", format!("task_id={}", task_id(middle)), TASK),
        // Clocks may have been set: tasks of an hour are passed over first.
        ("from", format!("from={from}"), LIST),
        ("to", format!("to={to}"), LIST),
        ("from, to", format!("from={from}&to={to}"), LIST),
        ("q", "q=refused".to_owned(), TASK),
        ("q, in no error", "q=nowhere".to_owned(), LIST),
    ];
    all.extend(others.map(|(name, query, has)| (name.to_owned(), query, has)));
    all
}

fn pages(stored: u64) -> impl Iterator<Item = Reading> {
    let middle = stored / 2;
    let all = [
        ("/dashboard", String::new()),
        ("/dashboard/tasks", String::new()),
        ("/dashboard/tasks/", task_id(middle).to_string()),
        ("/dashboard/tests/", test_id(middle).to_string()),
        ("/dashboard/agents", String::new()),
        ("/dashboard/agents/", agent_id(7).to_string()),
        ("/dashboard/types", String::new()),
        ("/dashboard/types/", format!("{USUAL_TYPE}/1")),
        ("/dashboard/post", String::new()),
    ];
    all.into_iter().map(|(path, which)| Reading {
        name: if which.is_empty() { path.to_owned() } else { format!("{path}…") },
        what: What::Page,
        path: format!("{path}{which}"),
        has: "</html>",
    })
}
