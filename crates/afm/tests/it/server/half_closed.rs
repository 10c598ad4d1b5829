//! Tests clients that have closed their side, and may still read.

use crate::test_app::{Body, Setup, TestApp, id};

fn get(n: u64) -> String {
    format!("GET /task/{} HTTP/1.1\r\nhost: afm\r\n\r\n", id(n))
}

#[test]
fn a_client_that_sends_no_more_is_answered() {
    let (app, gate) = Setup::default().start_gated();
    gate.close();
    let mut connection = app.connect();
    connection.post("/task", &Body::task(1).to_string());
    connection.finish_writing();
    gate.wait_until_reached();
    gate.open();
    connection.answer().is_empty();
    connection.wait_until_closed();
    // This client has sent several requests.
    let mut connection = app.connect();
    connection.write([get(1), get(2)].concat());
    connection.finish_writing();
    assert_eq!(connection.answer().json()["task_id"], id(1));
    connection.answer().problem(404);
    connection.wait_until_closed();
}

#[test]
fn a_body_that_ends_too_soon_is_400() {
    let app = TestApp::start();
    let mut connection = app.connect();
    connection.write(
        "POST /task HTTP/1.1\r\nhost: afm\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{",
    );
    connection.finish_writing();
    connection.answer().is_problem(400, "request body: could not be read to its end");
}

#[test]
fn a_poll_that_is_held_ends_with_its_client_whatever_came_after_it() {
    let app = TestApp::start();
    let poll = Body::poll(9).with("max_wait", "300").to_string();
    for (at_once, later) in [("", ""), ("\r\n", ""), ("", "\r\n"), ("\r\n", "\r\n")] {
        let mut connection = app.connect();
        connection.write(format!(
            "POST /tasks HTTP/1.1\r\nhost: afm\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{poll}{at_once}",
            poll.len()
        ));
        app.running.wait_for(1);
        connection.write(later);
        connection.finish_writing();
        app.running.wait_for(0);
    }
}

#[test]
fn what_is_sent_while_a_poll_is_held_is_answered_after_it() {
    let app = TestApp::start();
    app.post_task(Body::task(1).with("task_version", "2"));
    let mut connection = app.hold(&Body::poll(9).with("max_wait", "300"));
    connection.write(get(1));
    connection.write(get(1));
    app.post_task(Body::task(2));
    assert_eq!(connection.answer().json()["tasks"][0]["task_id"], id(2));
    for _ in 0..2 {
        assert_eq!(connection.answer().json()["task_id"], id(1));
    }
    // This is more than is kept while a request is answered.
    let many = 2_000;
    let mut connection = app.hold(&Body::poll(8).with("max_wait", "300"));
    connection.write(get(1).repeat(many));
    app.post_task(Body::task(3));
    assert_eq!(connection.answer().json()["tasks"][0]["task_id"], id(3));
    for _ in 0..many {
        assert_eq!(connection.answer().json()["task_id"], id(1));
    }
}
