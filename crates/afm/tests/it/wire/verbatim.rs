//! Tests that what clients send each other comes through as it was written.

use crate::test_app::{Body, TestApp, id};

const VALUES: [&str; 10] = [
    r#"{"n":123456789012345678901234567890,"negative":-123456789012345678901234567890}"#,
    r#"{"one":1,"float":1.0,"exponent":1E400,"zero":-0,"small":1e-400}"#,
    r#"{"z":1,"a":2,"Z":{"b":1,"a":2}}"#,
    r#"{"emoji":"😀","escaped":"\ud83d\ude00","é":"\u00e9"}"#,
    r#"{"\u0000":"a\u0000b"}"#,
    r#"{"half":"\ud800"}"#,
    r#"{"slash":"\/","quote":"\"","markup":"</script><b>&amp;"}"#,
    "{ \"spaces\" :\t[ 1 ,\r\n 2 ] }",
    r#"{"":[[],{},null,true,false,""]}"#,
    "{\"separators\":\"\u{2028}\u{2029}\u{7f}\u{feff}\"}",
];

#[test]
fn data_and_results() {
    let app = TestApp::start();
    for (n, value) in (0..).zip(VALUES) {
        app.post_task(Body::task(n).with("task_data", value));
        let polled = app.post("/tasks", Body::poll(9));
        assert!(polled.body.contains(&format!(r#""task_data":{value},"task_attempt":1"#)), "{polled:?}");
        app.post("/tasks/response", Body::result(n).with("task_data", value)).is_empty();
        let task = app.get(&format!("/task/{}", id(n)));
        assert!(task.body.contains(&format!(r#","task_data":{value},"#)), "{task:?}");
        assert!(task.body.contains(&format!(r#","task_result":{value},"task_state":"#)), "{task:?}");
    }
}

#[test]
fn errors() {
    let app = TestApp::start();
    let errors =
        [r#""""#, r#""no \u0000 \ud800 😀 \/""#, "\"\u{e9} \\u00e9\"", r#""<script>alert(1)</script>""#];
    for (n, error) in (0..).zip(errors) {
        app.post_task(Body::task(n));
        app.poll(Body::poll(9));
        app.post("/tasks/response", Body::failure(n, error)).is_empty();
        let task = app.get(&format!("/task/{}", id(n)));
        assert!(task.body.contains(&format!(r#","task_error":{error},"task_state":"#)), "{task:?}");
    }
}

#[test]
fn the_last_of_repeated_keys_counts() {
    let app = TestApp::start();
    let last = Body::task(1).with("task_data", r#"{"a":1,"b":1.0,"a":[2]}"#).to_string();
    let repeated = last.replacen(r#""task_version":1"#, r#""task_version":"x","task_version":1"#, 1);
    app.post_task(repeated);
    let polled = app.post("/tasks", Body::poll(9)).json();
    assert_eq!(polled["tasks"][0]["task_version"], 1);
    assert_eq!(polled["tasks"][0]["task_data"].to_string(), r#"{"a":[2],"b":1.0}"#);
}

#[test]
fn nesting_has_an_end() {
    let app = TestApp::start();
    let nested = |depth: usize| format!("{}{}", r#"{"a":"#.repeat(depth - 1) + "{}", "}".repeat(depth - 1));
    app.post_task(Body::task(1).with("task_data", nested(500)));
    let task = app.get(&format!("/task/{}", id(1)));
    assert!(task.body.contains(&nested(500)), "{task:?}");
    let answer = app.post("/task", Body::task(2).with("task_data", nested(501)));
    answer.is_problem(400, "task_data: is nested deeper than 500 levels");
    // This is nested so deep that a recursive parser would run out of stack.
    let answer = app.post("/task", Body::task(2).with("task_data", "[".repeat(400_000)));
    assert_eq!(answer.status, 400, "{answer:?}");
    let answer = app.post("/tasks/response", Body::result(1).with("task_data", nested(501)));
    answer.is_problem(400, "task_data: is nested deeper than 500 levels");
}
