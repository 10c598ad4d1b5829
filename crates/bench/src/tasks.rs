//! A task's life in requests, and whether it came back as it was posted.
//!
//! All that a task carries follows from its id, so that any connection can tell whether a task is as it was posted.

mod answers;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

pub(crate) use self::answers::{Claimed, Polled, Seen};
use crate::client::{Blank, Request};
use crate::ids::MARKER;
use crate::options::Shared;

/// The version that all tasks have.
const VERSION: i64 = 1;

/// The requests of a task's life, with blanks for its id.
#[derive(Debug, Clone)]
pub(crate) struct Tasks {
    task_type: String,
    post: Blanked,
    report: Blanked,
    get: Blanked,
    data: Text,
    result: Text,
}

impl Tasks {
    /// Tasks of this type.
    pub(crate) fn new(shared: &Shared, task_type: &str) -> Self {
        let data = json!({"url": "http://127.0.0.1/", "id": MARKER});
        let result = json!({"status": 200, "id": MARKER});
        let post = json!({
            "task_id": MARKER, "test_id": Uuid::new_v4(),
            "task_type": task_type, "task_version": VERSION, "task_data": data,
        });
        let report = json!({"protocol": 1, "task_id": MARKER, "task_data": result});
        let post_to =
            |path, body: String| Blanked::new(Request::post(shared.address, shared.close, path, &body));
        Self {
            task_type: task_type.to_owned(),
            post: post_to("/task", post.to_string()),
            report: post_to("/tasks/response", report.to_string()),
            get: Blanked::new(Request::get(shared.address, shared.close, &format!("/task/{MARKER}"))),
            data: Text::new(data.to_string()),
            result: Text::new(result.to_string()),
        }
    }

    /// Posts a task.
    pub(crate) fn post(&mut self, task: Uuid) -> &Request {
        self.post.with(task)
    }

    /// Reports its result.
    pub(crate) fn report(&mut self, task: Uuid) -> &Request {
        self.report.with(task)
    }

    /// Asks for it.
    pub(crate) fn get(&mut self, task: Uuid) -> &Request {
        self.get.with(task)
    }

    /// Whether a task that was handed out is one for our agent.
    pub(crate) fn is_for_us(&self, claimed: &Claimed<'_>) -> bool {
        claimed.task_type == self.task_type && claimed.task_version == VERSION
    }

    /// Whether a task that was handed out is as it was posted.
    pub(crate) fn is_as_posted(&mut self, claimed: &Claimed<'_>) -> bool {
        self.is_for_us(claimed) && self.data.is(claimed.task_id, claimed.task_data)
    }

    /// Whether a task that was asked for is as it was posted and reported.
    pub(crate) fn is_as_reported(&mut self, task: Uuid, seen: &Seen<'_>) -> bool {
        seen.task_id == task
            && seen.task_type == self.task_type
            && seen.task_version == VERSION
            && seen.task_completed.is_some()
            && seen.task_error.is_none()
            && seen.task_data.is_some_and(|data| self.data.is(task, data))
            && seen.task_result.is_some_and(|result| self.result.is(task, result))
    }
}

/// A request with a task's id in it.
#[derive(Debug, Clone)]
struct Blanked {
    request: Request,
    id: Blank,
}

impl Blanked {
    fn new(request: Request) -> Self {
        let id = request.blank(MARKER);
        Self { request, id }
    }

    fn with(&mut self, task: Uuid) -> &Request {
        self.request.fill(&self.id, task.hyphenated().encode_lower(&mut [0; Hyphenated::LENGTH]));
        &self.request
    }
}

/// JSON with a task's id in it.
#[derive(Debug, Clone)]
struct Text {
    bytes: Vec<u8>,
    id: Blank,
}

impl Text {
    fn new(text: String) -> Self {
        let id = Blank::new(text.as_bytes(), MARKER);
        Self { bytes: text.into_bytes(), id }
    }

    /// Whether `json` says the same. slamon-afm 1.1.0 writes it in a form of its own.
    fn is(&mut self, task: Uuid, json: &RawValue) -> bool {
        self.id.fill(&mut self.bytes, task.hyphenated().encode_lower(&mut [0; Hyphenated::LENGTH]));
        let parsed = |bytes| serde_json::from_slice::<Value>(bytes).ok();
        json.get().as_bytes() == self.bytes
            || parsed(json.get().as_bytes()).is_some_and(|value| Some(value) == parsed(&self.bytes))
    }
}

/// The body of a poll, as the Python agent sends it.
pub(crate) fn poll_body(agent_id: &str, agent_name: &str, task_type: &str, max_tasks: usize) -> Value {
    json!({
        "protocol": 1,
        "agent_id": agent_id,
        "agent_name": agent_name,
        "agent_time": "2026-11-22T19:23:01.000581+0200",
        "agent_capabilities": {task_type: {"version": VERSION}, "wait": {"version": 1}},
        "max_tasks": max_tasks,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks() -> Tasks {
        let shared = crate::options::parse::<crate::life::Life>(&["127.0.0.1:80"]).unwrap();
        Tasks::new(crate::load::Load::shared(&shared), "life")
    }

    fn claim(task: &str) -> bool {
        let body = format!(r#"{{"return_time": "", "tasks": [{task}]}}"#);
        let claimed = Polled::parse(body.as_bytes()).unwrap();
        tasks().is_as_posted(&claimed.tasks[0])
    }

    #[test]
    fn a_task_that_was_handed_out_is_compared_with_what_was_posted() {
        let id = "0e8c5a37-c3f6-4dd5-a2ab-2eb6e33cd5b2";
        let task = format!(
            r#"{{"task_id": "{id}", "task_type": "life", "task_version": 1, "task_data": {{"id": "{id}", "url": "http://127.0.0.1/"}}}}"#
        );
        assert!(claim(&task));
        assert!(claim(&task.replace("{\"id\": \"0e", "{ \"id\" :\"0e")), "the same in other words");
        for (from, to) in [
            ("\"life\"", "\"live\""),
            ("\"task_version\": 1", "\"task_version\": 2"),
            ("http", "https"),
            ("{\"id\": \"0e", "{\"id\": \"1e"),
            ("\"url\"", "\"more\": 1, \"url\""),
        ] {
            assert!(!claim(&task.replace(from, to)), "{from} {to}");
        }
    }

    #[test]
    fn a_task_that_was_asked_for_is_compared_with_what_was_reported() {
        let id: Uuid = "0e8c5a37-c3f6-4dd5-a2ab-2eb6e33cd5b2".parse().unwrap();
        let whole = format!(
            r#"{{"task_id": "{id}", "test_id": "{id}", "task_type": "life", "task_version": 1,
                "task_data": {{"url": "http://127.0.0.1/", "id": "{id}"}}, "task_completed": "2026",
                "task_result": {{"status": 200, "id": "{id}"}}}}"#
        );
        let as_reported = |text: &str| {
            let seen = Seen::parse(text.as_bytes()).unwrap();
            tasks().is_as_reported(id, &seen)
        };
        assert!(as_reported(&whole));
        for (from, to) in [
            ("\"status\": 200", "\"status\": 200.0"),
            ("\"2026\"", "null"),
            ("\"task_completed\"", "\"task_error\": \"no\", \"task_completed\""),
            ("\"task_data\"", "\"data\""),
            ("\"task_result\"", "\"result\""),
        ] {
            assert_ne!(whole.replace(from, to), whole);
            assert!(!as_reported(&whole.replace(from, to)), "{from} {to}");
        }
    }
}
