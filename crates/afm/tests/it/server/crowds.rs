//! Tests more connections than there may be, and more large ones than there is memory for.

use std::time::Duration;

use crate::test_app::{Body, Connection, Setup, TestApp, eventually, id};

const CONNECTIONS: usize = 32;

fn crowded() -> Setup {
    let mut setup = Setup::default();
    setup.limits.connections = CONNECTIONS;
    setup
}

/// Sends the usual requests of a client, each on a connection of its own.
#[track_caller]
fn an_innocent_is_served(app: &TestApp, n: u64) {
    let ask = |path: &str, body: Body| {
        let mut connection = app.connect();
        connection.post(path, &body.to_string());
        connection.answer()
    };
    ask("/task", Body::task(n)).is_empty();
    assert_eq!(ask("/tasks", Body::poll(n)).json()["tasks"][0]["task_id"], id(n));
    ask("/tasks/response", Body::result(n)).is_empty();
}

fn head(length: usize) -> String {
    format!(
        "POST /task HTTP/1.1\r\nhost: afm\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )
}

#[test]
fn the_one_that_is_idle_longest_makes_room() {
    let app = crowded().start();
    let mut connections: Vec<Connection> = Vec::new();
    for _ in 0..2 * CONNECTIONS {
        let mut connection = app.connect();
        connection.get("/healthz");
        assert_eq!(connection.answer().status, 200);
        connections.push(connection);
    }
    connections.remove(0).wait_until_closed();
    let last = connections.last_mut().expect("there are some");
    last.get("/healthz");
    assert_eq!(last.answer().status, 200);
}

#[test]
fn polls_that_are_held_leave_room_for_others() {
    let app = crowded().start();
    let mut held: Vec<Connection> = Vec::new();
    let mut sent_away = 0;
    for n in 0..CONNECTIONS as u64 {
        let mut connection = app.connect();
        connection.post("/tasks", &Body::poll(1_000 + n).with("max_wait", "300").to_string());
        if held.len() >= CONNECTIONS / 2 && !connection.is_silent_for(Duration::from_millis(500)) {
            let answer = connection.answer().json();
            assert_eq!(answer["tasks"], serde_json::json!([]));
            sent_away += 1;
        }
        held.push(connection);
    }
    assert!(sent_away > 0);
    app.post_task(Body::task(1).with("task_version", "2"));
    let read = app.get(&format!("/task/{}?wait=300", id(1))).json();
    assert_eq!(read["task_state"], "pending");
    drop(held);
    // The places that they held are free again.
    app.running.wait_for(0);
    let _agent = app.hold(&Body::poll(9).with("max_wait", "300"));
}

#[test]
fn those_that_do_not_go_on_make_room() {
    for start in ["", "POST /task HTTP/1.1\r\nhost: afm\r\n", &head(1_000)] {
        let app = crowded().start();
        let mut stuck: Vec<Connection> = (0..2 * CONNECTIONS).map(|_| app.connect()).collect();
        for connection in &mut stuck {
            connection.try_write(start);
        }
        // Connections that are stuck have a moment before they are closed.
        eventually("there is room", || app.post("/task", Body::task(1)).status == 200);
        assert_eq!(app.poll(Body::poll(1)), [id(1)]);
        an_innocent_is_served(&app, 2);
    }
}

#[test]
fn a_body_that_makes_room_is_told_so() {
    let app = crowded().start();
    let mut first = app.connect();
    first.write(head(1_000));
    app.running.wait_for(1);
    let mut others: Vec<Connection> = (1..CONNECTIONS).map(|_| app.connect()).collect();
    eventually("it is answered", || {
        others.push(app.connect());
        !first.is_silent_for(Duration::from_millis(10))
    });
    let answer = first.answer();
    answer.is_try_again();
    answer.is_problem(503, "too much is being sent at the same time; try again");
    assert_eq!(answer.header("connection"), Some("close"), "{answer:?}");
    drop(others);
}

#[test]
fn while_all_are_being_answered_others_may_still_read() {
    let (app, gate) = crowded().start_gated();
    gate.close();
    let usual = CONNECTIONS - CONNECTIONS / 16;
    let mut busy: Vec<Connection> = (0..usual).map(|_| app.connect()).collect();
    // These are reads that each ask the store. A post whose body is arriving might have to make room.
    for connection in &mut busy {
        connection.get(&format!("/task/{}", id(1)));
    }
    gate.wait_until_reached_by(usual);
    for path in ["/healthz", "/dashboard/post"] {
        let mut extra = app.connect();
        extra.get(path);
        assert_eq!(extra.answer().status, 200);
    }
    let mut extra = app.connect();
    extra.post("/task", &Body::task(2).to_string());
    let answer = extra.answer();
    answer.is_try_again();
    answer.is_problem(503, "there are too many connections; try again");
    assert_eq!(answer.header("connection"), Some("close"), "{answer:?}");
    gate.open();
    for connection in &mut busy {
        connection.answer().problem(404);
    }
    // The server may not have noticed yet that their answers are written.
    eventually("there is room", || app.post("/task", Body::task(3)).status == 200);
}

#[test]
fn bodies_that_stop_take_a_bounded_share_of_memory() {
    const LARGE: usize = 300_000;
    let mut setup = Setup::default();
    setup.limits.memory = 1_000_000;
    let app = setup.start();
    let mut stalled: Vec<Connection> = (0..10).map(|_| app.connect()).collect();
    for connection in &mut stalled {
        connection.try_write(&format!("{}{}", head(LARGE + 1), "x".repeat(LARGE)));
    }
    an_innocent_is_served(&app, 1);
    // Large bodies are served once those that are stalled have had their time.
    let text = format!("{{\"x\":\"{}\"}}", "x".repeat(LARGE));
    eventually("a large one is taken", || {
        app.post("/task", Body::task(2).with("task_data", text.clone())).status == 200
    });
    let told = stalled.iter_mut().filter_map(|connection| {
        (!connection.is_silent_for(Duration::from_millis(10))).then(|| connection.answer())
    });
    let told: Vec<_> = told.collect();
    assert!(!told.is_empty());
    for answer in told {
        answer.is_try_again();
        answer.is_problem(503, "too much is being sent at the same time; try again");
    }
    // All memory that was taken is given back.
    drop(stalled);
    app.running.wait_for(0);
    for n in 10..20 {
        app.post_task(Body::task(n).with("task_data", text.clone()));
    }
}

#[test]
fn answers_that_nobody_reads_take_a_bounded_share_of_memory() {
    // This is larger than what the kernel keeps for a client that reads nothing.
    const LARGE: usize = 12 * 1024 * 1024;
    let mut setup = Setup::default();
    setup.settings.max_content_length = 2 * LARGE;
    setup.limits.memory = 3 * LARGE;
    let app = setup.start();
    let text = format!("{{\"x\":\"{}\"}}", "x".repeat(LARGE));
    app.post_task(Body::task(1).with("task_version", "2").with("task_data", text));
    let mut unread: Vec<Connection> = (0..6).map(|_| app.connect()).collect();
    for connection in &mut unread {
        connection.get(&format!("/task/{}", id(1)));
        assert!(!connection.is_silent_for(Duration::from_secs(60)), "it is answered");
    }
    an_innocent_is_served(&app, 2);
    eventually("it can be read", || {
        let mut connection = app.connect();
        connection.get(&format!("/task/{}", id(1)));
        connection.answer().status == 200
    });
}

#[test]
fn the_same_lists_are_read_once_for_all_who_ask_at_once() {
    const ASKING: usize = 24;
    let (app, gate) = Setup::default().start_gated();
    app.post_task(Body::task(1));
    gate.close();
    let mut asking: Vec<Connection> = (0..2 * ASKING).map(|_| app.connect()).collect();
    for (n, connection) in asking.iter_mut().enumerate() {
        connection.get(["/dashboard/status", "/status"][n % 2]);
    }
    app.running.wait_for(2 * ASKING);
    gate.wait_until_reached();
    gate.open();
    for (n, connection) in asking.iter_mut().enumerate() {
        let answer = connection.answer().json();
        assert_eq!(answer[["tasks_total", "tasks_waiting"][n % 2]], 1);
    }
    assert!(gate.large_reads() < ASKING, "{} reads", gate.large_reads());
}

#[test]
fn a_large_answer_for_which_there_is_no_memory_is_not_even_read() {
    // This is larger than what the kernel keeps for a client that reads nothing.
    const LARGE: usize = 12 * 1024 * 1024;
    let mut setup = Setup::default();
    setup.settings.max_content_length = 2 * LARGE;
    setup.limits.memory = 3 * LARGE / 2;
    let (app, gate) = setup.start_gated();
    let text = format!("{{\"x\":\"{}\"}}", "x".repeat(LARGE));
    app.post_task(Body::task(1).with("task_version", "2").with("task_data", text));
    let mut unread = app.connect();
    unread.get(&format!("/task/{}", id(1)));
    assert!(!unread.is_silent_for(Duration::from_secs(60)), "it is answered");
    let answers = (0..20).map(|_| app.get(&format!("/task/{}", id(1))).status);
    let read = answers.filter(|status| *status == 200).count();
    // The answer that is not read gives way after a while.
    assert_eq!(gate.large_reads(), 1 + read);
    drop(unread);
}
