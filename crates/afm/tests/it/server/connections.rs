//! Tests connections that are slow, idle or broken.

use std::time::{Duration, Instant};

use crate::test_app::{Body, Setup, eventually, id};

/// A limit that a test runs into is set to this.
const SHORT: Duration = Duration::from_millis(500);

/// This is less than the 30 s after which hyper by itself gives up on a head, and far more than [`SHORT`].
const SOON: Duration = Duration::from_secs(20);

fn impatient() -> Setup {
    let mut setup = Setup::default();
    setup.limits.idle = SHORT;
    setup
}

#[test]
fn a_connection_that_says_nothing_is_closed() {
    let app = impatient().start();
    let mut connection = app.connect();
    assert!(!connection.is_silent_for(SOON));
    connection.wait_until_closed();
}

#[test]
fn a_kept_connection_that_says_nothing_more_is_closed() {
    let app = impatient().start();
    let mut connection = app.connect();
    connection.write("GET /healthz HTTP/1.1\r\nhost: afm\r\n\r\n");
    assert_eq!(connection.answer().status, 200);
    assert!(!connection.is_silent_for(SOON));
    connection.wait_until_closed();
}

#[test]
fn a_head_that_does_not_come_to_its_end_is_not_waited_for() {
    let app = impatient().start();
    let mut connection = app.connect();
    connection.write("GET /healthz HTTP/1.1\r\nhost: afm\r\n");
    assert!(!connection.is_silent_for(SOON));
    connection.wait_until_closed();
    // A head that comes in small pieces is not waited for either.
    let mut connection = app.connect();
    connection.write("GET /healthz HTTP/1.1\r\n");
    while connection.is_silent_for(SHORT / 50) && connection.try_write("x: y\r\n") {}
    connection.wait_until_closed();
}

#[test]
fn a_request_that_runs_is_not_idle() {
    let (app, gate) = impatient().start_gated();
    gate.close();
    let mut connection = app.connect();
    connection.post("/task", &Body::task(1).to_string());
    gate.wait_until_reached();
    assert!(connection.is_silent_for(2 * SHORT));
    gate.open();
    connection.answer().is_empty();
}

#[test]
fn a_body_that_does_not_come_to_its_end_is_503() {
    let mut setup = Setup::default();
    setup.settings.request_timeout = 2 * SHORT;
    let app = setup.start();
    for body in ["content-length: 100\r\n\r\n{", "transfer-encoding: chunked\r\n\r\n1\r\n{\r\n"] {
        let mut connection = app.connect();
        connection
            .write(format!("POST /task HTTP/1.1\r\nhost: afm\r\ncontent-type: application/json\r\n{body}"));
        let answer = connection.answer();
        answer.is_problem(503, "request body: did not arrive in time");
        assert_eq!(answer.header("connection"), Some("close"), "{answer:?}");
        connection.wait_until_closed();
    }
}

