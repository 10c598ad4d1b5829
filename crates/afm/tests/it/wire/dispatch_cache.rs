//! Tests polls that are answered by the dispatch cache, without the store.

use std::time::Duration;

use slamon_afm::maintenance::sweeper::SweepPolicy;
use slamon_domain::Swept;

use crate::test_app::{Body, Place, Setup, TestApp, id};

const NONE: [String; 0] = [];
const SECOND: Duration = Duration::from_secs(1);

/// Starts an AFM with a refreshed cache and agent 9, which has just polled.
fn with_agent() -> TestApp {
    let app = TestApp::start();
    app.refresh_cache();
    assert_eq!(app.poll(Body::poll(9)), NONE);
    app
}

/// Returns how often the store was asked for tasks for agent 9.
fn asked(app: &TestApp) -> usize {
    app.gate.polls(id(9).parse().expect("an id"))
}

#[test]
fn a_poll_that_brings_nothing_does_not_reach_the_store() {
    let app = with_agent();
    for poll in [Body::poll(9), Body::poll(9).with("agent_time", "\"later\""), Body::poll(9)] {
        let answer = app.post("/tasks", poll).json();
        assert_eq!(answer["tasks"], serde_json::json!([]));
        assert!(answer["return_time"].is_string(), "{answer}");
    }
    assert_eq!(asked(&app), 1, "only the first one, which made the agent known");
}

#[test]
fn a_poll_that_says_something_new_is_saved_at_once() {
    let app = with_agent();
    for (n, name) in (2..).zip(["\"Helsinki\"", "\"Turku\""]) {
        assert_eq!(app.poll(Body::poll(9).with("agent_name", name)), NONE);
        assert_eq!(asked(&app), n);
        let agents = app.get("/dashboard/status").json();
        assert_eq!(agents["agents"][0]["agent_name"], name.trim_matches('"'));
    }
    assert_eq!(app.poll(Body::poll(9).with("max_tasks", "0")), NONE);
    assert_eq!(asked(&app), 4, "that it is busy is new");
}

