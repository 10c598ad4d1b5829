//! Tests agents that say what they execute: `agent_running`.

use std::time::Duration;

use crate::test_app::{Body, Place, Setup, TestApp, id};

const NONE: [String; 0] = [];
const SECOND: Duration = Duration::from_secs(1);

/// Returns a poll of an agent that executes these attempts.
fn poll(agent: u64, running: &[&str]) -> Body {
    let ids: Vec<String> = running.iter().map(|id| format!("\"{id}\"")).collect();
    Body::poll(agent).with("agent_running", format!("[{}]", ids.join(",")))
}

/// Returns how often the store was asked for tasks for agent 9.
fn asked(app: &TestApp) -> usize {
    app.gate.polls(id(9).parse().expect("an id"))
}

#[test]
fn bad_values() {
    let app = TestApp::start();
    let uuid = "a UUID of 8-4-4-4-12 hexadecimal digits";
    for (bad, problem) in [
        ("null", "agent_running: must be an array of UUIDs, is null".to_owned()),
        ("\"x\"", "agent_running: must be an array of UUIDs, is \"x\"".to_owned()),
        ("[\"x\"]", format!("agent_running.0: must be {uuid}, is \"x\"")),
        ("[null]", format!("agent_running.0: must be {uuid}, is null")),
    ] {
        app.post("/tasks", Body::poll(9).with("agent_running", bad)).is_problem(400, &problem);
    }
    let many = vec![id(1); 1_001];
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let answer = app.post("/tasks", poll(9, &many));
    answer.is_problem(400, "agent_running: must hold at most 1000 UUIDs, holds 1001");
    assert_eq!(app.poll(poll(9, &many[..1_000])), NONE);
}

#[test]
fn an_agent_that_comes_back_with_the_same_id_loses_what_it_does_not_name() {
    let app = TestApp::start();
    app.refresh_cache();
    app.post_task(Body::task(1));
    app.post_task(Body::task(2).with("task_max_attempts", "2"));
    app.post_task(Body::task(3));
    assert_eq!(app.poll(Body::poll(9)), [1, 2, 3].map(id));
    app.clock.advance(SECOND);
    assert_eq!(app.poll(Body::poll(9)), NONE, "it does not say");
    assert_eq!(app.task(1)["task_state"], "claimed");
    assert_eq!(app.poll(poll(9, &[&id(3), &id(8)])), NONE);
    let task = app.task(1);
    assert_eq!((&task["task_state"], &task["task_attempt"]), (&"failed".into(), &1.into()));
    let error = format!(
        "Agent \"agent 9\" ({}) has lost the task: its agent_running does not name it, attempt 1 of 1",
        id(9)
    );
    assert_eq!(task["task_error"], error);
    assert_eq!(app.task(3)["task_state"], "claimed");
    let again = app.post("/tasks", poll(9, &[&id(3)])).json();
    let task = &again["tasks"][0];
    assert_eq!((&task["task_attempt"], again["tasks"].as_array().map(Vec::len)), (&2.into(), Some(1)));
    let alias = task["task_id"].as_str().expect("an id").to_owned();
    assert_eq!(app.task(2)["task_state"], "claimed");
    // A result of the attempt that it did not name is late; one of the attempt that it named counts.
    app.post("/tasks/response", Body::result(1)).problem(400);
    app.post("/tasks/response", Body::result(3)).is_empty();
    app.clock.advance(SECOND);
    assert_eq!(app.poll(poll(9, &[&alias])), NONE);
    assert_eq!(app.task(2)["task_state"], "claimed");
    assert_eq!(app.poll(poll(9, &[&id(2)])), NONE, "that is not what it knows it as");
    assert_eq!(app.task(2)["task_state"], "failed");
}

