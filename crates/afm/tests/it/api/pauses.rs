//! Tests the pauses of agents and types, and forgetting an agent.

use serde_json::json;

use crate::test_app::{Body, PATIENCE, Place, Setup, TestApp, id};

const NOW: &str = "2026-11-22T19:23:01.621614+00:00";

fn places() -> [Place; 3] {
    [Place::Memory, Place::file(), Place::postgres()]
}

fn start(place: Place) -> TestApp {
    Setup { place, ..Setup::default() }.start()
}

fn agent_path(n: u64, action: &str) -> String {
    format!("/api/v1/agents/{}{action}", id(n))
}

#[track_caller]
fn post(app: &TestApp, path: &str) -> serde_json::Value {
    app.post(path, "").json()
}

#[test]
fn a_paused_agent_is_handed_nothing_and_finishes_what_it_has() {
    for place in places() {
        let app = start(place);
        app.post_task(Body::task(1));
        assert_eq!(app.poll(Body::poll(9)), [id(1)]);
        assert_eq!(post(&app, &agent_path(9, "/pause")), json!({ "agent_id": id(9), "paused_since": NOW }));
        app.post_task(Body::task(2));
        app.post_task(Body::task(3));
        for _ in 0..2 {
            let answer = app.post("/tasks", Body::poll(9)).json();
            assert_eq!(answer["tasks"], json!([]));
            assert!(answer["return_time"].is_string());
            // From now on, polls that bring nothing do not reach the store.
            app.refresh_cache();
        }
        // Its result counts, and it is told of cancellations.
        app.post("/tasks/response", Body::result(1)).is_empty();
        assert_eq!(app.task(1)["task_state"], "completed");
        assert_eq!(app.task(2)["task_waiting"]["code"], "agents_paused");
        assert_eq!(app.poll(Body::poll(8)), [id(2), id(3)]);
        app.post_task(Body::task(4));
        assert_eq!(post(&app, &agent_path(9, "/resume")), json!({ "agent_id": id(9), "paused_since": null }));
        assert_eq!(app.poll(Body::poll(9)), [id(4)]);
        post(&app, &agent_path(9, "/pause"));
        app.delete(&format!("/task/{}", id(4))).json();
        let told = app.post("/tasks", Body::poll(9)).json();
        assert_eq!((&told["tasks"], &told["cancelled"]), (&json!([]), &json!([id(4)])));
    }
}