#[test]
fn a_task_is_handed_out_by_the_next_poll() {
    let app = with_agent();
    for n in 1..=3 {
        app.post_task(Body::task(n).with("task_type", "\"other\""));
        assert_eq!(app.poll(Body::poll(9)), NONE);
        app.post_task(Body::task(10 + n).with("task_data", r#"{"a":1.0}"#));
        let answer = app.post("/tasks", Body::poll(9)).json();
        assert_eq!(answer["tasks"][0]["task_id"], id(10 + n));
        assert_eq!(answer["tasks"][0]["task_data"].to_string(), r#"{"a":1.0}"#);
        for _ in 0..2 {
            assert_eq!(app.poll(Body::poll(9)), NONE);
        }
        assert_eq!(asked(&app), 1 + n as usize, "whoever got the task found out that there are no more");
    }
    let other = r#"{"other":{"version":1}}"#;
    assert_eq!(app.poll(Body::poll(9).with("agent_capabilities", other)), [id(1), id(2), id(3)]);
}

#[test]
fn tasks_for_others_are_left_to_them() {
    let app = with_agent();
    let filter = format!(r#"{{"agent_id":"{}"}}"#, id(8));
    app.post_task(Body::task(1).with("agent_filter", filter));
    assert_eq!(app.poll(Body::poll(9)), NONE);
    assert_eq!(asked(&app), 1);
    assert_eq!(app.poll(Body::poll(8)), [id(1)]);
}

#[test]
fn what_waits_when_an_afm_starts_is_known() {
    let app = TestApp::start();
    app.post_task(Body::task(1));
    app.poll(Body::poll(9).with("agent_capabilities", "{}"));
    app.refresh_cache();
    assert_eq!(app.poll(Body::poll(9).with("agent_capabilities", "{}")), NONE);
    assert_eq!(asked(&app), 1);
    assert_eq!(app.poll(Body::poll(9)), [id(1)]);
}

/// The kinds are read in parts of 10,000.
#[test]
fn however_many_kinds_wait_polls_are_answered_from_memory() {
    const KINDS: u64 = 20_001;
    for place in [Place::Memory, Place::postgres()] {
        let app = Setup { place, ..Setup::default() }.start();
        let task = |n| Body::task(n).with("task_type", format!("\"type {n}\""));
        app.store_tasks((0..KINDS).map(task));
        app.refresh_cache();
        for _ in 0..3 {
            assert_eq!(app.poll(Body::poll(9)), NONE);
        }
        assert_eq!(asked(&app), 1, "only the first one, which made the agent known");
        for n in [0, KINDS / 2, KINDS - 1] {
            let offer = format!(r#"{{"type {n}":{{"version":1}}}}"#);
            assert_eq!(app.poll(Body::poll(n).with("agent_capabilities", offer)), [id(n)]);
        }
    }
}

#[test]
fn when_an_agent_was_seen_is_told_as_it_is() {
    let app = with_agent();
    app.clock.advance(200 * SECOND);
    assert_eq!(app.poll(Body::poll(9)), NONE);
    app.clock.advance(200 * SECOND);
    assert_eq!(app.get("/status").json()["agents"], 1);
    let seen = app.get("/dashboard/status").json()["agents"][0]["last_seen"].clone();
    assert_eq!(seen, "2026-11-22 19:26:21.621614");
    app.post_task(Body::task(1));
    assert_eq!(app.task(1)["task_waiting"]["code"], "next");
    app.clock.advance(101 * SECOND);
    assert_eq!(app.get("/status").json()["agents"], 0);
    assert_eq!(app.task(1)["task_waiting"]["code"], "lost");
    assert_eq!(asked(&app), 1);
}

#[test]
fn a_poll_that_is_not_asked_on_keeps_its_agent_from_being_lost() {
    let app = with_agent();
    app.post_task(Body::task(1));
    assert_eq!(app.poll(Body::poll(9)), [id(1)]);
    assert_eq!(app.poll(Body::poll(9)), NONE);
    let threshold = Duration::from_secs(300);
    let policy =
        SweepPolicy { lost_after: Some(threshold), forget_after: Some(threshold), delete_after: None };
    let mut sweeper = app.sweeper(policy);
    for _ in 0..3 {
        app.clock.advance(threshold);
        assert_eq!(app.poll(Body::poll(9)), NONE);
        app.clock.advance(10 * SECOND);
        assert_eq!(app.sweep(&mut sweeper), Swept::default());
    }
    assert_eq!(app.task(1)["task_state"], "claimed");
    app.clock.advance(threshold + SECOND);
    let swept = app.sweep(&mut sweeper);
    assert_eq!((swept.lost, swept.forgotten), (1, 1));
    // An agent that was forgotten is registered again by its first poll.
    assert_eq!(app.poll(Body::poll(9)), NONE);
    assert_eq!(app.get("/status").json()["agents"], 1);
}

#[test]
fn an_agent_that_another_afm_forgot_comes_back() {
    let app = with_agent();
    app.drop_agents();
    assert_eq!(app.poll(Body::poll(9)), NONE);
    assert_eq!(app.get("/status").json()["agents"], 0, "it turns out that the store does not know it");
    assert_eq!(app.poll(Body::poll(9)), NONE);
    assert_eq!(app.get("/status").json()["agents"], 1);
}

#[test]
fn an_agent_is_told_what_is_not_wanted_any_more() {
    let app = with_agent();
    app.post_task(Body::task(1));
    assert_eq!(app.poll(Body::poll(9)), [id(1)]);
    assert_eq!(app.poll(Body::poll(9)), NONE);
    app.delete(&format!("/task/{}", id(1))).json();
    let asked_before = asked(&app);
    assert_eq!(app.post("/tasks", Body::poll(9)).json()["cancelled"], serde_json::json!([id(1)]));
    assert!(app.post("/tasks", Body::poll(9)).json()["cancelled"].is_null());
    assert_eq!(asked(&app), asked_before + 1);
}

#[test]
fn after_an_outage_every_poll_asks_until_it_is_known_what_there_is() {
    let app = with_agent();
    app.gate.take_database_away();
    app.post("/task", Body::task(1)).problem(503);
    app.post("/tasks", Body::poll(9)).problem(503);
    app.gate.open();
    let asked_before = asked(&app);
    for n in 1..=2 {
        assert_eq!(app.poll(Body::poll(9)), NONE);
        assert_eq!(asked(&app), asked_before + n);
    }
    app.refresh_cache();
    assert_eq!(app.poll(Body::poll(9)), NONE);
    assert_eq!(asked(&app), asked_before + 2);
}