#[test]
fn a_large_body_on_a_slow_line_is_taken() {
    const PIECE: usize = 4 * 1024;
    let mut setup = Setup::default();
    // With this, a body may pause for two seconds at most.
    setup.settings.request_timeout = Duration::from_secs(4);
    let app = setup.start();
    let body = Body::task(1).with("task_data", format!("{{\"x\":\"{}\"}}", "x".repeat(200_000))).to_string();
    let mut connection = app.connect();
    connection.write(format!(
        "POST /task HTTP/1.1\r\nhost: afm\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    ));
    let began = Instant::now();
    for piece in body.as_bytes().chunks(PIECE) {
        assert!(connection.is_silent_for(SHORT / 5));
        connection.write(piece);
    }
    assert!(began.elapsed() > Duration::from_secs(4), "longer than any other request may take");
    connection.answer().is_empty();
}

#[test]
fn a_body_that_comes_in_drops_is_503() {
    let mut setup = Setup::default();
    setup.settings.request_timeout = 4 * SHORT;
    let app = setup.start();
    let mut connection = app.connect();
    connection.write(
        "POST /task HTTP/1.1\r\nhost: afm\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n",
    );
    while connection.is_silent_for(SHORT / 50) && connection.try_write(" ") {}
    connection.answer().is_problem(503, "request body: did not arrive in time");
}

#[test]
fn a_request_that_takes_too_long_is_503_and_does_nothing() {
    let mut setup = Setup::default();
    setup.settings.request_timeout = SHORT;
    let (app, gate) = setup.start_gated();
    // Even this may take too long on a slow machine.
    eventually("it is posted", || app.post("/task", Body::task(1)).status == 200);
    gate.close();
    let answer = app.post("/tasks", Body::poll(8));
    answer.is_try_again();
    answer.is_problem(503, "the request took too long; try again");
    app.get(&format!("/task/{}", id(1))).is_try_again();
    gate.open();
    // The claim that was under way is taken back, which may come after this poll; a poll may also take too
    // long.
    eventually("the task waits again", || app.post("/tasks", Body::poll(9)).body.contains(&id(1)));
}

#[test]
fn whatever_asks_a_database_that_hangs_is_503_in_time() {
    let mut setup = Setup::default();
    setup.settings.request_timeout = SHORT;
    let (app, gate) = setup.start_gated();
    gate.close();
    let task = format!("/task/{}", id(1));
    for answer in [
        app.post("/task", Body::task(1)),
        app.post("/tasks", Body::poll(8)),
        app.post("/tasks", Body::poll(9).with("max_wait", "0.1")),
        app.post("/tasks/response", Body::result(1)),
        app.get(&task),
        app.get(&format!("{task}?wait=0.1")),
        app.delete(&task),
        app.get("/status"),
        app.get("/dashboard/status"),
        app.get("/readyz"),
    ] {
        answer.is_try_again();
        answer.is_problem(503, "the request took too long; try again");
    }
}

#[test]
fn what_waited_for_a_client_that_hung_up_never_happens() {
    let (app, gate) = Setup::default().start_gated();
    gate.close();
    let mut first = app.connect();
    first.post("/task", &Body::task(1).to_string());
    gate.wait_until_reached();
    // This is queued behind the first, and its client has gone.
    let mut second = app.connect();
    second.post("/task", &Body::task(2).to_string());
    app.running.wait_for(2);
    second.reset();
    app.running.wait_for(1);
    gate.open();
    first.answer().is_empty();
    assert_eq!(app.get(&format!("/task/{}", id(2))).status, 404);
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let app = Setup::default().start();
    let mut connection = app.connect();
    let post = |n: u64| {
        let body = Body::task(n).to_string();
        format!(
            "POST /task HTTP/1.1\r\nhost: afm\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let get = |n: u64| format!("GET /task/{} HTTP/1.1\r\nhost: afm\r\n\r\n", id(n));
    connection.write(
        [get(1), post(1), get(1), post(2), get(2), "GET /x HTTP/1.1\r\nhost: afm\r\n\r\n".into()].concat(),
    );
    connection.answer().problem(404);
    connection.answer().is_empty();
    assert_eq!(connection.answer().json()["task_id"], id(1));
    connection.answer().is_empty();
    assert_eq!(connection.answer().json()["task_id"], id(2));
    connection.answer().is_problem(404, "there is no such path");
}

#[test]
fn a_body_that_nobody_reads_does_not_become_the_next_request() {
    let app = Setup::default().start();
    let mut connection = app.connect();
    let smuggled = "GET /status HTTP/1.1\r\nhost: afm\r\n\r\n";
    connection.write(format!(
        "POST /nothing HTTP/1.1\r\nhost: afm\r\ncontent-length: {}\r\n\r\n{smuggled}GET /healthz HTTP/1.1\r\nhost: afm\r\n\r\n",
        smuggled.len()
    ));
    connection.answer().problem(404);
    assert_eq!(connection.answer().body, "ok\n");
}

#[test]
fn what_is_no_http_is_400_and_harms_nobody() {
    let app = Setup::default().start();
    for nonsense in
        ["\0\0\0\0\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET / HTTP/1.1\r\nbad header\r\n\r\n"]
    {
        let mut connection = app.connect();
        connection.write(nonsense);
        assert_eq!(connection.answer_without_body().status, 400, "{nonsense:?}");
    }
    let mut connection = app.connect();
    connection.write(format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(1_000_000)));
    assert_eq!(connection.answer_without_body().status, 431);
    app.connect().hang_up();
    assert_eq!(app.get("/healthz").status, 200);
}

#[test]
fn http_1_0_is_answered_and_closed() {
    let app = Setup::default().start();
    let mut connection = app.connect();
    connection.write("GET /healthz HTTP/1.0\r\n\r\n");
    assert_eq!(connection.answer().body, "ok\n");
    connection.wait_until_closed();
}

#[test]
fn a_client_that_does_not_read_its_answer_is_closed() {
    let mut setup = Setup::default();
    setup.limits.write = SHORT;
    setup.settings.max_content_length = 32 * 1024 * 1024;
    let mut app = setup.start();
    // This is larger than what the kernel keeps for a client that reads nothing.
    let text = format!("{{\"x\":\"{}\"}}", "x".repeat(24 * 1024 * 1024));
    app.post_task(Body::task(1).with("task_data", text));
    let mut connection = app.connect();
    connection.write(format!("GET /task/{} HTTP/1.1\r\nhost: afm\r\n\r\n", id(1)));
    assert!(!connection.is_silent_for(SOON), "the answer begins");
    // The server stops when its last connection has ended, and this one does not end by itself.
    app.stop.cancel();
    app.wait_until_stopped();
}
