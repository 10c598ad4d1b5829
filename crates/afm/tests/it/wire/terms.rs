//! Tests the terms of tasks in `POST /task`.

use std::time::Duration;

use slamon_afm::maintenance::sweeper::SweepPolicy;

use crate::test_app::{Body, TestApp, id};

const NOTHING: [String; 0] = [];

/// A policy with expired tasks and timeouts only.
pub(super) const DUE: SweepPolicy = SweepPolicy { lost_after: None, forget_after: None, delete_after: None };

#[test]
fn bad_values() {
    let app = TestApp::start();
    let year = "at most 31536000, is";
    for (field, problem, bad) in [
        ("task_ttl", "must be a number of seconds above 0 and", ["0", "-1", "31536000.001", "true"]),
        ("task_timeout", "must be a number of seconds above 0 and", ["0.0", "-0.5", "1e8", "\"30\""]),
        ("task_retry_delay", "must be a number of seconds from 0 and", ["-1", "1e999", "null", "\"\""]),
        ("task_delay", "must be a number of seconds from 0 and", ["-0.1", "31536001", "false", "\"0\""]),
    ] {
        for bad in bad {
            let answer = app.post("/task", Body::task(1).with(field, bad));
            answer.is_problem(400, &format!("{field}: {problem} {year} {bad}"));
        }
    }
    for (field, bad, problem) in [
        ("task_ttl", "[]", "must be a number of seconds above 0 and at most 31536000, is an array"),
        ("task_max_attempts", "0", "must be an integer from 1 to 20, is 0"),
        ("task_max_attempts", "21", "must be an integer from 1 to 20, is 21"),
        ("task_max_attempts", "2.0", "must be an integer from 1 to 20, is 2.0"),
        ("task_max_attempts", "null", "must be an integer from 1 to 20, is null"),
        ("task_max_attempts", "\"2\"", "must be an integer from 1 to 20, is \"2\""),
        ("task_retry_errors", "1", "must be true or false, is 1"),
        ("task_retry_errors", "\"true\"", "must be true or false, is \"true\""),
        ("task_retry_errors", "null", "must be true or false, is null"),
        ("task_priority", "101", "must be an integer from -100 to 100, is 101"),
        ("task_priority", "-101", "must be an integer from -100 to 100, is -101"),
        ("task_priority", "0.5", "must be an integer from -100 to 100, is 0.5"),
        (
            "task_priority",
            "123456789012345678901234567890",
            "must be an integer from -100 to 100, is 123456789012345678901234567890",
        ),
        ("agent_filter", "null", "must be an object, is null"),
        ("agent_filter", "[]", "must be an object, is an array"),
        ("agent_filter", "\"FI\"", "must be an object, is \"FI\""),
    ] {
        let answer = app.post("/task", Body::task(1).with(field, bad));
        answer.is_problem(400, &format!("{field}: {problem}"));
    }
    app.get(&format!("/task/{}", id(1))).problem(404);
}

