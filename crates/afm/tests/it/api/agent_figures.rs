//! Tests what is known of agents beside what they say: their next polls, and how their attempts ended in the last hour.

use std::time::Duration;

use serde_json::{Value, json};

use crate::test_app::{Body, Place, Setup, TestApp, eventually, id};

fn poll(n: u64) -> Body {
    Body::poll(n).with("max_tasks", "1")
}

#[track_caller]
fn agent(app: &TestApp, n: u64) -> Value {
    app.get(&format!("/api/v1/agents/{}", id(n))).json()
}

#[track_caller]
fn last_hour(app: &TestApp, n: u64) -> Value {
    let of_one = agent(app, n)["last_hour"].clone();
    let listed = app.get(&format!("/api/v1/agents?q={}", id(n))).json()["agents"][0]["last_hour"].clone();
    assert_eq!(of_one, listed);
    of_one
}

fn hour(completed: u64, failed: u64, error_share: Option<f64>) -> Value {
    json!({ "completed": completed, "failed": failed, "error_share": error_share })
}

/// Has agent `n` execute a task, with a result or an error.
#[track_caller]
fn execute(app: &TestApp, n: u64, task: u64, succeeds: bool) {
    app.post_task(Body::task(task));
    assert_eq!(app.poll(poll(n)), [id(task)]);
    let result = if succeeds { Body::result(task) } else { Body::failure(task, "\"no\"") };
    app.post("/tasks/response", result).is_empty();
}

#[test]
fn the_share_of_errors_is_that_of_the_last_hour() {
    for place in [Place::Memory, Place::file(), Place::postgres()] {
        let app = Setup { place, ..Setup::default() }.start();
        app.poll(poll(9));
        assert_eq!(last_hour(&app, 9), hour(0, 0, None));
        for task in 1..=4 {
            execute(&app, 9, task, task != 2);
        }
        execute(&app, 8, 5, false);
        let expected = hour(3, 1, Some(0.25));
        assert_eq!(last_hour(&app, 9), expected, "before it is saved");
        app.save_outcomes();
        assert_eq!(last_hour(&app, 9), expected, "after it was saved");
        execute(&app, 9, 6, false);
        assert_eq!(last_hour(&app, 9), hour(3, 2, Some(0.4)), "some of it saved");
        assert_eq!(last_hour(&app, 8), hour(0, 1, Some(1.0)));
        app.clock.advance(Duration::from_secs(50 * 60));
        assert_eq!(last_hour(&app, 9), hour(3, 2, Some(0.4)));
        app.clock.advance(Duration::from_secs(10 * 60));
        assert_eq!(last_hour(&app, 9), hour(0, 0, None));
    }
}

#[test]
fn attempts_count_whatever_becomes_of_their_task() {
    let app = TestApp::start();
    let retried = |n| Body::task(n).with("task_max_attempts", "3").with("task_retry_errors", "true");
    app.post_task(retried(1));
    assert_eq!(app.poll(poll(9)), [id(1)]);
    app.post("/tasks/response", Body::failure(1, "\"no\"")).is_empty();
    assert_eq!(last_hour(&app, 9), hour(0, 1, Some(1.0)), "an error after which it is tried again");
    let again = app.poll(poll(9)).remove(0);
    app.post("/tasks/response", Body::result(1).with("task_id", format!("\"{again}\""))).is_empty();
    assert_eq!(last_hour(&app, 9), hour(1, 1, Some(0.5)));
    // An agent that does not name what it was given has abandoned it.
    app.post_task(Body::task(2));
    assert_eq!(app.poll(poll(9)), [id(2)]);
    app.clock.advance(Duration::from_secs(30));
    app.poll(poll(9).with("agent_running", "[]"));
    assert_eq!(last_hour(&app, 9), hour(1, 2, Some(2.0 / 3.0)));
    // What was cancelled is nobody's fault.
    app.post_task(Body::task(3));
    assert_eq!(app.poll(poll(9)), [id(3)]);
    app.post(&format!("/api/v1/tasks/{}/cancel", id(3)), "").json();
    assert_eq!(last_hour(&app, 9), hour(1, 2, Some(2.0 / 3.0)));
}

