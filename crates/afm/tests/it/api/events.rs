//! Tests `/api/v1/events`.

use serde_json::json;

use super::event_stream::EventStream;
use crate::test_app::{Body, TestApp, id};

fn change(n: u64, states: &str) -> (String, String) {
    (id(n), states.to_owned())
}

#[test]
fn the_life_of_a_task() {
    let app = TestApp::start();
    let mut stream = EventStream::open(&app, "", None);
    app.post_task(Body::task(1));
    app.poll(Body::poll(9));
    app.post("/tasks/response", Body::result(1)).is_empty();
    let at = "2026-11-22T19:23:01.621614+00:00";
    let (name, data) = stream.next();
    assert_eq!(name, "task");
    assert_eq!(
        data,
        json!({ "task_id": id(1), "test_id": id(0), "task_type": "wait", "task_version": 1, "to": "pending", "at": at })
    );
    assert_eq!(
        stream.next().1,
        json!({
            "task_id": id(1), "test_id": id(0), "task_type": "wait", "task_version": 1,
            "from": "pending", "to": "claimed", "agent_id": id(9), "at": at,
        })
    );
    assert_eq!(stream.change(), change(1, "claimed>completed"));
}

#[test]
fn a_client_that_comes_back_reads_on() {
    let app = TestApp::start();
    let mut stream = EventStream::open(&app, "", None);
    app.post_task(Body::task(1));
    app.post_task(Body::task(2));
    assert_eq!(stream.change(), change(1, ">pending"));
    let last = stream.last_id.clone();
    drop(stream);
    app.post_task(Body::task(3));
    let mut again = EventStream::open(&app, "", Some(&last));
    assert_eq!([again.change(), again.change()], [change(2, ">pending"), change(3, ">pending")]);
    for lost in ["00000000-7", "x", "", "-", "18446744073709551616-1"] {
        let mut stream = EventStream::open(&app, "", Some(lost));
        assert_eq!(stream.next(), ("missed".to_owned(), json!({ "missed": null })), "{lost:?}");
    }
}

#[test]
fn filters_choose_what_is_sent() {
    let app = TestApp::start();
    let queries = [
        format!("?task_id={}", id(2)),
        "?task_type=log%2Fin".to_owned(),
        format!("?agent_id={}", id(9)),
        format!("?test_id={}", id(77)),
    ];
    let mut streams = queries.map(|query| EventStream::open(&app, &query, None));
    app.post_task(Body::task(1));
    app.post_task(Body::task(2));
    app.post_task(Body::task(3).with("task_type", r#""log/in""#));
    app.post_task(Body::task(4).with("test_id", format!("{:?}", id(77))));
    app.poll(Body::poll(9).with("max_tasks", "1"));
    let first = streams.each_mut().map(EventStream::change);
    let expected =
        [change(2, ">pending"), change(3, ">pending"), change(1, "pending>claimed"), change(4, ">pending")];
    assert_eq!(first, expected);
}

#[test]
fn changes_are_counted_for_those_who_want_no_more() {
    let app = TestApp::start();
    let mut all = EventStream::open(&app, "?every=1", None);
    let mut some = EventStream::open(&app, &format!("?every=1&task_id={}", id(2)), None);
    for n in 1..=3 {
        app.post_task(Body::task(n));
    }
    let mut counted = 0;
    while counted < 3 {
        let (name, data) = all.next();
        assert_eq!(name, "changes");
        counted += data["changes"].as_u64().expect("nothing was missed");
    }
    assert_eq!(counted, 3);
    assert_eq!(some.next(), ("changes".to_owned(), json!({ "changes": 1 })));
}

#[test]
fn wrong_filters_are_named() {
    let app = TestApp::start();
    for (query, field) in [
        ("every=0", "every"),
        ("every=1s", "every"),
        ("task_id=7", "task_id"),
        ("agent=x", "agent"),
        ("test_id=&agent_id=-", "agent_id"),
    ] {
        let answer = app.get(&format!("/api/v1/events?{query}"));
        assert_eq!(answer.problem(400)["field"], field, "{query}");
    }
}

#[test]
fn a_client_that_has_closed_its_side_watches_no_more() {
    let app = TestApp::start();
    EventStream::open(&app, "", None).close_and_wait();
    EventStream::open(&app, "?every=1", None).close_and_wait();
    // The connection of an answer that has no body goes on.
    let mut connection = app.connect();
    for _ in 0..2 {
        connection.write("HEAD /api/v1/events HTTP/1.1\r\nhost: afm\r\n\r\n");
        assert_eq!(connection.answer_without_body().status, 200);
    }
    connection.get("/status");
    assert_eq!(connection.answer().status, 200);
}

#[test]
fn a_stream_ends_when_the_server_stops() {
    let mut app = TestApp::start();
    let mut stream = EventStream::open(&app, "", None);
    app.stop.cancel();
    stream.wait_until_ended();
    app.wait_until_stopped();
}
