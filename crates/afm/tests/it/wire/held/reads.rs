//! Tests `GET /task/{id}?wait=`, which waits for the end of a task.

use super::*;

#[test]
fn a_read_is_held_until_the_task_ends() {
    let app = TestApp::start();
    for n in 1..=4 {
        app.post_task(Body::task(n).with("task_ttl", if n == 4 { "30" } else { "600" }));
    }
    assert_eq!(app.poll(Body::poll(9).with("max_tasks", "2")), [1, 2].map(id));
    let mut reads: Vec<Connection> =
        (1..=4).map(|n| app.wait_for(&format!("{}?wait=300", path(n)))).collect();
    app.post("/tasks/response", Body::result(1)).is_empty();
    assert_eq!(at_once(&mut reads[0]).json()["task_state"], "completed");
    app.post("/tasks/response", Body::failure(2, "\"no\"")).is_empty();
    assert_eq!(at_once(&mut reads[1]).json()["task_error"], "no");
    let cancelled = app.delete(&path(3));
    at_once(&mut reads[2]).is_json(&cancelled.body);
    app.clock.advance(Duration::from_secs(30));
    assert_eq!(app.sweep(&mut app.sweeper(DUE)).settled, 1);
    assert_eq!(at_once(&mut reads[3]).json()["task_state"], "expired");
}

#[test]
fn a_read_is_held_over_all_attempts() {
    let app = TestApp::start();
    app.post_task(Body::task(1).with("task_max_attempts", "2").with("task_retry_errors", "true"));
    app.poll(Body::poll(9));
    let mut read = app.wait_for(&format!("{}?wait=300", path(1)));
    app.post("/tasks/response", Body::failure(1, "\"no\"")).is_empty();
    let alias = app.poll(Body::poll(9)).remove(0);
    app.post("/tasks/response", Body::result(0).with("task_id", format!("\"{alias}\""))).is_empty();
    assert_eq!(at_once(&mut read).json()["task_attempt"], 2);
}

#[test]
fn after_its_time_a_read_is_answered_with_the_state_as_it_is() {
    let app = TestApp::start();
    app.post_task(Body::task(1));
    let start = Instant::now();
    let task = app.get(&format!("{}?x=1&wait=0.3", path(1))).json();
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_eq!((&task["task_state"], &task["task_waiting"]["code"]), (&"pending".into(), &"no_agent".into()));
    assert_eq!(task.get("task_completed").or(task.get("task_failed")), None);
}

#[test]
fn a_plain_read_reads_once() {
    let app = TestApp::start();
    app.post_task(Body::task(1));
    app.task(1);
    assert_eq!(app.gate.reads(), 1);
}
