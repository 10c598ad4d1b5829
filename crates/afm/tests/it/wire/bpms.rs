//! Tests `/task`: BPMS clients post tasks and read them.

use std::time::Duration;

use crate::test_app::{Body, TestApp, id};

#[test]
fn a_task_is_taken_and_given_back() {
    let app = TestApp::start();
    app.post("/task", Body::task(1).with("task_data", r#"{"time":5}"#)).is_empty();
    app.get(&format!("/task/{}", id(1))).is_json(&format!(
        r#"{{"task_id":"{}","test_id":"{}","task_type":"wait","task_version":1,"task_data":{{"time":5}},"task_state":"pending","task_created":"2026-11-22 19:23:01.621614","task_waiting":{{"code":"no_agent","reason":"no agent offers wait"}}}}"#,
        id(1),
        id(0)
    ));
}

#[test]
fn a_task_without_data_has_none() {
    let app = TestApp::start();
    app.post_task(Body::task(1));
    app.get(&format!("/task/{}", id(1))).is_json(&format!(
        r#"{{"task_id":"{}","test_id":"{}","task_type":"wait","task_version":1,"task_state":"pending","task_created":"2026-11-22 19:23:01.621614","task_waiting":{{"code":"no_agent","reason":"no agent offers wait"}}}}"#,
        id(1),
        id(0)
    ));
}

#[test]
fn a_claimed_task_says_whose_it_is() {
    let app = TestApp::start();
    app.post_task(Body::task(1));
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(app.poll(Body::poll(9)), [id(1)]);
    app.get(&format!("/task/{}", id(1))).is_json(&format!(
        r#"{{"task_id":"{}","test_id":"{}","task_type":"wait","task_version":1,"task_state":"claimed","task_created":"2026-11-22 19:23:01.621614","task_attempt":1,"task_claimed":"2026-11-22 19:23:02.621614","agent_id":"{}","agent_name":"agent 9"}}"#,
        id(1),
        id(0),
        id(9)
    ));
}

#[test]
fn a_completed_task_has_its_result_and_time() {
    let app = TestApp::start();
    app.post_task(Body::task(1));
    app.poll(Body::poll(9));
    app.clock.advance(Duration::from_micros(5_000_001));
    app.post("/tasks/response", Body::result(1).with("task_data", r#"{"status": 200}"#)).is_empty();
    app.get(&format!("/task/{}", id(1))).is_json(&format!(
        r#"{{"task_id":"{}","test_id":"{}","task_type":"wait","task_version":1,"task_completed":"2026-11-22 19:23:06.621615","task_result":{{"status": 200}},"task_state":"completed","task_created":"2026-11-22 19:23:01.621614","task_attempt":1,"task_claimed":"2026-11-22 19:23:01.621614","agent_id":"{}","agent_name":"agent 9"}}"#,
        id(1),
        id(0),
        id(9)
    ));
}

#[test]
fn a_failed_task_has_its_error_and_time() {
    let app = TestApp::start();
    app.post_task(Body::task(1));
    app.poll(Body::poll(9));
    app.clock.advance(Duration::from_micros(378_386));
    app.post("/tasks/response", Body::failure(1, r#""no such host""#)).is_empty();
    app.get(&format!("/task/{}", id(1))).is_json(&format!(
        r#"{{"task_id":"{}","test_id":"{}","task_type":"wait","task_version":1,"task_failed":"2026-11-22 19:23:02.000000","task_error":"no such host","task_state":"failed","task_created":"2026-11-22 19:23:01.621614","task_attempt":1,"task_claimed":"2026-11-22 19:23:01.621614","agent_id":"{}","agent_name":"agent 9"}}"#,
        id(1),
        id(0),
        id(9)
    ));
}

#[test]
fn good_values() {
    let app = TestApp::start();
    for (n, (field, json)) in [
        ("task_type", r#""""#),
        ("task_type", r#""\u00e5 😀 \"quoted\" <b>""#),
        ("task_version", "0"),
        ("task_version", "-1"),
        ("task_version", "9223372036854775807"),
        ("task_version", "-9223372036854775808"),
        ("task_data", "{}"),
        ("task_data", r#"{"a":[null,true,{}]}"#),
        ("test_id", r#""DE305D54-75B4-431B-ADB2-EB6B9E546013""#),
    ]
    .into_iter()
    .enumerate()
    {
        let n = n as u64;
        app.post_task(Body::task(n).with(field, json));
        let task = app.get(&format!("/task/{}", id(n))).json();
        let expected: serde_json::Value = json.to_ascii_lowercase().parse().expect("JSON");
        assert_eq!(task[field], expected);
    }
}

#[test]
fn bad_values() {
    let app = TestApp::start();
    let uuid = "must be a UUID of 8-4-4-4-12 hexadecimal digits, is";
    let good = "de305d54-75b4-431b-adb2-eb6b9e546013";
    for field in ["task_id", "test_id"] {
        for bad in [
            r#""""#.to_owned(),
            "null".to_owned(),
            "1".to_owned(),
            r#""de305d54""#.to_owned(),
            format!("\"{}\"", good.replace('-', "")),
            format!("\"{{{good}}}\""),
            format!("\" {good}\""),
            format!(r#""{good}\n""#),
            format!("\"{}\"", good.replace('d', "g")),
        ] {
            let answer = app.post("/task", Body::task(1).with(field, &bad));
            answer.is_problem(400, &format!("{field}: {uuid} {bad}"));
        }
        let answer = app.post("/task", Body::task(1).with(field, "{}"));
        answer.is_problem(400, &format!("{field}: {uuid} an object"));
    }
    for (field, bad, problem) in [
        ("task_type", "null", "must be a string, is null"),
        ("task_type", "1", "must be a string, is 1"),
        ("task_type", "[]", "must be a string, is an array"),
        ("task_type", r#""a\u0000""#, "must not contain U+0000"),
        ("task_version", "1.0", "must be an integer, is 1.0"),
        ("task_version", r#""1""#, "must be an integer, is \"1\""),
        ("task_version", "true", "must be an integer, is true"),
        ("task_version", "null", "must be an integer, is null"),
        ("task_version", "1e0", "must be an integer, is 1e0"),
        (
            "task_version",
            "9223372036854775808",
            "must be an integer of at most 64 bits, is 9223372036854775808",
        ),
        ("task_data", "null", "must be an object, is null"),
        ("task_data", "[]", "must be an object, is an array"),
        ("task_data", r#""{}""#, "must be an object, is \"{}\""),
        (
            "Task_id",
            "1",
            "is not a known field; known are task_id, test_id, task_type, task_version, task_data, task_ttl, \
             task_timeout, task_max_attempts, task_retry_errors, task_retry_delay, task_priority, task_delay, \
             agent_filter",
        ),
    ] {
        let answer = app.post("/task", Body::task(1).with(field, bad));
        answer.is_problem(400, &format!("{field}: {problem}"));
    }
    app.get(&format!("/task/{}", id(1))).problem(404);
}

#[test]
fn missing_fields() {
    let app = TestApp::start();
    for field in ["task_id", "test_id", "task_type", "task_version"] {
        let answer = app.post("/task", Body::task(1).without(field));
        answer.is_problem(400, &format!("{field}: is required"));
    }
}

#[test]
fn the_same_task_again_changes_nothing() {
    let app = TestApp::start();
    let task = Body::task(1).with("task_data", r#"{"a":1}"#);
    app.post_task(&task);
    app.post_task(&task);
    app.post_task(task.clone().with("task_data", "{ \"\\u0061\" : 1 }"));
    app.post_task(task.clone().with("task_id", format!("\"{}\"", id(1).to_uppercase())));
    assert_eq!(app.poll(Body::poll(9)), [id(1)]);
    // The same post is repeated after the task has moved on.
    app.post_task(&task);
    app.post("/tasks/response", Body::result(1)).is_empty();
    app.post_task(&task);
    assert_eq!(app.poll(Body::poll(9)), [] as [String; 0]);
}

#[test]
fn an_id_is_taken_by_a_task_that_differs() {
    let app = TestApp::start();
    let task = Body::task(1).with("task_data", r#"{"a":1}"#);
    app.post_task(&task);
    for (field, json) in [
        ("test_id", format!("\"{}\"", id(7))),
        ("task_type", "\"other\"".to_owned()),
        ("task_version", "2".to_owned()),
        ("task_data", r#"{"a":1.0}"#.to_owned()),
        ("task_data", "{}".to_owned()),
    ] {
        let answer = app.post("/task", task.clone().with(field, json));
        answer.is_problem(400, &format!("task_id: is taken by a task that differs in {field}"));
    }
    let answer = app.post("/task", task.clone().without("task_data"));
    answer.is_problem(400, "task_id: is taken by a task that differs in task_data");
    assert_eq!(app.get(&format!("/task/{}", id(1))).json()["task_data"].to_string(), r#"{"a":1}"#);
}

#[test]
fn ids_of_any_case_are_one() {
    let app = TestApp::start();
    let upper = id(1).to_uppercase();
    app.post_task(Body::task(1).with("task_id", format!("\"{upper}\"")));
    for asked in [id(1), upper.clone(), format!("dE305D{}", &id(1)[6..])] {
        assert_eq!(app.get(&format!("/task/{asked}")).json()["task_id"], id(1));
    }
    assert_eq!(app.poll(Body::poll(9)), [id(1)]);
    app.post("/tasks/response", Body::result(1).with("task_id", format!("\"{upper}\""))).is_empty();
}

#[test]
fn whatever_is_no_known_id_is_404() {
    let app = TestApp::start();
    app.post_task(Body::task(1));
    let known = id(1);
    for asked in [
        id(2),
        "1".to_owned(),
        "response".to_owned(),
        "%20".to_owned(),
        "%00".to_owned(),
        "%FF".to_owned(),
        "%F0%9F%98%80".to_owned(),
        "%".to_owned(),
        format!("{known}%0A"),
        format!("%20{known}"),
        format!("{known}0"),
        format!("%7B{known}%7D"),
        known.replace('-', ""),
        format!("urn:uuid:{known}"),
        format!("{known}%2F"),
        "x".repeat(10_000),
    ] {
        for slash in ["", "/"] {
            let answer = app.get(&format!("/task/{asked}{slash}"));
            answer.is_problem(404, "task_id: no task has this id");
        }
    }
    // A percent-encoded id is the same id.
    assert_eq!(app.get(&format!("/task/%64{}", &known[1..])).json()["task_id"], known);
}
