//! Tests `task_waiting`: the reason why a task is waiting.

use std::time::Duration;

use serde_json::json;

use crate::test_app::{Body, TestApp};

#[track_caller]
fn waits(app: &TestApp, n: u64, code: &str, reason: &str) {
    assert_eq!(app.task(n)["task_waiting"], json!({"code": code, "reason": reason}));
}

#[test]
fn no_agent_has_this_type() {
    let app = TestApp::start();
    app.poll(Body::poll(9));
    app.post_task(Body::task(1).with("task_type", "\"ping\""));
    waits(&app, 1, "no_agent", "no agent offers ping");
    app.post_task(Body::task(2).with("task_type", "\"\""));
    waits(&app, 2, "no_agent", "no agent offers the empty task type");
}

#[test]
fn agents_have_it_in_other_versions() {
    let app = TestApp::start();
    app.post_task(Body::task(1).with("task_version", "2"));
    app.poll(Body::poll(9));
    waits(&app, 1, "other_versions", "no agent offers wait version 2, only version 1");
    app.poll(Body::poll(8).with("agent_capabilities", r#"{"wait":{"version":-7}}"#));
    waits(&app, 1, "other_versions", "no agent offers wait version 2, only version -7, 1");
}

#[test]
fn the_filter_matches_nobody() {
    let app = TestApp::start();
    app.post_task(Body::task(1).with("agent_filter", r#"{"country":"FI"}"#));
    app.poll(Body::poll(8));
    app.poll(Body::poll(9).with("agent_location", r#"{"country":"SE","region":"AB"}"#));
    waits(&app, 1, "filter", "none of 2 agents offering wait version 1 matches its agent_filter");
}

#[test]
fn all_agents_are_lost_or_busy() {
    let app = TestApp::start();
    app.poll(Body::poll(8));
    app.poll(Body::poll(9));
    app.post_task(Body::task(1));
    app.clock.advance(Duration::from_micros(300_000_001));
    waits(&app, 1, "lost", "all agents offering wait version 1 are lost: 2 agents");
    app.poll(Body::poll(8).with("max_tasks", "0"));
    waits(&app, 1, "busy", "all agents offering wait version 1 are busy: 1 agent");
}

#[test]
fn others_come_first() {
    let app = TestApp::start();
    app.poll(Body::poll(9));
    app.post_task(Body::task(1));
    waits(&app, 1, "next", "next in line for 1 agent offering wait version 1");
    app.post_task(Body::task(2).with("task_priority", "-1"));
    waits(&app, 2, "behind", "behind 1 task of wait version 1");
    app.post_task(Body::task(3).with("task_priority", "1"));
    waits(&app, 1, "behind", "behind 1 task of wait version 1");
    waits(&app, 2, "behind", "behind 2 tasks of wait version 1");
}

#[test]
fn only_what_waits_has_a_reason() {
    let app = TestApp::start();
    app.post_task(Body::task(1));
    app.poll(Body::poll(9));
    assert_eq!(app.task(1).get("task_waiting"), None);
    app.post("/tasks/response", Body::result(1)).is_empty();
    assert_eq!(app.task(1).get("task_waiting"), None);
}

#[test]
fn between_two_attempts() {
    let app = TestApp::start();
    let task = Body::task(1).with("task_max_attempts", "3").with("task_retry_errors", "true");
    app.post_task(task.with("task_retry_delay", "60"));
    app.poll(Body::poll(9));
    app.post("/tasks/response", Body::failure(1, "\"no\"")).is_empty();
    let task = app.task(1);
    assert_eq!((&task["task_state"], &task["task_attempt"]), (&json!("delayed"), &json!(1)));
    assert_eq!(task["task_waiting"]["code"], "delayed");
    let reason = task["task_waiting"]["reason"].as_str().expect("a sentence");
    assert!(
        reason.starts_with("attempt 1 of 3 has ended, the next one may start at 2026-11-22 19:2"),
        "{reason}"
    );
    assert_eq!(task.get("task_failed"), None);
}