#[test]
fn an_idle_agent_that_names_nothing_is_answered_from_memory() {
    let app = TestApp::start();
    app.refresh_cache();
    assert_eq!(app.poll(poll(9, &[])), NONE);
    assert_eq!(asked(&app), 1);
    for _ in 0..3 {
        app.clock.advance(SECOND);
        assert_eq!(app.poll(poll(9, &[])), NONE);
        assert_eq!(app.poll(Body::poll(9)), NONE);
    }
    assert_eq!(asked(&app), 1);
    // Once the agent was given a task, the store is asked.
    app.post_task(Body::task(1));
    app.post_task(Body::task(2).with("task_version", "2"));
    assert_eq!(app.poll(poll(9, &[])), [id(1)]);
    app.clock.advance(SECOND);
    assert_eq!(app.poll(poll(9, &[&id(1)])), NONE);
    let asked_before = asked(&app);
    assert_eq!(app.poll(poll(9, &[&id(1)])), NONE, "that is known");
    assert_eq!(asked(&app), asked_before);
    assert_eq!(app.task(1)["task_state"], "claimed");
    assert_eq!(app.poll(poll(9, &[])), NONE);
    assert_eq!(app.task(1)["task_state"], "failed");
    assert_eq!(app.poll(poll(9, &[])), NONE);
    assert_eq!(asked(&app), asked_before + 1);
}

#[test]
fn what_is_on_its_way_is_not_lost() {
    let app = TestApp::start();
    app.post_task(Body::task(1));
    app.gate.close();
    let mut first = app.connect();
    first.post("/tasks", &Body::poll(9).to_string());
    app.gate.wait_until_reached();
    let mut second = app.connect();
    second.post("/tasks", &poll(9, &[]).to_string());
    app.running.wait_for(2);
    app.gate.open();
    assert_eq!(first.answer().json()["tasks"][0]["task_id"], id(1));
    assert_eq!(second.answer().json()["tasks"], serde_json::json!([]));
    assert_eq!(app.task(1)["task_state"], "claimed");
    app.clock.advance(SECOND);
    assert_eq!(app.poll(poll(9, &[])), NONE);
    assert_eq!(app.task(1)["task_state"], "failed");
}

#[test]
fn what_an_older_poll_was_handed_when_it_was_ended_is_not_lost() {
    let app = TestApp::start();
    let mut older = app.hold(&Body::poll(9).with("max_wait", "300"));
    app.gate.close();
    let mut client = app.connect();
    client.post("/task", &Body::task(1).to_string());
    // The post of the task, and the claim for the older poll, wait at the gate.
    app.gate.wait_until_reached();
    let mut newer = app.connect();
    newer.post("/tasks", &poll(9, &[]).with("max_wait", "300").to_string());
    assert_eq!(older.answer().json()["tasks"], serde_json::json!([]));
    app.gate.open();
    client.answer().is_empty();
    let answer = newer.answer().json();
    let task = &answer["tasks"][0];
    assert_eq!((&task["task_id"], &task["task_attempt"]), (&id(1).into(), &1.into()));
}

#[test]
fn what_another_afm_gave_and_the_agent_has_lost_is_found_within_a_minute() {
    let place = Place::postgres();
    let shared = Place::Shared(place.uri());
    let one = Setup { place, ..Setup::default() }.start();
    let other = Setup { place: shared, ..Setup::default() }.start();
    let advance = |time| [&one, &other].map(|app| app.clock.advance(time));
    one.refresh_cache();
    assert_eq!(one.poll(poll(9, &[])), NONE);
    assert_eq!(one.poll(poll(9, &[])), NONE);
    assert_eq!(asked(&one), 1, "it is answered from memory");
    other.post_task(Body::task(1).with("task_version", "2"));
    let gives = poll(9, &[]).with("agent_capabilities", r#"{"wait": {"version": 2}}"#);
    assert_eq!(other.poll(gives), [id(1)]);
    advance(60 * SECOND);
    assert_eq!(one.poll(poll(9, &[])), NONE);
    assert_eq!(one.task(1)["task_state"], "failed");
    // The store is also asked as soon as the agent names less than before.
    other.post_task(Body::task(2));
    advance(SECOND);
    assert_eq!(other.poll(poll(9, &[])), [id(2)]);
    advance(SECOND);
    assert_eq!(one.poll(poll(9, &[&id(2)])), NONE);
    assert_eq!(one.task(2)["task_state"], "claimed");
    assert_eq!(one.poll(poll(9, &[])), NONE);
    assert_eq!(one.task(2)["task_state"], "failed");
}
