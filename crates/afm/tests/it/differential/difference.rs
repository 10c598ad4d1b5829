//! What an allowed difference is.

/// A difference that is meant.
pub(super) struct Difference {
    /// Begins the row of COMPATIBILITY.md.
    pub(super) name: &'static str,
    /// Stands in that row.
    pub(super) why: &'static str,
    /// Every request that shows it.
    pub(super) seen: &'static [Seen],
}

/// A request that is answered differently.
pub(super) struct Seen {
    pub(super) on: On,
    /// Case and step.
    pub(super) request: &'static str,
    pub(super) original: &'static str,
    pub(super) ours: &'static str,
}

/// The answers that come most often.
pub(super) const NO_TASKS: &str = r#"200 {"return_time":"<ISO time>","tasks":[]}"#;
pub(super) const PENDING: &str = r#"200 {"task_data":{"time":5},"task_id":"<task>","task_type":"<type>","task_version":1,"test_id":"<test>"}"#;
pub(super) const CLAIM: &str = r#"200 {"return_time":"<ISO time>","tasks":[{"task_data":{"time":5},"task_id":"<task>","task_type":"<type>","task_version":1}]}"#;
pub(super) const CANCELLED: &str = r#"200 {"task_data":{"time":5},"task_error":"Task was cancelled while it waited for an agent","task_failed":"<time>","task_id":"<task>","task_type":"<type>","task_version":1,"test_id":"<test>"}"#;
pub(super) const DONE: &str = r#"200 {"task_completed":"<time>","task_data":{"time":5},"task_id":"<task>","task_result":{"status":200},"task_type":"<type>","task_version":1,"test_id":"<test>"}"#;

/// On which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum On {
    Both,
    Sqlite,
    Postgresql,
}

pub(super) const fn both(request: &'static str, original: &'static str, ours: &'static str) -> Seen {
    Seen { on: On::Both, request, original, ours }
}

pub(super) const fn sqlite(request: &'static str, original: &'static str, ours: &'static str) -> Seen {
    Seen { on: On::Sqlite, request, original, ours }
}

pub(super) const fn postgresql(request: &'static str, original: &'static str, ours: &'static str) -> Seen {
    Seen { on: On::Postgresql, request, original, ours }
}
