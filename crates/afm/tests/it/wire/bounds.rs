//! Tests how much is taken and shown of what clients choose the length of.

use slamon_protocol::Limits;

use crate::test_app::{Body, Setup, TestApp, id};

/// Returns a JSON string of `length` bytes.
fn name(length: usize) -> String {
    format!("\"{}\"", "n".repeat(length))
}

fn offers(number: usize) -> String {
    let offers: Vec<String> = (0..number).map(|n| format!(r#""type {n}":{{"version":1}}"#)).collect();
    format!("{{{}}}", offers.join(","))
}

#[test]
fn names_and_the_number_of_capabilities_are_bounded() {
    let app = TestApp::start();
    app.post("/task", Body::task(1).with("task_type", name(1_024))).is_empty();
    app.poll(Body::poll(1).with("agent_name", name(1_024)).with("agent_capabilities", offers(1_000)));
    let too_long = "must be at most 1024 bytes long, has 1025";
    let answer = app.post("/task", Body::task(2).with("task_type", name(1_025)));
    answer.is_problem(400, &format!("task_type: {too_long}"));
    let filter = format!(r#"{{"agent_name":{}}}"#, name(1_025));
    let answer = app.post("/task", Body::task(2).with("agent_filter", filter));
    answer.is_problem(400, &format!("agent_filter.agent_name: {too_long}"));
    let answer = app.post("/tasks", Body::poll(2).with("agent_name", name(1_025)));
    answer.is_problem(400, &format!("agent_name: {too_long}"));
    let offer = format!(r#"{{{}:{{"version":1}}}}"#, name(1_025));
    let answer = app.post("/tasks", Body::poll(2).with("agent_capabilities", offer));
    answer.is_problem(400, &format!("agent_capabilities: a name {too_long}"));
    let answer = app.post("/tasks", Body::poll(2).with("agent_capabilities", offers(38_000)));
    answer.is_problem(400, "agent_capabilities: must have at most 1000 members, has 38000");
}

#[test]
fn the_bounds_can_be_set() {
    let mut setup = Setup::default();
    setup.settings.limits = Limits { name_bytes: 2_000, capabilities: 2_000 };
    let app = setup.start();
    app.post("/task", Body::task(1).with("task_type", name(2_000))).is_empty();
    app.poll(Body::poll(1).with("agent_name", name(2_000)).with("agent_capabilities", offers(2_000)));
    assert_eq!(app.post("/task", Body::task(2).with("task_type", name(2_001))).status, 400);
    assert_eq!(app.post("/tasks", Body::poll(1).with("agent_name", name(2_001))).status, 400);
    assert_eq!(app.post("/tasks", Body::poll(1).with("agent_capabilities", offers(2_001))).status, 400);
}

#[test]
fn errors_quote_little_of_what_was_wrong() {
    let app = TestApp::start();
    let long = name(900_000);
    let field: &'static str = Box::leak("n".repeat(900_000).into_boxed_str());
    let version = format!(r#"{{{}:{{"version":{long}}}}}"#, name(1_000));
    for (path, body) in [
        ("/task", Body::task(1).with("task_id", &*long)),
        ("/task", Body::task(1).with("task_version", &*long)),
        ("/task", Body::task(1).with("task_ttl", &*long)),
        ("/task", Body::task(1).with("task_priority", "9".repeat(900_000))),
        ("/task", Body::task(1).with("agent_filter", format!("{{{long}:1}}"))),
        ("/task", Body::task(1).with(field, "1")),
        ("/tasks", Body::poll(1).with("agent_id", &*long)),
        ("/tasks", Body::poll(1).with("agent_capabilities", version)),
        ("/tasks", Body::poll(1).with("agent_location", format!("{{\"country\":\"FI\",\"region\":{long}}}"))),
        ("/tasks/response", Body::result(1).with("task_data", &*long)),
        ("/tasks/response", Body::result(1).with(field, "1")),
    ] {
        let answer = app.post(path, body);
        assert!(answer.body.len() < 1_000, "{} bytes", answer.body.len());
        let problem = answer.problem(400);
        for member in ["field", "detail"] {
            let quoted = problem[member].as_str().expect("text").matches(['n', '9']).count();
            assert!(quoted < 210, "{member}: {problem}");
        }
    }
    assert_eq!(app.get(&format!("/task/{}", "n".repeat(5_000))).status, 404);
}

#[test]
fn seconds_of_more_than_64_bits_are_refused() {
    let app = TestApp::start();
    let seconds = "18446744073769.55";
    for field in ["task_ttl", "task_timeout", "task_retry_delay", "task_delay"] {
        assert_eq!(app.post("/task", Body::task(1).with(field, seconds)).status, 400, "{field}");
    }
    assert_eq!(app.post("/tasks", Body::poll(1).with("max_wait", seconds)).status, 400);
    assert_eq!(app.get(&format!("/task/{}?wait={seconds}", id(1))).status, 400);
}
