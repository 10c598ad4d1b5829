//! Tests `/tasks/response`: agents report results.

use crate::test_app::{Body, TestApp, id};

/// Starts an AFM with task 1, which agent 9 has claimed.
fn with_claimed_task() -> TestApp {
    let app = TestApp::start();
    app.post_task(Body::task(1));
    assert_eq!(app.poll(Body::poll(9)), [id(1)]);
    app
}

#[test]
fn only_a_claimed_task_can_be_finished() {
    let app = TestApp::start();
    let answer = app.post("/tasks/response", Body::result(1));
    answer.is_problem(400, "task_id: no task has this id");
    app.post_task(Body::task(1));
    for body in [Body::result(1), Body::failure(1, "\"\"")] {
        let answer = app.post("/tasks/response", body);
        answer.is_problem(400, "task_id: the task has not been claimed by an agent");
    }
    assert_eq!(app.poll(Body::poll(9)), [id(1)]);
    app.post("/tasks/response", Body::result(1)).is_empty();
}

#[test]
fn the_same_result_again_changes_nothing() {
    for (first, same, others) in [
        (
            Body::result(1).with("task_data", r#"{"a":[1]}"#),
            Body::result(1).with("task_data", "{\"\\u0061\": [ 1 ]}"),
            [Body::result(1).with("task_data", r#"{"a":[1.0]}"#), Body::failure(1, r#""a""#)],
        ),
        (
            Body::failure(1, r#""é""#),
            Body::failure(1, r#""\u00e9""#),
            [Body::failure(1, r#""""#), Body::result(1)],
        ),
    ] {
        let app = with_claimed_task();
        app.post("/tasks/response", &first).is_empty();
        let task = app.get(&format!("/task/{}", id(1)));
        app.clock.advance(std::time::Duration::from_secs(1));
        app.post("/tasks/response", &first).is_empty();
        app.post("/tasks/response", same).is_empty();
        for other in others {
            let answer = app.post("/tasks/response", other);
            answer.is_problem(400, "task_id: the task is finished already, with another result");
        }
        app.get(&format!("/task/{}", id(1))).is_json(&task.body);
    }
}

#[test]
fn good_values() {
    for body in [
        Body::result(1),
        Body::result(1).with("task_data", r#"{"a":{"b":[]}}"#),
        Body::failure(1, r#""""#),
        Body::failure(1, r#""\u0000 😀""#),
    ] {
        with_claimed_task().post("/tasks/response", body).is_empty();
    }
}

#[test]
fn bad_values() {
    let app = with_claimed_task();
    let known = "is not a known field; known are protocol, task_id, task_data, task_error, agent_id";
    for (body, problem) in [
        (Body::result(1).with("protocol", "2"), "protocol: 2 is not served, only 1 is"),
        (Body::result(1).with("protocol", "null"), "protocol: must be an integer, is null"),
        (Body::result(1).without("protocol"), "protocol: is required"),
        (Body::result(1).without("task_id"), "task_id: is required"),
        (
            Body::result(1).with("task_id", "\"1\""),
            "task_id: must be a UUID of 8-4-4-4-12 hexadecimal digits, is \"1\"",
        ),
        (Body::result(1).without("task_data"), "task_data: is required, or else task_error"),
        (Body::result(1).with("task_data", "null"), "task_data: must be an object, is null"),
        (Body::result(1).with("task_data", "\"x\""), "task_data: must be an object, is \"x\""),
        (Body::result(1).with("task_data", "[]"), "task_data: must be an object, is an array"),
        (Body::failure(1, "null"), "task_error: must be a string, is null"),
        (Body::failure(1, "{}"), "task_error: must be a string, is an object"),
        (Body::result(1).with("task_error", "\"\""), "task_error: must not be sent together with task_data"),
        (Body::result(1).with("agent", "1"), &format!("agent: {known}")),
    ] {
        app.post("/tasks/response", body).is_problem(400, problem);
    }
    // None of them has ended the task.
    app.post("/tasks/response", Body::result(1)).is_empty();
}
