//! One task.

use std::time::Duration;

use serde_json::json;
use slamon_afm::maintenance::sweeper::SweepPolicy;

use super::{everywhere, fill, list};
use crate::test_app::{Body, Place, Setup, TestApp, id};

/// Only does what time has made due.
const DUE: SweepPolicy = SweepPolicy { lost_after: None, forget_after: None, delete_after: None };

fn path(n: u64) -> String {
    format!("/api/v1/tasks/{}", id(n))
}

#[test]
fn a_task_is_shown_with_all_that_is_known_of_it() {
    everywhere(|app| {
        let task = Body::task(1)
            .with("task_data", r#"{"n": 1.0, "big": 123456789012345678901234567890}"#)
            .with("task_ttl", "3600")
            .with("task_timeout", "30")
            .with("task_max_attempts", "3")
            .with("task_retry_errors", "true")
            .with("task_priority", "-5")
            .with("agent_filter", r#"{"agent_name": "agent 9"}"#);
        app.post_task(task);
        let shown = app.get(&path(1)).json();
        assert_eq!(shown["task_waiting"]["code"], "no_agent", "{shown}");
        assert_eq!(shown["attempts"], json!([]));
        assert_eq!(app.poll(Body::poll(9)), [id(1)]);
        app.clock.advance(Duration::from_secs(30));
        app.sweep(&mut app.sweeper(DUE));
        app.post("/tasks/response", Body::result(1).with("task_data", r#"{"late": true}"#)).problem(400);
        let second = app.poll(Body::poll(9)).remove(0);
        let answer = app.get(&path(1).to_uppercase().replace("/API/V1/TASKS/", "/api/v1/tasks/"));
        assert!(answer.body.contains(r#""task_data":{"n": 1.0, "big": 123456789012345678901234567890}"#));
        let shown = answer.json();
        assert_eq!(
            shown,
            json!({
                "task_id": id(1), "test_id": id(0), "task_type": "wait", "task_version": 1,
                "task_data": shown["task_data"], "task_ttl": 3600.0, "task_timeout": 30.0, "task_max_attempts": 3,
                "task_retry_errors": true, "task_retry_delay": 0.0, "task_priority": -5, "task_delay": 0.0,
                "agent_filter": {"agent_name": "agent 9"}, "task_state": "claimed",
                "task_created": "2026-11-22T19:23:01.621614+00:00",
                "task_expires": "2026-11-22T20:23:01.621614+00:00",
                "task_claimed": "2026-11-22T19:23:31.621614+00:00",
                "agent_id": id(9), "agent_name": "agent 9",
                "attempts": [
                    {"attempt": 1, "outcome": "timed_out", "agent_id": id(9), "agent_name": "agent 9",
                     "claimed": "2026-11-22T19:23:01.621614+00:00", "deadline": "2026-11-22T19:23:31.621614+00:00",
                     "ended": "2026-11-22T19:23:31.621614+00:00", "reason": "its agent sent no result within 30 s",
                     "late": "2026-11-22T19:23:31.621614+00:00", "late_result": {"late": true}},
                    {"attempt": 2, "outcome": "running", "agent_id": id(9), "agent_name": "agent 9",
                     "claimed": "2026-11-22T19:23:31.621614+00:00", "deadline": "2026-11-22T19:24:01.621614+00:00"},
                ],
            })
        );
        let result =
            Body::result(0).with("task_id", format!("\"{second}\"")).with("task_data", r#"{"r": 2}"#);
        app.post("/tasks/response", result).is_empty();
        let shown = app.get(&path(1)).json();
        assert_eq!((&shown["task_end"], &shown["task_result"]), (&json!("completed"), &json!({"r": 2})));
        assert_eq!(shown["attempts"][1]["outcome"], "completed");
        assert_eq!(shown["attempts"][1]["ended"], shown["task_completed"]);
        assert!(!shown.to_string().contains(&second), "nobody learns the ids of attempts");
    });
}

#[test]
fn the_end_of_a_task_is_told_apart() {
    everywhere(|app| {
        fill(app);
        app.post_task(Body::task(7).with("task_timeout", "1"));
        let polled = app.poll(Body::poll(9));
        assert!(polled.contains(&id(7)));
        app.clock.advance(Duration::from_secs(1));
        app.sweep(&mut app.sweeper(DUE));
        let shown = |n: u64| {
            let task = app.get(&path(n)).json();
            (task["task_state"].clone(), task["task_end"].clone(), task["attempts"][0]["outcome"].clone())
        };
        assert_eq!(shown(2), (json!("failed"), json!("failed"), json!("error")));
        assert_eq!(shown(3), (json!("cancelled"), json!("cancelled"), json!("cancelled")));
        assert_eq!(shown(7), (json!("failed"), json!("timed_out"), json!("timed_out")));
        let delayed = app.get(&path(6)).json();
        assert_eq!(delayed["task_available"], "2026-11-22T19:39:46.621614+00:00");
    });
}

#[test]
fn what_is_no_task_is_not_found() {
    let app = TestApp::start();
    for path in ["0", "cancel/cancel", "retry/retry", "%ff", "cancel/retry"] {
        let answer = if path.contains('/') {
            app.post(&format!("/api/v1/tasks/{path}"), "{}")
        } else {
            app.get(&format!("/api/v1/tasks/{path}"))
        };
        answer.is_problem(404, "task_id: no task has this id");
    }
    app.get(&path(1)).is_problem(404, "task_id: no task has this id");
    app.get("/api/v1/tasks/cancel").problem(405);
    app.get(&format!("{}/cancel", path(1))).problem(405);
}

#[test]
fn a_task_is_cancelled_as_by_its_client() {
    everywhere(|app| {
        fill(app);
        for n in [4, 5, 6, 3] {
            let shown = app.post(&format!("{}/cancel", path(n)), "").json();
            assert_eq!((&shown["task_id"], &shown["task_end"]), (&json!(id(n)), &json!("cancelled")));
        }
        // The agent is told.
        let cancelled = app.post("/tasks", Body::poll(9)).json()["cancelled"].clone();
        assert_eq!(cancelled.as_array().map(Vec::len), Some(2));
        for n in [1, 2] {
            let problem = app.post(&format!("{}/cancel", path(n)), "").problem(409);
            assert_eq!(problem["field"], "task_id");
        }
        app.post(&format!("{}/cancel", path(99)), "").is_problem(404, "task_id: no task has this id");
    });
}

#[test]
fn a_task_that_ended_without_a_result_is_posted_again() {
    everywhere(|app| {
        let task = Body::task(1).with("task_data", r#"{"n": 1.50}"#).with("task_priority", "7");
        app.post_task(task.with("task_max_attempts", "2"));
        app.post(&format!("{}/retry", path(1)), "")
            .is_problem(409, "task_id: the task has not ended: cancel it first, or wait for its end");
        assert_eq!(app.poll(Body::poll(9)), [id(1)]);
        app.post("/tasks/response", Body::failure(1, r#""no""#)).is_empty();
        let new =
            app.post(&format!("{}/retry", path(1)), "").json()["task_id"].as_str().expect("an id").to_owned();
        assert_ne!(new, id(1));
        let shown = app.get(&format!("/api/v1/tasks/{new}")).json();
        assert_eq!((&shown["task_state"], &shown["test_id"]), (&json!("pending"), &json!(id(0))));
        assert_eq!((&shown["task_priority"], &shown["task_max_attempts"]), (&json!(7), &json!(2)));
        assert_eq!(app.get(&path(1)).json()["task_end"], "failed", "the old one stays");
        assert_eq!(app.poll(Body::poll(9)), std::slice::from_ref(&new));
        app.post("/tasks/response", Body::result(0).with("task_id", format!("\"{new}\""))).is_empty();
        app.post(&format!("/api/v1/tasks/{new}/retry"), "").problem(409);
        app.post(&format!("{}/retry", path(9)), "").is_problem(404, "task_id: no task has this id");
    });
}

#[test]
fn posting_again_under_a_new_id_can_be_repeated() {
    everywhere(|app| {
        app.post_task(Body::task(1).with("task_data", r#"{"n": 1.50}"#));
        app.post_task(Body::task(2));
        for n in [1, 2] {
            app.post(&format!("{}/cancel", path(n)), "").json();
        }
        let retry = |n: u64, body: &str| app.post(&format!("{}/retry", path(n)), body);
        let as_new = format!(r#"{{"task_id": "{}"}}"#, id(3).to_uppercase());
        for _ in 0..3 {
            retry(1, &as_new).is_json(&format!(r#"{{"task_id":"{}"}}"#, id(3)));
            assert_eq!(list(app, "state=pending"), [id(3)]);
        }
        // Also when it has been handed out, and when it has ended.
        assert_eq!(app.poll(Body::poll(9)), [id(3)]);
        retry(1, &as_new).json();
        app.post("/tasks/response", Body::result(3)).is_empty();
        retry(1, &as_new).json();
        assert_eq!(list(app, "").len(), 3);
        retry(2, &as_new).is_problem(400, "task_id: is taken by a task that differs in task_data");
        for (body, problem) in [
            (
                format!(r#"{{"task_id": "{}"}}"#, id(1)),
                "task_id: must be a new id, is that of the task that is posted again",
            ),
            (r#"{"task_id": "x"}"#.to_owned(), "task_id: must be a UUID, is \"x\""),
            (r#"{"task_id": null}"#.to_owned(), "task_id: must be a UUID, is null"),
            (r#"{"id": 1}"#.to_owned(), "id: is not a known field; known are task_id"),
            ("[]".to_owned(), "request body: must be a JSON object, is an array"),
        ] {
            retry(1, &body).is_problem(400, problem);
        }
        let plain = [("content-type", "text/plain")];
        app.send("POST", &format!("{}/retry", path(1)), &plain, &as_new)
            .is_problem(400, "request body: must be sent as Content-Type: application/json");
        // Without an id, each posts another one; a body is not needed, nor a media type.
        for body in ["", "{}", "null"] {
            assert_ne!(retry(2, body).json()["task_id"], retry(2, body).json()["task_id"]);
        }
        app.send("POST", &format!("{}/retry", path(2)), &[], "").json();
        assert_eq!(list(app, "").len(), 10);
    });
}

#[test]
fn a_large_task_is_posted_again() {
    let app = Setup { place: Place::file(), ..Setup::default() }.start();
    let data = format!(r#"{{"x": "{}"}}"#, "x".repeat(900_000));
    app.post_task(Body::task(1).with("task_data", &*data));
    app.post(&format!("{}/cancel", path(1)), "").json();
    let new =
        app.post(&format!("{}/retry", path(1)), "").json()["task_id"].as_str().expect("an id").to_owned();
    assert!(app.get(&format!("/api/v1/tasks/{new}")).body.contains(&data));
}
