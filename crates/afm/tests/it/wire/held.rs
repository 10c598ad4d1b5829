//! Tests requests that are held open: `max_wait` of polls, and what they share with reads.

mod reads;

use std::time::{Duration, Instant};

use super::terms::DUE;
use crate::test_app::{Answer, Body, Connection, Setup, TestApp, eventually, id};

/// This is less than the 15 s after which a request that is held open looks again, and far more than any
/// machine needs.
const AT_ONCE: Duration = Duration::from_secs(10);

/// Returns a poll that waits as long as it may.
fn poll(agent: u64) -> Body {
    Body::poll(agent).with("max_wait", "300").with("max_tasks", "1")
}

fn path(n: u64) -> String {
    format!("/task/{}", id(n))
}

/// Returns the ids in the answer to a poll.
#[track_caller]
fn tasks(answer: &Answer) -> Vec<String> {
    let answer = answer.json();
    let tasks = answer["tasks"].as_array().expect("a list of tasks");
    tasks.iter().map(|task| task["task_id"].as_str().expect("an id").to_owned()).collect()
}

/// Returns the answer, which must come at once.
#[track_caller]
fn at_once(connection: &mut Connection) -> Answer {
    assert!(!connection.is_silent_for(AT_ONCE), "nothing woke it");
    connection.answer()
}

