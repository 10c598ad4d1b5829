//! Tests tasks in answers that their clients never got.

use std::time::Duration;

use crate::test_app::{Body, Setup, TestApp, eventually, id};

/// Starts an AFM with a task that is larger than what the kernel keeps for a client that reads nothing.
fn with_a_large_task(write: Option<Duration>) -> TestApp {
    let mut setup = Setup::default();
    setup.settings.max_content_length = 32 * 1024 * 1024;
    setup.limits.write = write.unwrap_or(setup.limits.write);
    let app = setup.start();
    let text = format!("{{\"x\":\"{}\"}}", "x".repeat(24 * 1024 * 1024));
    app.post_task(Body::task(1).with("task_data", text));
    app
}

/// Asserts that the next agent gets the task, and that the first hand-out counts as no attempt.
#[track_caller]
fn is_handed_out_again(app: &TestApp) {
    let mut answer = None;
    eventually("it is handed out again", || {
        let polled = app.post("/tasks", Body::poll(9)).json();
        let comes = polled["tasks"].as_array().is_some_and(|tasks| !tasks.is_empty());
        answer = comes.then_some(polled);
        comes
    });
    let task = &answer.expect("it came")["tasks"][0];
    assert_eq!((&task["task_id"], &task["task_attempt"]), (&id(1).into(), &1.into()));
}

#[test]
fn a_client_that_resets_the_connection_before_it_has_read_the_answer_gets_nothing() {
    let app = with_a_large_task(None);
    let mut connection = app.connect();
    connection.post("/tasks", &Body::poll(8).to_string());
    assert!(!connection.is_silent_for(Duration::from_secs(60)), "the answer begins");
    connection.reset();
    is_handed_out_again(&app);
}

#[test]
fn a_client_that_does_not_read_the_answer_gets_nothing() {
    let app = with_a_large_task(Some(Duration::from_millis(300)));
    let mut connection = app.connect();
    connection.post("/tasks", &Body::poll(8).to_string());
    is_handed_out_again(&app);
}

#[test]
fn a_client_that_has_gone_before_it_is_answered_gets_nothing() {
    for resets in [false, true] {
        let (app, gate) = Setup::default().start_gated();
        app.post_task(Body::task(1));
        gate.close();
        let mut connection = app.connect();
        connection.post("/tasks", &Body::poll(8).to_string());
        gate.wait_until_reached();
        if resets {
            connection.reset();
            app.running.wait_for(0);
        } else {
            // The client may only have stopped sending; whether it acknowledges its answer tells.
            drop(connection);
        }
        gate.open();
        is_handed_out_again(&app);
    }
}

#[test]
fn a_client_that_only_sends_no_more_keeps_what_it_got() {
    let (app, gate) = Setup::default().start_gated();
    app.post_task(Body::task(1));
    gate.close();
    let mut connection = app.connect();
    connection.post("/tasks", &Body::poll(8).to_string());
    connection.finish_writing();
    gate.wait_until_reached();
    gate.open();
    assert_eq!(connection.answer().json()["tasks"][0]["task_id"], id(1));
    connection.wait_until_closed();
    // This is longer than a reset takes to come.
    assert!(app.poll(Body::poll(9).with("max_wait", "2")).is_empty());
    app.post("/tasks/response", Body::result(1)).is_empty();
}

#[test]
fn a_client_that_resets_the_connection_once_it_has_the_answer_keeps_it() {
    let app = TestApp::start();
    app.post_task(Body::task(1));
    let mut connection = app.connect();
    connection.post("/tasks", &Body::poll(8).to_string());
    assert_eq!(connection.answer().json()["tasks"][0]["task_id"], id(1));
    // HAProxy ends connections to servers in this way.
    connection.reset();
    assert!(app.poll(Body::poll(9).with("max_wait", "2")).is_empty());
}
