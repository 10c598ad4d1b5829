//! Tests `/dashboard/status`: what the page of the original asked for.

use std::time::Duration;

use serde_json::{Value, json};

use crate::test_app::{Body, TestApp, id};

#[test]
fn nothing_yet() {
    TestApp::start()
        .get("/dashboard/status")
        .is_json(r#"{"tasks":[],"agents":[],"limit":100,"tasks_total":0,"agents_total":0}"#);
}

#[test]
fn tasks_and_agents() {
    let app = TestApp::start();
    for n in 1..=4 {
        app.post_task(Body::task(n));
    }
    app.poll(Body::poll(9).with("max_tasks", "3"));
    app.clock.advance(Duration::from_secs(1));
    app.post("/tasks/response", Body::result(1).with("task_data", r#"{"n": 1.0}"#)).is_empty();
    app.post("/tasks/response", Body::failure(2, r#""<b>""#)).is_empty();
    let task = |n: u64, completed: Value, failed: Value, result: Value, error: Value| {
        json!({
            "task_id": id(n), "task_type": "wait", "task_version": 1, "test_id": id(0),
            "task_failed": failed, "task_completed": completed, "task_result": result, "task_error": error,
        })
    };
    let at = json!("2026-11-22 19:23:02.621614");
    let none = Value::Null;
    assert_eq!(
        app.get("/dashboard/status").json(),
        json!({
            "tasks": [task(4, none.clone(), none.clone(), none.clone(), none.clone())],
            "agents": [{
                "agent_id": id(9), "agent_name": "agent 9", "last_seen": at,
                "tasks": [
                    task(3, none.clone(), none.clone(), none.clone(), none.clone()),
                    task(2, none.clone(), at.clone(), none.clone(), json!("<b>")),
                    task(1, at.clone(), none.clone(), json!(r#"{"n": 1.0}"#), none),
                ],
                "tasks_truncated": false,
            }],
            "limit": 100, "tasks_total": 1, "agents_total": 1,
        })
    );
}

fn ids(list: &Value, key: &str) -> Vec<String> {
    let items = list.as_array().expect("a list").iter();
    items.map(|item| item[key].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn the_newest_hundred_of_each_list() {
    let app = TestApp::start();
    for n in 1..=101 {
        app.post_task(Body::task(n).with("task_version", (n % 2).to_string()));
    }
    for n in 1001..=1101 {
        app.clock.advance(Duration::from_secs(1));
        app.poll(Body::poll(n).with("max_tasks", "0"));
    }
    let status = app.get("/dashboard/status").json();
    assert_eq!(ids(&status["tasks"], "task_id"), (2..=101).rev().map(id).collect::<Vec<_>>());
    assert_eq!(ids(&status["agents"], "agent_id"), (1002..=1101).rev().map(id).collect::<Vec<_>>());
    assert_eq!(status["tasks_total"], 101);
    assert_eq!(status["agents_total"], 101);

    app.post_task(Body::task(102).with("task_version", "0"));
    let all = Body::poll(1001).with("max_tasks", "101");
    app.poll(all.clone().with("agent_capabilities", r#"{"wait":{"version":0}}"#));
    app.poll(all.with("agent_capabilities", r#"{"wait":{"version":1}}"#));
    let status = app.get("/dashboard/status").json();
    assert_eq!(status["tasks_total"], 0);
    let agent = &status["agents"][0];
    assert_eq!(agent["agent_id"], id(1001));
    assert_eq!(ids(&agent["tasks"], "task_id"), (3..=102).rev().map(id).collect::<Vec<_>>());
    assert_eq!(agent["tasks_truncated"], true);
}

#[test]
fn large_results_are_left_out_and_their_size_given() {
    let app = TestApp::start();
    let result = |bytes: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes - 8));
    for (n, bytes) in [(1, 4096), (2, 4097)] {
        app.post_task(Body::task(n));
        app.poll(Body::poll(9));
        app.post("/tasks/response", Body::result(n).with("task_data", result(bytes))).is_empty();
    }
    let status = app.get("/dashboard/status").json();
    let [large, small] = [0, 1].map(|i| &status["agents"][0]["tasks"][i]);
    assert_eq!(small["task_result"], result(4096));
    assert_eq!(small.get("task_result_bytes"), None);
    assert_eq!(large["task_result"], Value::Null);
    assert_eq!(large["task_result_bytes"], 4097);
    assert_eq!(large["task_completed"], "2026-11-22 19:23:01.621614");
}

#[test]
fn long_errors_are_cut_and_their_size_given() {
    let app = TestApp::start();
    for n in 1..=100 {
        app.post_task(Body::task(n));
    }
    app.poll(Body::poll(9));
    for n in 1..=100 {
        app.post("/tasks/response", Body::failure(n, &format!("\"{}\"", "x".repeat(900_000)))).is_empty();
    }
    let answer = app.get("/dashboard/status");
    assert!(answer.body.len() < 100_000, "{} bytes", answer.body.len());
    let task = &answer.json()["agents"][0]["tasks"][0];
    assert_eq!(task["task_error"], format!("{}…", "x".repeat(199)));
    assert_eq!(task["task_error_bytes"], 900_002);
    assert_eq!(app.get(&format!("/task/{}", id(1))).json()["task_error"], "x".repeat(900_000));
}