#[test]
fn a_poll_that_is_held_open_is_not_due() {
    let app = TestApp::start();
    let held = app.hold(&poll(9).with("max_wait", "300"));
    let of_agent = agent(&app, 9);
    assert_eq!((&of_agent["poll_held"], &of_agent["next_poll_due"]), (&json!(true), &Value::Null));
    app.clock.advance(Duration::from_secs(100));
    app.post_task(Body::task(1));
    let mut held = held;
    let return_time = held.answer().json()["return_time"].as_str().expect("a time").to_owned();
    eventually("it is not held any more", || agent(&app, 9)["poll_held"] == json!(false));
    assert_eq!(agent(&app, 9)["next_poll_due"], *return_time);
}

#[test]
fn the_next_poll_is_due_when_the_agent_was_told_to() {
    for place in [Place::Memory, Place::file(), Place::postgres()] {
        let app = Setup { place, ..Setup::default() }.start();
        app.post_task(Body::task(1));
        let polled = app.post("/tasks", poll(9)).json();
        let told = &polled["return_time"];
        assert_eq!(agent(&app, 9)["next_poll_due"], *told);
        // A result is a sign of life, and no poll.
        app.clock.advance(Duration::from_secs(20));
        app.post("/tasks/response", Body::result(1)).is_empty();
        let of_agent = agent(&app, 9);
        assert_eq!(of_agent["next_poll_due"], *told);
        assert_ne!(of_agent["last_seen"], agent(&app, 9)["next_poll_due"]);
        // The cache answers this one.
        app.refresh_cache();
        app.clock.advance(Duration::from_secs(20));
        let told = app.post("/tasks", poll(9)).json()["return_time"].clone();
        assert_eq!(agent(&app, 9)["next_poll_due"], told);
    }
}

#[test]
fn what_two_afms_have_seen_is_added_up() {
    let place = Place::postgres();
    let shared = Place::Shared(place.uri());
    let first = Setup { place, ..Setup::default() }.start();
    let second = Setup { place: shared, ..Setup::default() }.start();
    execute(&first, 9, 1, true);
    execute(&second, 9, 2, false);
    assert_eq!(last_hour(&first, 9), hour(1, 0, Some(0.0)), "the other one has not saved it");
    second.save_outcomes();
    assert_eq!(last_hour(&first, 9), hour(1, 1, Some(0.5)));
    first.save_outcomes();
    for app in [&first, &second] {
        assert_eq!(last_hour(app, 9), hour(1, 1, Some(0.5)));
    }
    // The one where the agent polls knows when it polls next; the other one counts from when it was seen.
    for app in [&first, &second] {
        app.clock.advance(Duration::from_secs(30));
    }
    let told = second.post("/tasks", poll(9)).json()["return_time"].clone();
    for app in [&second, &first] {
        second.get("/status");
        assert_eq!(agent(&second, 9)["next_poll_due"], told);
        assert_eq!(agent(app, 9)["next_poll_due"], told);
    }
}

#[test]
fn the_share_of_errors_of_a_type_is_that_of_its_tasks() {
    for place in [Place::Memory, Place::file(), Place::postgres()] {
        let app = Setup { place, ..Setup::default() }.start();
        let of_type = |version: u64| {
            let of = app.get(&format!("/api/v1/types/wait/{version}")).json()["last_hour"].clone();
            let listed = app.get("/api/v1/types").json();
            let listed = listed["types"].as_array().expect("a list of types").iter();
            let listed = listed.filter(|listed| listed["task_version"] == version);
            assert!(listed.map(|listed| &listed["last_hour"]).all(|hour| *hour == of), "{of}");
            of
        };
        // An attempt after which the task is tried again is not its end.
        app.post_task(Body::task(9).with("task_max_attempts", "2").with("task_retry_errors", "true"));
        assert_eq!(app.poll(poll(9)), [id(9)]);
        app.post("/tasks/response", Body::failure(9, "\"no\"")).is_empty();
        let again = app.poll(poll(9)).remove(0);
        app.post("/tasks/response", Body::result(9).with("task_id", format!("\"{again}\""))).is_empty();
        execute(&app, 9, 1, false);
        // What expires has failed, whoever might have taken it; what is cancelled has not.
        app.post_task(Body::task(2).with("task_ttl", "1"));
        app.post_task(Body::task(3));
        app.post(&format!("/api/v1/tasks/{}/cancel", id(3)), "").json();
        app.clock.advance(Duration::from_secs(2));
        app.post(&format!("/api/v1/tasks/{}/cancel", id(2)), "");
        eventually("it is read anew", || of_type(1) == hour(1, 2, Some(2.0 / 3.0)));
        assert_eq!(of_type(7), hour(0, 0, None));
    }
}