#[test]
fn bad_values() {
    let app = TestApp::start();
    for (bad, shown) in [
        ("-1", "-1"),
        ("300.001", "300.001"),
        ("1e999", "1e999"),
        ("\"5\"", "\"5\""),
        ("null", "null"),
        ("true", "true"),
        ("[]", "an array"),
    ] {
        let answer = app.post("/tasks", Body::poll(9).with("max_wait", bad));
        answer.is_problem(
            400,
            &format!("max_wait: must be a number of seconds from 0 and at most 300, is {shown}"),
        );
    }
    app.get("/status").is_json(r#"{"agents":0,"tasks_waiting":0}"#);
    app.post_task(Body::task(1));
    for bad in ["-1", "300.1", "", "x", "NaN", "inf", "1,5", "%31"] {
        let answer = app.get(&format!("{}?wait={bad}", path(1)));
        answer.is_problem(400, "wait: must be a number of seconds from 0 to 300");
    }
    let answer = app.get(&format!("{}?wait", path(1)));
    answer.is_problem(400, "wait: must be a number of seconds from 0 to 300");
    app.get("/task/1?wait=-1").is_problem(404, "task_id: no task has this id");
}

#[test]
fn values_that_need_no_waiting() {
    let app = TestApp::start();
    for wait in ["0", "-0", "0.0", "0.001"] {
        assert_eq!(app.poll(Body::poll(9).with("max_wait", wait)), [] as [String; 0]);
    }
    // This agent is busy, but alive.
    assert_eq!(app.poll(poll(9).with("max_tasks", "0")), [] as [String; 0]);
    app.post_task(Body::task(1));
    assert_eq!(app.poll(poll(9)), [id(1)]);
    for query in ["?wait=0", "?wait=0.001", "/?wait=0", "?waiting=300"] {
        assert_eq!(app.get(&format!("{}{query}", path(1))).json()["task_state"], "claimed");
    }
    app.get(&format!("{}?wait=300", path(2))).problem(404);
    app.post("/tasks/response", Body::result(1)).is_empty();
    assert_eq!(app.get(&format!("{}/?wait=300", path(1))).json()["task_state"], "completed");
}

#[test]
fn a_poll_is_held_until_a_task_is_posted() {
    let app = TestApp::start();
    let mut agent = app.hold(&poll(9));
    app.post_task(Body::task(1).with("task_type", "\"other\""));
    app.post_task(Body::task(2).with("task_version", "2"));
    app.post_task(Body::task(3));
    assert_eq!(tasks(&at_once(&mut agent)), [id(3)]);
    app.get("/status").is_json(r#"{"agents":1,"tasks_waiting":2}"#);
}

#[test]
fn after_its_time_a_poll_is_answered_without_tasks() {
    let app = TestApp::start();
    let start = Instant::now();
    let answer = app.post("/tasks", poll(9).with("max_wait", "0.3"));
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_eq!(tasks(&answer), [] as [String; 0]);
}

#[test]
fn the_one_that_has_waited_longest_comes_first() {
    let app = TestApp::start();
    let mut agents: Vec<Connection> = [5, 3, 8].map(|agent| app.hold(&poll(agent))).into();
    for (n, agent) in (1..).zip(&mut agents) {
        app.post_task(Body::task(n));
        assert_eq!(tasks(&at_once(agent)), [id(n)]);
    }
}

#[test]
fn many_tasks_at_once_are_shared_out() {
    const AGENTS: u64 = 5;
    let app = TestApp::start();
    let mut agents: Vec<Connection> = (0..AGENTS).map(|agent| app.hold(&poll(1000 + agent))).collect();
    std::thread::scope(|scope| {
        for n in 0..AGENTS {
            let app = &app;
            scope.spawn(move || app.post_task(Body::task(n)));
        }
    });
    let mut handed_out: Vec<String> = agents.iter_mut().flat_map(|agent| tasks(&at_once(agent))).collect();
    handed_out.sort_unstable();
    assert_eq!(handed_out, (0..AGENTS).map(id).collect::<Vec<_>>());
}

#[test]
fn a_filter_passes_over_those_it_does_not_match() {
    let app = TestApp::start();
    let mut first = app.hold(&poll(8));
    let mut second = app.hold(&poll(9).with("agent_location", r#"{"country":"FI","region":"18"}"#));
    app.post_task(Body::task(1).with("agent_filter", r#"{"country":"FI"}"#));
    assert_eq!(tasks(&at_once(&mut second)), [id(1)]);
    app.post_task(Body::task(2));
    assert_eq!(tasks(&at_once(&mut first)), [id(2)]);
}

#[test]
fn tasks_that_wait_again_wake_a_poll_too() {
    let app = TestApp::start();
    let mut sweeper = app.sweeper(DUE);
    app.post_task(Body::task(1).with("task_delay", "60"));
    let mut agent = app.hold(&poll(8));
    app.clock.advance(Duration::from_secs(60));
    assert_eq!(app.sweep(&mut sweeper).settled, 1);
    assert_eq!(tasks(&at_once(&mut agent)), [id(1)]);

    app.post_task(Body::task(2).with("task_timeout", "30").with("task_max_attempts", "2"));
    assert_eq!(app.poll(poll(8)), [id(2)]);
    let mut agent = app.hold(&poll(9));
    app.clock.advance(Duration::from_secs(30));
    assert_eq!(app.sweep(&mut sweeper).settled, 1);
    assert_eq!(at_once(&mut agent).json()["tasks"][0]["task_attempt"], 2);
}

#[test]
fn a_poll_that_hung_up_takes_no_task_along() {
    let app = TestApp::start();
    let gone = app.hold(&poll(8));
    let mut next = app.hold(&poll(9));
    gone.hang_up();
    app.running.wait_for(1);
    app.post_task(Body::task(1));
    assert_eq!(tasks(&at_once(&mut next)), [id(1)]);
}

#[test]
fn a_poll_that_hangs_up_once_it_is_handed_a_task_passes_it_on() {
    let app = TestApp::start();
    let gone = app.hold(&poll(8));
    let mut next = app.hold(&poll(9));
    app.gate.close();
    let mut client = app.connect();
    client.post("/task", &Body::task(1).to_string());
    // The post of the task, and the claim for the first poll, wait at the gate.
    app.gate.wait_until_reached();
    gone.hang_up();
    app.running.wait_for(2);
    app.gate.open();
    client.answer().is_empty();
    let answer = at_once(&mut next);
    assert_eq!(tasks(&answer), [id(1)]);
    assert_eq!(answer.json()["tasks"][0]["task_attempt"], 1, "what nobody got is no attempt");
}

#[test]
fn a_new_poll_of_an_agent_ends_its_older_ones() {
    let app = TestApp::start();
    let mut vanished = app.hold(&poll(9));
    let mut other = app.hold(&poll(8));
    for n in 1..=3 {
        let mut newer = app.hold(&poll(9));
        let answer = at_once(&mut vanished);
        assert_eq!((answer.status, tasks(&answer)), (200, vec![]));
        app.post_task(Body::task(n));
        if n == 1 {
            assert_eq!(tasks(&at_once(&mut other)), [id(n)], "it has waited longest");
            app.post_task(Body::task(10));
            assert_eq!(tasks(&at_once(&mut newer)), [id(10)]);
        } else {
            assert_eq!(tasks(&at_once(&mut newer)), [id(n)]);
        }
        vanished = app.hold(&poll(9));
    }
    // A poll that does not wait also ends an older one.
    assert_eq!(app.poll(Body::poll(9)), [] as [String; 0]);
    assert_eq!(tasks(&at_once(&mut vanished)), [] as [String; 0]);
}

#[test]
fn a_poll_that_is_ended_once_it_is_handed_a_task_passes_it_on() {
    let app = TestApp::start();
    let mut vanished = app.hold(&poll(9));
    app.gate.close();
    let mut client = app.connect();
    client.post("/task", &Body::task(1).to_string());
    // The post of the task, and the claim for the first poll, wait at the gate.
    app.gate.wait_until_reached();
    let mut newer = app.connect();
    newer.post("/tasks", &poll(9).to_string());
    assert_eq!(tasks(&at_once(&mut vanished)), [] as [String; 0]);
    app.gate.open();
    client.answer().is_empty();
    let answer = at_once(&mut newer);
    assert_eq!(tasks(&answer), [id(1)]);
    assert_eq!(answer.json()["tasks"][0]["task_attempt"], 1, "what nobody got is no attempt");
}

#[test]
fn a_poll_that_hangs_up_once_it_is_woken_passes_its_task_on() {
    let app = TestApp::start();
    let mut sweeper = app.sweeper(DUE);
    app.post_task(Body::task(1).with("task_delay", "60"));
    let gone = app.hold(&poll(8));
    let mut next = app.hold(&poll(9));
    app.clock.advance(Duration::from_secs(60));
    app.gate.close();
    std::thread::scope(|scope| {
        let sweep = scope.spawn(|| app.sweep(&mut sweeper));
        app.gate.wait_until_reached();
        // The task is stored, and the claim for the first poll waits at the gate.
        app.gate.let_one_pass();
        assert_eq!(sweep.join().expect("a sweep").settled, 1);
    });
    app.gate.wait_until_reached();
    gone.hang_up();
    app.running.wait_for(1);
    app.gate.open();
    assert_eq!(tasks(&at_once(&mut next)), [id(1)]);
}

#[test]
fn a_task_is_stored_and_handed_over_in_one_transaction() {
    let app = TestApp::start();
    let mut agents = [8, 9].map(|agent| app.hold(&poll(agent)));
    app.gate.close();
    for (n, agent) in (1..).zip(&mut agents) {
        let mut client = app.connect();
        client.post("/task", &Body::task(n).to_string());
        app.gate.wait_until_reached();
        app.gate.let_one_pass();
        client.answer().is_empty();
        assert_eq!(tasks(&at_once(agent)), [id(n)]);
    }
    app.gate.open();
    // Neither of the two has asked for the task that the other one got.
    let polls = [8, 9].map(|agent| app.gate.polls(id(agent).parse().expect("an id")));
    assert_eq!(polls, [2, 2]);
}

#[test]
fn a_task_that_is_posted_twice_is_handed_over_once() {
    let app = TestApp::start();
    app.post_task(Body::task(1));
    assert_eq!(app.poll(poll(8)), [id(1)]);
    let mut agent = app.hold(&poll(9));
    app.post_task(Body::task(1));
    app.post_task(Body::task(2));
    assert_eq!(tasks(&at_once(&mut agent)), [id(2)]);
}

#[test]
fn a_poll_that_has_something_to_tell_is_not_held() {
    let app = TestApp::start();
    app.post_task(Body::task(1));
    app.post_task(Body::task(2).with("task_ttl", "30"));
    assert_eq!(app.poll(poll(9).with("max_tasks", "2")), [1, 2].map(id));
    app.delete(&path(1)).json();
    app.clock.advance(Duration::from_secs(30));
    app.sweep(&mut app.sweeper(DUE));
    let mut agent = app.connect();
    agent.post("/tasks", &poll(9).to_string());
    let mut cancelled = at_once(&mut agent).json()["cancelled"].clone();
    cancelled.as_array_mut().expect("a list").sort_by_key(ToString::to_string);
    assert_eq!(cancelled, serde_json::json!([id(1), id(2)]));
}

#[test]
fn an_agent_whose_poll_is_held_gives_signs_of_life() {
    let mut setup = Setup::default();
    setup.settings.agent_active_threshold = Duration::from_millis(600);
    let app = setup.start();
    let start = Instant::now();
    let _agent = app.hold(&poll(9));
    app.gate.wait_until_polled(id(9).parse().expect("an id"), 4);
    assert!(start.elapsed() < 3 * AT_ONCE, "three looks, 15 s apart");
}

#[test]
fn the_time_that_a_request_asks_for_is_not_cut() {
    let mut setup = Setup::default();
    setup.settings.request_timeout = Duration::from_secs(1);
    let app = setup.start();
    eventually("it is posted", || app.post("/task", Body::task(1).with("task_version", "2")).status == 200);
    let mut agent = app.connect();
    agent.post("/tasks", &poll(9).with("max_wait", "60").to_string());
    let mut read = app.connect();
    read.get(&format!("{}?wait=60", path(1)));
    // This is longer than a request may take that does not ask for more.
    assert!(agent.is_silent_for(Duration::from_millis(1_500)));
    assert!(read.is_silent_for(Duration::from_millis(100)));
    eventually("it is posted", || app.post("/task", Body::task(2)).status == 200);
    assert_eq!(tasks(&at_once(&mut agent)), [id(2)]);
    eventually("it is cancelled", || app.delete(&path(1)).status == 200);
    assert_eq!(at_once(&mut read).json()["task_state"], "cancelled");
}

#[test]
fn what_hangs_beyond_the_time_it_asked_for_is_cut() {
    let mut setup = Setup::default();
    setup.settings.request_timeout = Duration::from_secs(1);
    let app = setup.start();
    app.gate.close();
    let answer = app.post("/tasks", poll(9).with("max_wait", "0.5"));
    answer.is_problem(503, "the request took too long; try again");
}

#[test]
fn when_the_server_stops_what_is_held_is_answered_at_once() {
    let mut app = TestApp::start();
    app.post_task(Body::task(1).with("task_version", "2"));
    let mut agent = app.hold(&poll(9));
    let mut read = app.wait_for(&format!("{}?wait=300", path(1)));
    app.stop.cancel();
    let told = at_once(&mut agent);
    assert_eq!(tasks(&told), [] as [String; 0]);
    assert_eq!(at_once(&mut read).json()["task_state"], "pending");
    agent.wait_until_closed();
    read.wait_until_closed();
    app.wait_until_stopped();
    // Another AFM, or the next one, is there within seconds.
    let told = told.json()["return_time"].as_str().expect("a time").parse::<jiff::Timestamp>();
    let wait = told.expect("a time with a zone").duration_since(app.clock.now());
    assert!((4.5..=5.0).contains(&wait.as_secs_f64()), "{wait:?}");
}
