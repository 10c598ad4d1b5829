//! Tests heads that a proxy in front of the server may understand in another way than the server.

use crate::test_app::TestApp;

fn status(app: &TestApp, head: &str) -> u16 {
    let mut connection = app.connect();
    connection.write(format!("{head}\r\n\r\n"));
    let answer = connection.answer_without_body();
    if answer.status == 400 {
        assert_eq!(answer.header("connection"), Some("close"), "{head}: {answer:?}");
    }
    answer.status
}

#[test]
fn a_request_has_one_host() {
    let app = TestApp::start();
    for (head, expected) in [
        ("GET /healthz HTTP/1.1\r\nhost: afm", 200),
        ("GET /healthz HTTP/1.1\r\nHOST: [::1]:8080", 200),
        ("GET /healthz HTTP/1.1\r\nhost:", 200),
        ("GET http://afm/healthz HTTP/1.1\r\nhost: afm", 200),
        ("GET /healthz HTTP/1.0", 200),
        ("GET /healthz HTTP/1.0\r\nhost: afm", 200),
        ("GET /healthz HTTP/1.1", 400),
        ("GET http://afm/healthz HTTP/1.1", 400),
        ("GET /healthz HTTP/1.1\r\nhost: afm\r\nhost: afm", 400),
        ("GET /healthz HTTP/1.0\r\nhost: afm\r\nhost: other", 400),
        ("GET /healthz HTTP/1.1\r\nhost: afm, other", 400),
        ("GET /healthz HTTP/1.1\r\nhost: a/b", 400),
        ("POST /task HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}", 400),
    ] {
        assert_eq!(status(&app, head), expected, "{head}");
    }
}

#[test]
fn a_body_is_at_most_chunked() {
    let app = TestApp::start();
    let chunked = "1\r\n{\r\n1\r\n}\r\n0";
    for (coding, expected) in [
        ("transfer-encoding: chunked", 400),
        ("transfer-encoding: gzip, chunked", 400),
        ("transfer-encoding: gzip\r\ntransfer-encoding: chunked", 400),
        ("transfer-encoding: chunked, chunked", 400),
        ("transfer-encoding: identity, chunked", 400),
        ("transfer-encoding: chunked, gzip", 400),
        ("transfer-encoding: gzip", 400),
        ("transfer-encoding: chunkedx", 400),
        ("content-length: 2\r\ncontent-length: 3", 400),
        ("content-length: +2", 400),
        ("content-length: 2, 3", 400),
    ] {
        // The path takes no body, so that only the head can be wrong.
        let head = format!("POST /nothing HTTP/1.1\r\nhost: afm\r\n{coding}\r\n\r\n{chunked}");
        let expected = if coding == "transfer-encoding: chunked" { 404 } else { expected };
        assert_eq!(status(&app, &head), expected, "{coding}");
    }
    let mut connection = app.connect();
    connection.write(format!(
        "POST /nothing HTTP/1.1\r\nhost: afm\r\ntransfer-encoding: gzip, chunked\r\n\r\n{chunked}\r\n\r\n"
    ));
    let detail = connection.answer().problem(400)["detail"].clone();
    assert_eq!(detail, "request head: Transfer-Encoding may only be chunked");
}

/// What comes after such a request may be part of it, or a request that somebody smuggles in.
#[test]
fn after_a_length_and_chunks_nothing_more_is_read() {
    let app = TestApp::start();
    for lengths in
        ["content-length: 5\r\ntransfer-encoding: chunked", "transfer-encoding: chunked\r\ncontent-length: 5"]
    {
        let mut connection = app.connect();
        connection.write(format!(
            "POST /nothing HTTP/1.1\r\nhost: afm\r\n{lengths}\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nhost: afm\r\n\r\n"
        ));
        let answer = connection.answer();
        assert_eq!(answer.header("connection"), Some("close"), "{answer:?}");
        connection.wait_until_closed();
    }
}

#[test]
fn a_head_may_be_64_kib() {
    let app = TestApp::start();
    let head = |length: usize| format!("GET /healthz HTTP/1.1\r\nhost: afm\r\nx: {}", "y".repeat(length));
    assert_eq!(status(&app, &head(60 * 1024)), 200);
    assert_eq!(status(&app, &head(64 * 1024)), 431);
}
