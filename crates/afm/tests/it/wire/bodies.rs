//! Tests how request bodies must be sent, and how large they may be.

use crate::test_app::{Body, Setup, TestApp, id};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// The paths that take a body.
const PATHS: [&str; 3] = ["/task", "/tasks", "/tasks/response"];

#[test]
fn media_types_that_are_json() {
    let app = TestApp::start();
    for media_type in [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=\"UTF-8\"",
        "application/json; profile=\"a\"; charset=utf-8",
        "application/json; charset=klingon",
        "application/vnd.slamon+json",
        "application/vnd.slamon+JSON; charset=utf-8",
    ] {
        app.send("POST", "/task", &[("content-type", media_type)], Body::task(1).to_string()).is_empty();
    }
}

#[test]
fn media_types_that_are_not() {
    let app = TestApp::start();
    for media_type in [
        "text/plain",
        "text/json",
        "application/jsonp",
        "application/x-www-form-urlencoded",
        "application/+xml",
        "json",
        "",
    ] {
        for path in PATHS {
            let answer = app.send("POST", path, &[("content-type", media_type)], Body::task(1).to_string());
            answer.is_problem(400, "request body: must be sent as Content-Type: application/json");
        }
    }
}

#[test]
fn no_media_type() {
    let app = TestApp::start();
    for path in PATHS {
        let mut connection = app.connect();
        connection.write(format!("POST {path} HTTP/1.1\r\nhost: afm\r\ncontent-length: 2\r\n\r\n{{}}"));
        let answer = connection.answer();
        answer.is_problem(400, "request body: must be sent as Content-Type: application/json");
    }
}

#[test]
fn other_charsets_are_read() {
    let app = TestApp::start();
    let body = Body::task(1).with("task_type", "\"caf\u{e9}\"").to_string();
    let latin1: Vec<u8> = body.chars().map(|c| u8::try_from(u32::from(c)).expect("Latin-1")).collect();
    let headers = [("content-type", "application/json; charset=ISO-8859-1")];
    app.send("POST", "/task", &headers, &latin1).is_empty();
    assert_eq!(app.get(&format!("/task/{}", id(1))).json()["task_type"], "caf\u{e9}");
    let answer = app.send("POST", "/task", &JSON, &latin1);
    let detail = answer.problem(400)["detail"].to_string();
    assert!(detail.starts_with("\"request body: is not UTF-8: "), "{detail}");
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    let app = TestApp::start();
    app.post("/task", format!("\u{feff}{}", Body::task(1))).is_empty();
}

#[test]
fn bodies_that_are_no_json_object() {
    let app = TestApp::start();
    for path in PATHS {
        for (body, detail) in [
            ("", "request body: must be a JSON object, is empty"),
            (" \r\n", "request body: must be a JSON object, is empty"),
            ("[]", "request body: must be a JSON object, is an array"),
            ("null", "request body: must be a JSON object, is null"),
            ("1", "request body: must be a JSON object, is 1"),
            ("\"{}\"", "request body: must be a JSON object, is \"{}\""),
        ] {
            app.post(path, body).is_problem(400, detail);
        }
        for body in ["{", "{]", "{}{}", "{'a':1}", "{\"a\":NaN}", "{\"a\":01}", "{\"a\":1,}", "task_id=1"] {
            let detail = app.post(path, body).problem(400)["detail"].to_string();
            assert!(detail.starts_with("\"request body: is not valid JSON: "), "{body}: {detail}");
        }
        for body in [b"{\"a\":\"\xff\"}".as_slice(), b"\xff\xfe{\0}\0", b"{\"\xc0\xaf\":1}"] {
            let detail = app.send("POST", path, &JSON, body).problem(400)["detail"].to_string();
            assert!(detail.starts_with("\"request body: is not UTF-8: "), "{detail}");
        }
    }
}

/// Starts an AFM that takes bodies as long as `body`, and no longer.
fn made_for(body: &Body) -> TestApp {
    let mut setup = Setup::default();
    setup.settings.max_content_length = body.to_string().len();
    setup.start()
}