#[test]
fn tasks_of_a_paused_type_wait() {
    for place in places() {
        let app = start(place);
        let poll =
            || Body::poll(9).with("agent_capabilities", r#"{"wait":{"version":1},"other":{"version":2}}"#);
        app.post_task(Body::task(1));
        app.post_task(Body::task(2).with("task_type", r#""other""#).with("task_version", "2"));
        assert_eq!(
            post(&app, "/api/v1/types/wait/1/pause"),
            json!({ "task_type": "wait", "task_version": 1, "paused_since": NOW })
        );
        // Nothing is known yet of what waits: the store is asked for all that the agent offers.
        assert_eq!(app.poll(poll()), [id(2)]);
        let waiting = &app.task(1)["task_waiting"];
        assert_eq!(waiting, &json!({ "code": "paused", "reason": "wait version 1 is paused" }));
        app.refresh_cache();
        app.post_task(Body::task(3));
        assert_eq!(app.poll(poll()), [""; 0]);
        post(&app, "/api/v1/types/wait/1/resume");
        assert_eq!(
            post(&app, "/api/v1/types/wait/pause"),
            json!({ "task_type": "wait", "task_version": null, "paused_since": NOW })
        );
        assert_eq!(app.poll(poll()), [""; 0]);
        app.post("/api/v1/types/wait/1/resume", "")
            .is_problem(409, "task_type: is paused in all its versions; resume the type");
        post(&app, "/api/v1/types/wait/resume");
        assert_eq!(app.poll(poll()), [id(1), id(3)]);
    }
}

#[test]
fn a_held_poll_is_handed_nothing_that_is_paused_and_woken_after_a_resume() {
    for place in places() {
        let app = start(place);
        let held = |n| Body::poll(n).with("max_wait", "300").with("max_tasks", "1");
        let (mut paused, mut other) = (app.hold(&held(8)), app.hold(&held(9)));
        post(&app, &agent_path(8, "/pause"));
        app.post_task(Body::task(1));
        // It would have been handed to the poll that waits longest.
        assert_eq!(other.answer().json()["tasks"][0]["task_id"], id(1));
        let mut other = app.hold(&held(9));
        post(&app, "/api/v1/types/wait/pause");
        app.post_task(Body::task(2));
        assert_eq!(app.poll(Body::poll(7)), [""; 0]);
        post(&app, &agent_path(9, "/pause"));
        post(&app, "/api/v1/types/wait/resume");
        assert_eq!(app.poll(Body::poll(8).with("max_tasks", "0")), [""; 0]);
        // That has ended the older poll of the agent.
        assert_eq!(paused.answer().json()["tasks"], json!([]));
        post(&app, &agent_path(9, "/resume"));
        assert!(!other.is_silent_for(PATIENCE), "it was not woken");
        assert_eq!(other.answer().json()["tasks"][0]["task_id"], id(2));
        let mut other = app.hold(&held(9));
        post(&app, "/api/v1/types/wait/1/pause");
        app.post_task(Body::task(3));
        assert_eq!(app.task(3)["task_state"], "pending");
        post(&app, "/api/v1/types/wait/resume");
        assert!(!other.is_silent_for(PATIENCE), "it was not woken");
        assert_eq!(other.answer().json()["tasks"][0]["task_id"], id(3));
    }
}

#[test]
fn a_pause_holds_from_the_start_on() {
    let place = Place::postgres();
    let uri = place.uri();
    let app = start(place);
    app.post_task(Body::task(1));
    post(&app, "/api/v1/types/wait/pause");
    let after_a_restart = start(Place::Shared(uri));
    assert_eq!(after_a_restart.poll(Body::poll(9)), [""; 0]);
    assert_eq!(after_a_restart.task(1)["task_waiting"]["code"], "paused");
    after_a_restart.post("/api/v1/types/wait/resume", "").json();
    assert_eq!(after_a_restart.poll(Body::poll(9)), [id(1)]);
}

#[test]
fn any_type_can_be_paused() {
    let app = TestApp::start();
    let long = "ä".repeat(512);
    for (n, (path, task_type)) in [
        ("log%2Fin%2F..%2F".to_owned(), "log/in/../".to_owned()),
        ("50%25%20%3F%23".to_owned(), "50% ?#".to_owned()),
        ("%F0%9F%98%80".to_owned(), "\u{1f600}".to_owned()),
        ("pause".to_owned(), "pause".to_owned()),
        (String::new(), String::new()),
        ("+".to_owned(), "+".to_owned()),
        (long.replace('ä', "%C3%A4"), long.clone()),
    ]
    .into_iter()
    .enumerate()
    {
        let n = n as u64;
        let name = serde_json::Value::from(task_type.as_str()).to_string();
        app.post_task(Body::task(n).with("task_type", name.clone()).with("task_version", "-7"));
        let poll = || Body::poll(9).with("agent_capabilities", format!(r#"{{{name}:{{"version":-7}}}}"#));
        for action in [format!("{path}/-7"), path.clone()] {
            let paused = post(&app, &format!("/api/v1/types/{action}/pause"));
            assert_eq!(paused["task_type"], task_type, "{action}");
            assert_eq!(app.poll(poll()), [""; 0], "{action}");
            assert_eq!(app.task(n)["task_waiting"]["code"], "paused", "{action}");
            let resumed = post(&app, &format!("/api/v1/types/{action}/resume"));
            assert_eq!(resumed["paused_since"], json!(null), "{action}");
        }
        assert_eq!(app.poll(poll()), [id(n)], "{task_type}");
    }
}

#[test]
fn what_is_no_type_and_no_agent_is_refused() {
    let app = TestApp::start();
    let long = "x".repeat(1_025);
    for (path, detail) in [
        ("a/x", "task_version: must be an integer of at most 64 bits"),
        ("a/+1", "task_version: must be an integer of at most 64 bits"),
        ("a/1.0", "task_version: must be an integer of at most 64 bits"),
        ("a/%20", "task_version: must be an integer of at most 64 bits"),
        ("a/9223372036854775808", "task_version: must be an integer of at most 64 bits"),
        ("/x", "task_version: must be an integer of at most 64 bits"),
        ("%FF", "task_type: is not valid UTF-8"),
        ("%FF/1", "task_type: is not valid UTF-8"),
        ("a%00b", "task_type: must not contain U+0000"),
        (&long, "task_type: must have at most 1024 bytes, has 1025"),
    ] {
        for action in ["pause", "resume"] {
            app.post(&format!("/api/v1/types/{path}/{action}"), "").is_problem(400, detail);
        }
    }
    for path in [agent_path(1, "/pause"), agent_path(1, "/resume"), "/api/v1/agents/x/pause".to_owned()] {
        app.post(&path, "").is_problem(404, "agent_id: no agent has this id");
    }
    for path in [agent_path(1, ""), "/api/v1/agents/%FF".to_owned()] {
        app.delete(&path).is_problem(404, "agent_id: no agent has this id");
    }
}

#[test]
fn an_agent_that_was_forgotten_is_new_with_its_next_poll() {
    for place in places() {
        let app = start(place);
        app.post_task(Body::task(1));
        assert_eq!(app.poll(Body::poll(9)), [id(1)]);
        app.delete(&agent_path(9, ""))
            .is_problem(409, "agent_id: the agent executes tasks; it can be forgotten once they have ended");
        app.post("/tasks/response", Body::result(1)).is_empty();
        app.refresh_cache();
        assert_eq!(app.poll(Body::poll(9)), [""; 0]);
        app.delete(&agent_path(9, "")).json();
        app.get("/status").is_json(r#"{"agents":0,"tasks_waiting":0}"#);
        assert_eq!(app.poll(Body::poll(9)), [""; 0]);
        app.get("/status").is_json(r#"{"agents":1,"tasks_waiting":0}"#);
    }
}

#[test]
fn while_the_database_is_away_nothing_is_paused_and_nothing_handed_out() {
    let (app, gate) = Setup::default().start_gated();
    app.poll(Body::poll(9));
    gate.take_database_away();
    for path in [agent_path(9, "/pause"), "/api/v1/types/wait/resume".to_owned()] {
        app.post(&path, "").is_try_again();
    }
    app.delete(&agent_path(9, "")).is_try_again();
    gate.open();
    post(&app, &agent_path(9, "/pause"));
    post(&app, &agent_path(9, "/resume"));
    app.post_task(Body::task(1));
    assert_eq!(app.poll(Body::poll(9)), [id(1)]);
}
