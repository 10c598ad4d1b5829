//! Tests that answers have the intended headers, and no others.

use crate::test_app::{Body, Setup, TestApp, id};

#[test]
fn the_bytes_of_an_answer() {
    let app = TestApp::start();
    let mut connection = app.connect();
    connection.post("/task", &Body::task(1).to_string());
    let answer = connection.answer();
    let date = answer.header("date").expect("a date").to_owned();
    // Sun, 22 Nov 2026 19:23:01 GMT
    assert_eq!((date.len(), &date[26..]), (29, "GMT"), "{answer:?}");
    assert_eq!(answer.headers, [("content-length".to_owned(), "0".to_owned()), ("date".to_owned(), date)]);
}

#[test]
fn of_every_kind_of_answer() {
    const JSON: [&str; 5] =
        ["cache-control", "content-length", "content-type", "date", "x-content-type-options"];
    let app = TestApp::start();
    app.post_task(Body::task(1));
    let task = format!("/task/{}", id(1));
    for path in [&task, "/status", "/dashboard/status", "/task/1", "/nothing"] {
        let answer = app.get(path);
        assert_eq!(answer.header_names(), JSON, "{answer:?}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    for path in ["/healthz", "/readyz"] {
        let answer = app.get(path);
        assert_eq!(answer.header_names(), ["content-length", "content-type", "date"], "{answer:?}");
    }
    for (path, body) in [("/tasks", Body::poll(9)), ("/tasks", Body::task(1)), ("/task", Body::poll(9))] {
        let answer = app.post(path, body);
        assert_eq!(answer.header_names(), JSON, "{answer:?}");
    }
    for (path, body) in [("/task", Body::task(1)), ("/tasks/response", Body::result(1))] {
        let answer = app.post(path, body);
        assert_eq!(answer.header_names(), ["content-length", "date"], "{answer:?}");
    }
    let answer = app.get("/task");
    assert_eq!(answer.header_names(), [&["allow"], &JSON[..]].concat(), "{answer:?}");
    for page in ["/dashboard", "/dashboard/dashboard.js", "/dashboard/dashboard.css"] {
        let answer = app.get(page);
        let names = [
            "cache-control",
            "content-length",
            "content-security-policy",
            "content-type",
            "date",
            "referrer-policy",
            "x-content-type-options",
            "x-frame-options",
        ];
        assert_eq!(answer.header_names(), names, "{answer:?}");
    }
}

/// google-http-client before 1.39.1, which the Java agent and the jBPM client are built with, reads what names no
/// charset as ISO-8859-1.
#[test]
fn json_says_that_it_is_utf_8() {
    const KINDS: [&str; 2] = ["application/json; charset=utf-8", "application/problem+json; charset=utf-8"];
    let app = TestApp::start();
    app.post_task(Body::task(1).with("task_data", r#"{"ä": "€"}"#));
    let task = format!("/task/{}", id(1));
    for (answer, kind) in [
        (app.get(&task), KINDS[0]),
        (app.get("/status"), KINDS[0]),
        (app.get("/dashboard/status"), KINDS[0]),
        (app.get("/api/v1/tasks"), KINDS[0]),
        (app.post("/tasks", Body::poll(9)), KINDS[0]),
        (app.post("/tasks/response", Body::result(2)), KINDS[1]),
        (app.post("/task", Body::task(2).with("task_id", r#""ä""#)), KINDS[1]),
        (app.get("/nothing"), KINDS[1]),
    ] {
        assert_eq!(answer.header("content-type"), Some(kind), "{answer:?}");
    }
}

#[test]
fn of_answers_that_end_the_connection_or_ask_to_try_again() {
    let mut setup = Setup::default();
    setup.settings.max_content_length = 1;
    let (app, gate) = setup.start_gated();
    let answer = app.post("/task", Body::task(1));
    assert_eq!(answer.status, 413, "{answer:?}");
    let problem = ["cache-control", "content-length", "content-type", "date", "x-content-type-options"];
    let with = |name| {
        let mut names = [&problem[..], &[name]].concat();
        names.sort_unstable();
        names
    };
    assert_eq!(answer.header_names(), with("connection"), "{answer:?}");
    gate.take_database_away();
    let answer = app.get("/readyz");
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.header_names(), with("retry-after"), "{answer:?}");
}

#[test]
fn connections_are_kept_unless_the_client_says_otherwise() {
    let app = TestApp::start();
    let mut connection = app.connect();
    for _ in 0..3 {
        connection.write("GET /healthz HTTP/1.1\r\nhost: afm\r\n\r\n");
        assert_eq!(connection.answer().header("connection"), None);
    }
    connection.write("GET /healthz HTTP/1.1\r\nhost: afm\r\nconnection: close\r\n\r\n");
    assert_eq!(connection.answer().header("connection"), Some("close"));
    connection.wait_until_closed();
}