#[test]
fn a_body_may_be_just_as_long_as_the_limit() {
    let body = Body::task(1).with("task_data", r#"{"a":1}"#);
    let app = made_for(&body);
    app.post_task(&body);
    let answer = app.post("/task", body.clone().with("task_data", r#"{"a":12}"#));
    answer.is_problem(413, &format!("request body: is larger than {} bytes", body.to_string().len()));
    assert_eq!(answer.header("connection"), Some("close"), "{answer:?}");
}

#[test]
fn a_length_past_the_limit_is_refused_before_the_body_is_sent() {
    let app = TestApp::start();
    let mut connection = app.connect();
    connection.write(
        "POST /task HTTP/1.1\r\nhost: afm\r\ncontent-type: application/json\r\nexpect: 100-continue\r\ncontent-length: 1048577\r\n\r\n",
    );
    connection.answer().is_problem(413, "request body: is larger than 1048576 bytes");
    connection.wait_until_closed();
}

#[test]
fn a_client_that_asks_first_is_told_to_go_on() {
    let app = TestApp::start();
    let body = Body::task(1).to_string();
    let mut connection = app.connect();
    connection.write(format!(
        "POST /task HTTP/1.1\r\nhost: afm\r\ncontent-type: application/json\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        body.len()
    ));
    assert_eq!(connection.answer_without_body().status, 100);
    connection.write(body);
    connection.answer().is_empty();
}

#[test]
fn whoever_sends_too_much_at_once_still_gets_the_answer() {
    let app = TestApp::start();
    let body = Body::task(1).with("task_data", format!(r#"{{"a":"{}"}}"#, "x".repeat(5_000_000)));
    let mut connection = app.connect();
    for _ in 0..3 {
        connection.post("/task", &body.to_string());
        let answer = connection.answer();
        answer.is_problem(413, "request body: is larger than 1048576 bytes");
        connection.wait_until_closed();
        connection = app.connect();
    }
}

#[test]
fn a_body_that_nobody_wants_does_not_end_the_connection() {
    let app = TestApp::start();
    let mut connection = app.connect();
    for (head, status) in [
        ("POST /nothing HTTP/1.1\r\ncontent-type: application/json", 404),
        ("POST /task HTTP/1.1\r\ncontent-type: text/plain", 400),
        ("PUT /tasks HTTP/1.1", 405),
        ("GET /task/x HTTP/1.1", 404),
    ] {
        // The body comes only when the head has been read.
        connection.write(format!("{head}\r\nhost: afm\r\ncontent-length: 100000\r\n\r\n"));
        app.running.wait_for(1);
        connection.write("x".repeat(100_000));
        connection.answer().problem(status);
        app.running.wait_for(0);
    }
}

#[test]
fn chunked_bodies_are_read_up_to_the_limit() {
    let app = made_for(&Body::task(1));
    let chunked = |body: &str| {
        let chunks: String = body
            .as_bytes()
            .chunks(10)
            .map(|chunk| format!("{:x}\r\n{}\r\n", chunk.len(), String::from_utf8_lossy(chunk)))
            .collect();
        format!(
            "POST /task HTTP/1.1\r\nhost: afm\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
        )
    };
    let body = Body::task(1).to_string();
    let mut connection = app.connect();
    connection.write(chunked(&body));
    connection.answer().is_empty();
    connection.write(chunked(&format!("{body} ")));
    let answer = connection.answer();
    answer.is_problem(413, &format!("request body: is larger than {} bytes", body.len()));
    connection.wait_until_closed();
}

#[test]
fn a_chunked_body_of_nonsense_is_400() {
    let app = TestApp::start();
    let mut connection = app.connect();
    connection.write(
        "POST /task HTTP/1.1\r\nhost: afm\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n",
    );
    connection.answer().is_problem(400, "request body: could not be read to its end");
    connection.wait_until_closed();
}
