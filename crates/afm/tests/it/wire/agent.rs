//! Tests `/tasks`: agents poll.

use std::time::Duration;

use crate::test_app::{Body, Setup, TestApp, id};

#[test]
fn nothing_to_do() {
    let app = TestApp::start();
    let answer = app.post("/tasks", Body::poll(9));
    let return_time = answer.json()["return_time"].clone();
    answer.is_json(&format!(r#"{{"tasks":[],"return_time":{return_time}}}"#));
}

#[test]
fn a_task_is_handed_out_once() {
    let app = TestApp::start();
    app.post_task(Body::task(1).with("task_data", r#"{"time":5}"#));
    let answer = app.post("/tasks", Body::poll(9));
    let return_time = answer.json()["return_time"].clone();
    answer.is_json(&format!(
        r#"{{"tasks":[{{"task_id":"{}","task_type":"wait","task_version":1,"task_data":{{"time":5}},"task_attempt":1}}],"return_time":{return_time}}}"#,
        id(1)
    ));
    for agent in [8, 9] {
        assert_eq!(app.poll(Body::poll(agent)), [] as [String; 0]);
    }
}

#[test]
fn a_task_without_data_is_handed_out_with_an_empty_object() {
    let app = TestApp::start();
    app.post_task(Body::task(1));
    let answer = app.post("/tasks", Body::poll(9)).json();
    assert_eq!(answer["tasks"][0]["task_data"].to_string(), "{}");
}

/// Returns after how long an agent is told to poll again.
#[track_caller]
fn return_time(app: &TestApp, agent: u64) -> Duration {
    let answer = app.post("/tasks", Body::poll(agent)).json();
    let text = answer["return_time"].as_str().expect("a time");
    assert_eq!((text.len(), &text[26..]), (32, "+00:00"), "{text}");
    let time: jiff::Timestamp = text.parse().expect("ISO 8601");
    time.duration_since(app.clock.now()).try_into().expect("not in the past")
}

#[test]
fn the_return_time_is_as_configured_or_up_to_a_tenth_sooner() {
    for (seconds, longest) in [
        (0, 0),
        (60, 60),
        (86_400, 86_400),
        // No calendar goes that far, so the agent is told to poll now.
        (u64::MAX, 0),
    ] {
        let mut setup = Setup::default();
        setup.settings.agent_return_time = Duration::from_secs(seconds);
        let app = setup.start();
        let longest = Duration::from_secs(longest);
        for agent in 0..20 {
            let time = return_time(&app, agent);
            assert!(time >= longest * 9 / 10 && time <= longest, "{time:?} of {longest:?}");
        }
    }
}

#[test]
fn return_times_differ_among_agents_and_stay_the_same_for_each() {
    let app = TestApp::start();
    let first: Vec<Duration> = (0..20).map(|agent| return_time(&app, agent)).collect();
    app.clock.advance(Duration::from_secs(57));
    let second: Vec<Duration> = (0..20).map(|agent| return_time(&app, agent)).collect();
    assert_eq!(first, second);
    let different: std::collections::HashSet<_> = first.iter().collect();
    assert_eq!(different.len(), first.len(), "{first:?}");
}

#[test]
fn oldest_first_also_while_the_clock_stands_still() {
    let app = TestApp::start();
    let order = [5, 3, 9, 1, 7];
    for n in order {
        app.post_task(Body::task(n).with("task_type", format!("\"type {}\"", n % 3)));
    }
    let all = r#"{"type 0":{"version":1},"type 1":{"version":1},"type 2":{"version":1}}"#;
    let mut handed_out = app.poll(Body::poll(99).with("agent_capabilities", all).with("max_tasks", "2"));
    handed_out.extend(app.poll(Body::poll(99).with("agent_capabilities", all)));
    assert_eq!(handed_out, order.map(id));
}

#[test]
fn type_and_version_must_both_match() {
    let app = TestApp::start();
    for (n, task_type, version) in
        [(1, "a", "1"), (2, "a", "2"), (3, "b", "1"), (4, "A", "1"), (5, "", "0"), (6, "a ", "1")]
    {
        let task = Body::task(n).with("task_type", format!("\"{task_type}\"")).with("task_version", version);
        app.post_task(task);
    }
    for (capabilities, tasks) in [
        ("{}", vec![]),
        (r#"{"a":{"version":3},"c":{"version":1}}"#, vec![]),
        (r#"{"b":{"version":2},"a":{"version":2}}"#, vec![id(2)]),
        (r#"{"a":{"version":1,"more":[{}]},"b":{"version":1}}"#, vec![id(1), id(3)]),
        (r#"{"":{"version":0}}"#, vec![id(5)]),
        // The last of a repeated key counts.
        (r#"{"A":{"version":1},"A":{"version":9}}"#, vec![]),
        (r#"{"A":{"version":9},"A":{"version":1}}"#, vec![id(4)]),
    ] {
        let handed_out = app.poll(Body::poll(9).with("agent_capabilities", capabilities));
        assert_eq!(handed_out, tasks, "{capabilities}");
    }
}

#[test]
fn never_more_than_max_tasks() {
    let app = TestApp::start();
    for n in 1..=5 {
        app.post_task(Body::task(n));
    }
    for (max_tasks, tasks) in [
        ("0", vec![]),
        ("-0", vec![]),
        ("1", vec![id(1)]),
        ("2", vec![id(2), id(3)]),
        ("123456789012345678901234567890", vec![id(4), id(5)]),
    ] {
        assert_eq!(app.poll(Body::poll(9).with("max_tasks", max_tasks)), tasks, "{max_tasks}");
    }
}

#[test]
fn good_values() {
    let app = TestApp::start();
    for (field, json) in [
        ("agent_name", r#""""#),
        ("agent_time", r#""2026-11-22T19:23:01.000581+0200""#),
        ("agent_time", r#""""#),
        ("agent_time", r#""yesterday""#),
        ("agent_id", r#""DE305D54-75B4-431B-ADB2-EB6B9E546013""#),
        ("agent_capabilities", "{}"),
        ("agent_location", r#"{"country":"FI","region":"18"}"#),
        ("agent_location", r#"{"country":"ÅÄ","region":"Ö123","latitude":60,"longitude":-24.9e0}"#),
    ] {
        assert_eq!(app.poll(Body::poll(9).with(field, json)), [] as [String; 0]);
    }
}

#[test]
fn bad_values() {
    let app = TestApp::start();
    app.post_task(Body::task(1));
    for (field, bad, problem) in [
        ("protocol", "2", "protocol: 2 is not served, only 1 is"),
        ("protocol", "0", "protocol: 0 is not served, only 1 is"),
        ("protocol", "1.0", "protocol: must be an integer, is 1.0"),
        ("protocol", "\"1\"", "protocol: must be an integer, is \"1\""),
        ("protocol", "true", "protocol: must be an integer, is true"),
        ("agent_id", "\"x\"", "agent_id: must be a UUID of 8-4-4-4-12 hexadecimal digits, is \"x\""),
        ("agent_id", "null", "agent_id: must be a UUID of 8-4-4-4-12 hexadecimal digits, is null"),
        ("agent_name", "null", "agent_name: must be a string, is null"),
        ("agent_name", r#""\u0000""#, "agent_name: must not contain U+0000"),
        ("agent_time", "1335205543", "agent_time: must be a string, is 1335205543"),
        ("agent_capabilities", "[]", "agent_capabilities: must be an object, is an array"),
        ("agent_capabilities", "null", "agent_capabilities: must be an object, is null"),
        ("agent_capabilities", r#"{"a":1}"#, "agent_capabilities.a: must be an object, is 1"),
        ("agent_capabilities", r#"{"a":{}}"#, "agent_capabilities.a.version: is required"),
        (
            "agent_capabilities",
            r#"{"a":{"version":"1"}}"#,
            "agent_capabilities.a.version: must be an integer, is \"1\"",
        ),
        (
            "agent_capabilities",
            r#"{"a":{"version":1.5}}"#,
            "agent_capabilities.a.version: must be an integer, is 1.5",
        ),
        ("max_tasks", "-1", "max_tasks: must be an integer of 0 or more, is -1"),
        ("max_tasks", "1.0", "max_tasks: must be an integer of 0 or more, is 1.0"),
        ("max_tasks", "\"1\"", "max_tasks: must be an integer of 0 or more, is \"1\""),
        ("max_tasks", "null", "max_tasks: must be an integer of 0 or more, is null"),
        ("agent_location", "null", "agent_location: must be an object, is null"),
        ("agent_location", "{}", "agent_location.country: is required"),
        ("agent_location", r#"{"country":"FI"}"#, "agent_location.region: is required"),
        (
            "agent_location",
            r#"{"country":"F","region":"18"}"#,
            "agent_location.country: must be 2 characters long, has 1",
        ),
        (
            "agent_location",
            r#"{"country":"FI","region":"12345"}"#,
            "agent_location.region: must be 2 to 4 characters long, has 5",
        ),
        (
            "agent_location",
            r#"{"country":"FI","region":"18","latitude":"60"}"#,
            "agent_location.latitude: must be a number, is \"60\"",
        ),
        (
            "agent_location",
            r#"{"country":"FI","region":"18","longitude":null}"#,
            "agent_location.longitude: must be a number, is null",
        ),
        (
            "agent_location",
            r#"{"country":"FI","region":"18","city":"Espoo"}"#,
            "agent_location.city: is not a known field; known are country, region, latitude, longitude",
        ),
        (
            "agent_load",
            "1",
            "agent_load: is not a known field; known are protocol, agent_id, agent_name, agent_time, agent_capabilities, max_tasks, agent_location, max_wait, agent_running",
        ),
    ] {
        app.post("/tasks", Body::poll(9).with(field, bad)).is_problem(400, problem);
    }
    // A bad poll neither registers an agent nor takes a task.
    app.get("/status").is_json(r#"{"agents":0,"tasks_waiting":1}"#);
}

#[test]
fn missing_fields() {
    let app = TestApp::start();
    for field in ["protocol", "agent_id", "agent_name", "agent_time", "agent_capabilities", "max_tasks"] {
        let answer = app.post("/tasks", Body::poll(9).without(field));
        answer.is_problem(400, &format!("{field}: is required"));
    }
}

#[test]
fn the_last_poll_says_all_there_is_to_an_agent() {
    let app = TestApp::start();
    app.post_task(Body::task(1));
    app.post_task(Body::task(2).with("task_type", "\"other\""));
    let poll = Body::poll(9).with("max_tasks", "0");
    app.poll(poll.clone().with("agent_capabilities", r#"{"wait":{"version":1},"other":{"version":1}}"#));
    let renamed = poll.with("agent_name", "\"renamed\"").with("max_tasks", "9");
    let handed_out = app.poll(renamed.with("agent_capabilities", r#"{"other":{"version":1}}"#));
    assert_eq!(handed_out, [id(2)]);
    let agents = &app.get("/dashboard/status").json()["agents"];
    assert_eq!(agents.as_array().map(Vec::len), Some(1));
    assert_eq!(agents[0]["agent_name"], "renamed");
}
