//! Members that ours adds to objects of the original, wherever those come.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// An addition that is meant. COMPATIBILITY.md has a row for each.
pub(super) struct Addition {
    /// Begins the row of COMPATIBILITY.md.
    pub(super) name: &'static str,
    /// Stands in that row.
    pub(super) why: &'static str,
    /// Whatever has this member has been added to.
    known_by: &'static str,
    /// All that may be added.
    members: &'static [&'static str],
    /// A request whose answer shows it.
    pub(super) seen: &'static str,
}

pub(super) const ADDITIONS: &[Addition] = &[
    Addition {
        name: "answers of `GET /task/{task_id}`",
        why: "the four fields that say that a task is finished mean what they did",
        known_by: "task_state",
        members: &[
            "task_state",
            "task_created",
            "task_claimed",
            "task_attempt",
            "agent_id",
            "agent_name",
            "task_waiting",
        ],
        seen: "a claim > get",
    },
    Addition {
        name: "answers of `POST /tasks`",
        why: "each task also has `task_attempt`",
        known_by: "task_attempt",
        members: &["task_attempt"],
        seen: "a claim > poll",
    },
];

/// What of an object is added.
pub(super) fn added(object: &BTreeMap<String, &RawValue>) -> &'static [&'static str] {
    let addition = ADDITIONS.iter().find(|addition| object.contains_key(addition.known_by));
    addition.map_or(&[], |addition| addition.members)
}

/// Whether an answer has the addition.
pub(super) fn shows(addition: &Addition, body: &[u8]) -> bool {
    String::from_utf8_lossy(body).contains(&format!("\"{}\":", addition.known_by))
}
