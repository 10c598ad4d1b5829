//! Tests `/status`: the numbers of agents and tasks.

use std::time::Duration;

use crate::test_app::{Body, Setup, TestApp};

#[test]
fn tasks_wait_until_they_are_claimed() {
    let app = TestApp::start();
    app.get("/status").is_json(r#"{"agents":0,"tasks_waiting":0}"#);
    app.post_task(Body::task(1));
    app.post_task(Body::task(2));
    app.get("/status").is_json(r#"{"agents":0,"tasks_waiting":2}"#);
    app.poll(Body::poll(9).with("max_tasks", "1"));
    app.get("/status").is_json(r#"{"agents":1,"tasks_waiting":1}"#);
    app.post("/tasks/response", Body::result(1)).is_empty();
    app.get("/status").is_json(r#"{"agents":1,"tasks_waiting":1}"#);
}

#[test]
fn an_agent_counts_up_to_the_threshold_and_not_a_microsecond_longer() {
    let app = TestApp::start();
    app.poll(Body::poll(8));
    app.clock.advance(Duration::from_secs(100));
    app.poll(Body::poll(9).with("max_tasks", "0"));
    app.clock.advance(Duration::from_secs(200));
    app.get("/status").is_json(r#"{"agents":2,"tasks_waiting":0}"#);
    app.clock.advance(Duration::from_micros(1));
    app.get("/status").is_json(r#"{"agents":1,"tasks_waiting":0}"#);
    app.clock.advance(Duration::from_secs(100));
    app.get("/status").is_json(r#"{"agents":0,"tasks_waiting":0}"#);
    app.poll(Body::poll(8));
    app.get("/status").is_json(r#"{"agents":1,"tasks_waiting":0}"#);
}

#[test]
fn a_threshold_beyond_all_calendars_counts_everyone() {
    let mut setup = Setup::default();
    setup.settings.agent_active_threshold = Duration::MAX;
    let app = setup.start();
    app.poll(Body::poll(9));
    app.clock.advance(Duration::from_secs(1_000_000_000));
    app.get("/status").is_json(r#"{"agents":1,"tasks_waiting":0}"#);
}

#[test]
fn without_a_database_it_is_500() {
    let (app, gate) = Setup::default().start_gated();
    gate.take_database_away();
    app.get("/status").is_problem(500, "the database cannot be queried");
    gate.open();
    app.get("/status").is_json(r#"{"agents":0,"tasks_waiting":0}"#);
}
