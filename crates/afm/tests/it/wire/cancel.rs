//! Tests `DELETE /task/{task_id}`: a BPMS client does not want a task any more.

use crate::test_app::{Body, Place, Setup, TestApp, eventually, id};

fn path(n: u64) -> String {
    format!("/task/{}", id(n))
}

#[test]
fn a_waiting_task_is_cancelled_and_shown() {
    for slash in ["", "/"] {
        let app = TestApp::start();
        app.post_task(Body::task(1));
        let answer = app.delete(&format!("{}{slash}", path(1)));
        let task = answer.json();
        assert_eq!(task["task_id"], id(1));
        assert_eq!(task["task_state"], "cancelled");
        assert_eq!(task["task_failed"], "2026-11-22 19:23:01.621614");
        assert_eq!(task["task_error"], "Task was cancelled while it waited for an agent");
        app.get(&path(1)).is_json(&answer.body);
        assert_eq!(app.poll(Body::poll(9)), [] as [String; 0]);
    }
}

#[test]
fn again_it_is_the_same() {
    let app = TestApp::start();
    app.post_task(Body::task(1).with("task_delay", "60"));
    let answer = app.delete(&path(1));
    assert_eq!(answer.status, 200);
    app.clock.advance(std::time::Duration::from_secs(600));
    app.delete(&path(1)).is_json(&answer.body);
    app.delete(&format!("//task/{}/", id(1).to_uppercase())).is_json(&answer.body);
}

#[test]
fn what_is_not_there_is_404() {
    let app = TestApp::start();
    for unknown in [&path(1), &format!("{}/", path(1)), "/task/1", "/task/%FF", "/task/response/"] {
        app.delete(unknown).is_problem(404, "task_id: no task has this id");
    }
}

#[test]
fn what_is_finished_is_409() {
    let app = TestApp::start();
    for n in [1, 2] {
        app.post_task(Body::task(n));
    }
    app.poll(Body::poll(9));
    app.post("/tasks/response", Body::result(1)).is_empty();
    app.post("/tasks/response", Body::failure(2, "\"no\"")).is_empty();
    for n in [1, 2] {
        let task = app.get(&path(n));
        let problem = app.delete(&path(n)).problem(409);
        assert_eq!(problem["detail"], "the task is finished already");
        app.get(&path(n)).is_json(&task.body);
    }
}

#[test]
fn what_has_expired_unseen_is_409_too() {
    let app = TestApp::start();
    app.post_task(Body::task(1).with("task_ttl", "30"));
    app.clock.advance(std::time::Duration::from_secs(30));
    app.delete(&path(1)).problem(409);
    assert_eq!(app.task(1)["task_state"], "expired");
}

#[test]
fn the_agent_is_told_once_and_its_result_is_late() {
    let app = TestApp::start();
    for n in [1, 2, 3] {
        app.post_task(Body::task(n));
    }
    let poll = Body::poll(9).with("agent_name", "\"Helsinki 3\"");
    assert_eq!(app.poll(&poll), [1, 2, 3].map(id));
    let task = app.delete(&path(2)).json();
    assert_eq!(
        task["task_error"],
        format!("Task was cancelled while agent \"Helsinki 3\" ({}) had it, attempt 1 of 1", id(9))
    );
    let answer = app.post("/tasks/response", Body::result(2).with("task_data", r#"{"n": 1.0}"#));
    answer.is_problem(
        400,
        "task_id: the result came too late, attempt 1 had ended; it is kept for the operator to read",
    );
    let (ended, late) = app.attempts(2).remove(0);
    assert_eq!(ended.end, slamon_domain::AttemptEnd::Cancelled);
    let late = format!("{:?}", late.expect("it is kept").outcome);
    assert_eq!(late, r#"Completed({"n": 1.0})"#);
    // Another agent is told nothing.
    assert_eq!(app.post("/tasks", Body::poll(8)).json().get("cancelled"), None);
    assert_eq!(app.post("/tasks", &poll).json()["cancelled"], serde_json::json!([id(2)]));
    assert_eq!(app.post("/tasks", &poll).json().get("cancelled"), None);
}

#[test]
fn the_id_stays_taken() {
    let app = TestApp::start();
    app.post_task(Body::task(1));
    app.delete(&path(1)).json();
    app.post_task(Body::task(1));
    assert_eq!(app.task(1)["task_state"], "cancelled");
    assert_eq!(app.poll(Body::poll(9)), [] as [String; 0]);
    app.post("/task", Body::task(1).with("task_version", "2")).problem(400);
}

#[test]
fn without_a_database_it_is_503() {
    let app = TestApp::start();
    app.post_task(Body::task(1));
    app.gate.take_database_away();
    app.delete(&path(1)).is_try_again();
    app.gate.open();
    assert_eq!(app.task(1)["task_state"], "pending");
}

#[test]
fn an_agent_that_hung_up_is_told_again() {
    for place in [Place::Memory, Place::postgres()] {
        let app = Setup { place, ..Setup::default() }.start();
        app.refresh_cache();
        app.post_task(Body::task(1));
        assert_eq!(app.poll(Body::poll(9)), [id(1)]);
        app.delete(&path(1)).json();
        app.gate.close();
        let mut gone = app.connect();
        gone.post("/tasks", &Body::poll(9).to_string());
        app.gate.wait_until_reached();
        gone.hang_up();
        app.gate.open();
        eventually("it is told", || {
            app.post("/tasks", Body::poll(9)).json()["cancelled"] == serde_json::json!([id(1)])
        });
        assert!(app.post("/tasks", Body::poll(9)).json()["cancelled"].is_null());
    }
}