#[test]
fn bad_members_of_the_filter() {
    let app = TestApp::start();
    for (member, bad, problem) in [
        ("country", "358", "must be a string, is 358"),
        ("country", "null", "must be a string, is null"),
        // Agents have no other.
        ("country", "\"Finland\"", "must be 2 characters long, has 7"),
        ("country", "\"\"", "must be 2 characters long, has 0"),
        ("region", "18", "must be a string, is 18"),
        ("region", "\"Ö\"", "must be 2 to 4 characters long, has 1"),
        ("region", "\"18000\"", "must be 2 to 4 characters long, has 5"),
        ("region", r#""\u0000""#, "must not contain U+0000"),
        ("agent_name", "[]", "must be a string, is an array"),
        ("agent_id", "\"1\"", "must be a UUID of 8-4-4-4-12 hexadecimal digits, is \"1\""),
        ("agent_id", "null", "must be a UUID of 8-4-4-4-12 hexadecimal digits, is null"),
        ("city", "\"Espoo\"", "is not a known field; known are country, region, agent_id, agent_name"),
        ("Country", "\"FI\"", "is not a known field; known are country, region, agent_id, agent_name"),
    ] {
        let answer =
            app.post("/task", Body::task(1).with("agent_filter", format!(r#"{{"{member}":{bad}}}"#)));
        answer.is_problem(400, &format!("agent_filter.{member}: {problem}"));
    }
    app.get(&format!("/task/{}", id(1))).problem(404);
}

#[test]
fn values_at_their_bounds() {
    let app = TestApp::start();
    let values = [
        ("task_ttl", "31536000"),
        ("task_ttl", "0.000001"),
        ("task_timeout", "3.1536e7"),
        ("task_max_attempts", "1"),
        ("task_max_attempts", "20"),
        ("task_retry_errors", "false"),
        ("task_retry_delay", "0"),
        ("task_retry_delay", "31536000.0"),
        ("task_priority", "-100"),
        ("task_priority", "100"),
        ("task_delay", "0"),
        ("task_delay", "31536000"),
        ("agent_filter", "{}"),
        ("agent_filter", r#"{"country":"ÅÄ","region":"日本語1","agent_name":""}"#),
    ];
    for (n, (field, json)) in (1..).zip(values) {
        app.post_task(Body::task(n).with(field, json));
    }
}

#[test]
fn terms_are_part_of_what_makes_a_post_a_repeat() {
    let app = TestApp::start();
    let task = Body::task(1).with("task_ttl", "30").with("task_priority", "7");
    app.post_task(&task);
    app.post_task(&task);
    // This is the same task, written differently.
    app.post_task(
        task.clone().with("task_ttl", "3e1").with("task_max_attempts", "1").with("agent_filter", "{}"),
    );
    for (field, other) in [
        ("task_ttl", "31"),
        ("task_timeout", "30"),
        ("task_max_attempts", "2"),
        ("task_retry_errors", "true"),
        ("task_retry_delay", "1"),
        ("task_priority", "0"),
        ("task_delay", "1"),
        ("agent_filter", r#"{"country":"FI"}"#),
    ] {
        let answer = app.post("/task", task.clone().with(field, other));
        answer.is_problem(400, "task_id: is taken by a task that differs in its terms");
    }
}

#[test]
fn higher_priority_first_and_then_older_first() {
    let app = TestApp::start();
    for (n, priority) in [(1, "0"), (2, "-100"), (3, "100"), (4, "1"), (5, "100"), (6, "-1")] {
        app.post_task(Body::task(n).with("task_priority", priority));
    }
    app.post_task(Body::task(7));
    assert_eq!(app.poll(Body::poll(9).with("max_tasks", "3")), [3, 5, 4].map(id));
    assert_eq!(app.poll(Body::poll(9)), [1, 7, 6, 2].map(id));
}

#[test]
fn a_delayed_task_is_not_handed_out_before_its_time() {
    let app = TestApp::start();
    let mut sweeper = app.sweeper(DUE);
    app.post_task(Body::task(1).with("task_delay", "60"));
    let task = app.task(1);
    assert_eq!(task["task_state"], "delayed");
    assert_eq!(task["task_waiting"]["code"], "delayed");
    assert_eq!(task["task_waiting"]["reason"], "delayed until 2026-11-22 19:24:01.621614 UTC");
    app.clock.advance(Duration::from_micros(59_999_999));
    let swept = app.sweep(&mut sweeper);
    assert_eq!(swept.settled, 0);
    assert_eq!(swept.next_due.map(|due| due.duration_since(app.clock.now()).as_micros()), Some(1));
    assert_eq!(app.poll(Body::poll(9)), NOTHING);
    app.clock.advance(Duration::from_micros(1));
    assert_eq!(app.sweep(&mut sweeper).settled, 1);
    assert_eq!(app.task(1)["task_state"], "pending");
    assert_eq!(app.poll(Body::poll(9)), [id(1)]);
}

#[test]
fn a_filter_must_match_in_all_it_names() {
    let app = TestApp::start();
    let filters = [
        r#"{"country":"FI"}"#.to_owned(),
        r#"{"region":"18"}"#.to_owned(),
        format!(r#"{{"agent_id":"{}"}}"#, id(9).to_uppercase()),
        r#"{"agent_name":"agent 9"}"#.to_owned(),
        r#"{"country":"FI","agent_name":"agent 8"}"#.to_owned(),
        format!(r#"{{"country":"SE","region":"18","agent_id":"{}","agent_name":"agent 9"}}"#, id(9)),
        r#"{"country":"fi"}"#.to_owned(),
    ];
    for (n, filter) in (1..).zip(filters) {
        app.post_task(Body::task(n).with("agent_filter", filter));
    }
    assert_eq!(app.poll(Body::poll(7)), NOTHING);
    let at = |agent: u64, country: &str| {
        let location = format!(r#"{{"country":"{country}","region":"18"}}"#);
        app.poll(Body::poll(agent).with("agent_location", location))
    };
    assert_eq!(at(8, "FI"), [1, 2, 5].map(id));
    assert_eq!(at(9, "SE"), [3, 4, 6].map(id));
    assert_eq!(app.task(7)["task_waiting"]["code"], "filter");
}

#[test]
fn an_answer_names_the_deadline_where_there_is_one() {
    let app = TestApp::start();
    app.post_task(Body::task(1));
    app.post_task(Body::task(2).with("task_timeout", "30"));
    app.post_task(Body::task(3).with("task_ttl", "40"));
    app.post_task(Body::task(4).with("task_ttl", "40").with("task_timeout", "30"));
    app.clock.advance(Duration::from_secs(20));
    let answer = app.post("/tasks", Body::poll(9)).json();
    let tasks = answer["tasks"].as_array().expect("a list");
    let deadlines: Vec<_> =
        tasks.iter().map(|task| task.get("task_deadline").and_then(|at| at.as_str())).collect();
    let (ttl, timeout) = ("2026-11-22T19:23:41.621614+00:00", "2026-11-22T19:23:51.621614+00:00");
    assert_eq!(deadlines, [None, Some(timeout), Some(ttl), Some(ttl)]);
    for task in tasks {
        assert_eq!(task["task_attempt"], 1);
    }
}

#[test]
fn a_task_that_nobody_asks_for_expires() {
    let app = TestApp::start();
    let mut sweeper = app.sweeper(DUE);
    app.post_task(
        Body::task(1)
            .with("task_ttl", "30")
            .with("task_type", "\"url_http_status\"")
            .with("task_version", "2"),
    );
    app.clock.advance(Duration::from_micros(29_999_999));
    assert_eq!(app.sweep(&mut sweeper).settled, 0);
    app.clock.advance(Duration::from_micros(1));
    assert_eq!(app.sweep(&mut sweeper).settled, 1);
    let task = app.task(1);
    assert_eq!(task["task_state"], "expired");
    assert_eq!(task["task_failed"], "2026-11-22 19:23:31.621614");
    assert_eq!(
        task["task_error"],
        "Task TTL of 30 s expired: waited 30.0 s, no agent offering url_http_status version 2 polled in that time"
    );
    assert_eq!(task.get("task_waiting"), None);
    assert_eq!(task.get("task_attempt"), None);
}

#[test]
fn an_expired_task_is_not_handed_out_even_before_it_is_swept() {
    let app = TestApp::start();
    app.post_task(Body::task(1).with("task_ttl", "30"));
    app.post_task(Body::task(2));
    app.clock.advance(Duration::from_secs(30));
    assert_eq!(app.poll(Body::poll(9).with("max_tasks", "1")), [id(2)]);
}

#[test]
fn the_error_says_in_which_phase_a_task_expired() {
    let app = TestApp::start();
    let mut sweeper = app.sweeper(DUE);
    let ttl = |n: u64| Body::task(n).with("task_ttl", "0.5");
    app.post_task(ttl(1));
    assert_eq!(app.poll(Body::poll(9).with("agent_name", "\"Helsinki 3\"").with("max_tasks", "1")), [id(1)]);
    app.post_task(ttl(2).with("task_delay", "60"));
    app.post_task(ttl(3).with("agent_filter", r#"{"country":"FI"}"#));
    app.post_task(ttl(4).with("task_version", "2"));
    app.clock.advance(Duration::from_millis(600));
    assert_eq!(app.sweep(&mut sweeper).settled, 4);
    let expired = |n: u64, phase: &str| {
        let task = app.task(n);
        assert_eq!(task["task_state"], "expired");
        assert_eq!(task["task_error"], format!("Task TTL of 0.5 s expired: {phase}"));
    };
    expired(1, &format!("agent \"Helsinki 3\" ({}) had it for 0.6 s, attempt 1 of 1", id(9)));
    expired(2, "it was delayed until 2026-11-22 19:24:01.621614");
    expired(3, "waited 0.6 s, no agent offering wait version 1 matches its agent_filter");
    expired(4, "waited 0.6 s, no agent offering wait version 2 polled in that time, only version 1");
}

#[test]
fn a_result_after_the_ttl_is_late_also_before_a_sweep() {
    let app = TestApp::start();
    app.post_task(Body::task(1).with("task_ttl", "30"));
    assert_eq!(app.poll(Body::poll(9)), [id(1)]);
    app.clock.advance(Duration::from_secs(30));
    app.post("/tasks/response", Body::result(1)).problem(400);
    assert_eq!(app.task(1)["task_state"], "expired");
    assert!(app.attempts(1)[0].1.is_some());
}
