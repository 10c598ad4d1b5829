//! Every path, with every method that it has, is tried with every kind of token.

use std::time::Duration;

use slamon_afm::http::access::{AccessSettings, RULES, Rule, Verb};
use slamon_domain::{Right, Role};

use super::{Bearer, start, start_guarded};
use crate::test_app::{Answer, TestApp, id};

/// A request for each path and method, and its rule.
fn requests() -> impl Iterator<Item = (Verb, String, Rule)> {
    RULES.iter().flat_map(|(path, rules)| {
        let path = path
            .replace("{task_id}", &id(1))
            .replace("{agent_id}", &id(1))
            .replace("{test_id}", &id(1))
            .replace("{task_type}", "wait")
            .replace("{task_version}", "1");
        rules.iter().map(move |(verb, rule)| (*verb, path.clone(), *rule))
    })
}

/// Sends a request on a connection of its own, and returns the head of the answer: that of events has no end.
#[track_caller]
fn send(app: &TestApp, verb: Verb, path: &str, authorization: Option<&str>) -> Answer {
    let mut connection = app.connect();
    let authorization = authorization.map_or(String::new(), |value| format!("authorization: {value}\r\n"));
    let (method, length) = (verb.name(), if verb == Verb::Post { 2 } else { 0 });
    let body = if verb == Verb::Post { "{}" } else { "" };
    connection.write(format!(
        "{method} {path} HTTP/1.1\r\nhost: afm\r\ncontent-type: application/json\r\n{authorization}content-length: {length}\r\n\r\n{body}"
    ));
    connection.answer_without_body()
}

#[track_caller]
fn assert_unauthenticated(answer: &Answer) {
    assert_eq!(answer.status, 401, "{answer:?}");
    let challenges = answer.headers.iter().filter(|(name, _)| name == "www-authenticate");
    let challenges: Vec<&str> = challenges.map(|(_, value)| value.as_str()).collect();
    assert_eq!(challenges, ["Bearer realm=\"slamon-afm\"", "Basic realm=\"slamon-afm\", charset=\"UTF-8\""]);
}

/// Whether the request got as far as its handler, whatever that said of it.
fn is_let_in(answer: &Answer) -> bool {
    !matches!(answer.status, 401 | 403 | 405 | 503)
}

#[test]
fn without_a_good_token_nobody_gets_in() {
    let app = start_guarded();
    let now = app.clock.clock().now();
    let expired = app.make_token(Role::Admin, |token| token.expires_at = Some(now));
    let revoked = app.make_token(Role::Admin, |token| token.revoked_at = Some(now));
    let good = app.make_token(Role::Admin, |_| ());
    let unknown = slamon_afm::access::token_text::make().expect("there are random numbers");
    let bad = [
        format!("Bearer {expired}"),
        format!("Bearer {revoked}"),
        format!("Bearer {unknown}"),
        format!("Bearer {}", &good[..good.len() - 1]),
        format!("Bearer {good} ").replace(&good, &good.to_uppercase()),
        "Bearer".to_owned(),
        "Bearer secret".to_owned(),
        "Basic YWdlbnQ6c2VjcmV0".to_owned(),
        format!("Digest {good}"),
        good.clone(),
    ];
    for (verb, path, rule) in requests() {
        let nothing = send(&app, verb, &path, None);
        if rule == Rule::Open {
            assert!(is_let_in(&nothing), "{} {path}: {nothing:?}", verb.name());
            continue;
        }
        assert_unauthenticated(&nothing);
        for authorization in &bad {
            assert_unauthenticated(&send(&app, verb, &path, Some(authorization)));
        }
    }
    let paths = requests().filter(|(.., rule)| *rule == Rule::Open).map(|(_, path, _)| path);
    assert_eq!(
        paths.collect::<Vec<_>>(),
        [
            "/healthz",
            "/readyz",
            "/api/v1/openapi.json",
            "/api/docs",
            "/api/docs.css",
            "/",
            "/dashboard/dashboard.css",
            "/dashboard/dashboard.js",
            "/dashboard/icon.svg",
        ],
        "these are open to everybody"
    );
}

#[test]
fn each_role_does_what_it_may_and_nothing_else() {
    let app = start_guarded();
    for role in Role::ALL {
        let token = app.make_token(role, |_| ());
        let authorization = format!("Bearer {token}");
        for (verb, path, rule) in requests() {
            let answer = send(&app, verb, &path, Some(&authorization));
            let may = match rule {
                Rule::Open => true,
                Rule::Needs(right) => role.has(right),
            };
            if may {
                assert!(is_let_in(&answer), "{role}: {} {path}: {answer:?}", verb.name());
            } else {
                assert_eq!(answer.status, 403, "{role}: {} {path}: {answer:?}", verb.name());
                assert_eq!(answer.header("www-authenticate"), None);
            }
        }
    }
}

#[test]
fn roles_differ_in_what_the_documentation_says() {
    let rights = [
        (Right::Execute, [true, false, false, false, true]),
        (Right::Post, [false, true, false, false, true]),
        (Right::PostByHand, [false, false, false, false, true]),
        (Right::ReadTask, [false, true, true, true, true]),
        (Right::CancelTask, [false, true, false, true, true]),
        (Right::Read, [false, false, true, true, true]),
        (Right::Operate, [false, false, false, true, true]),
    ];
    for (right, wanted) in rights {
        assert_eq!(Role::ALL.map(|role| role.has(right)), wanted, "{right:?}");
    }
}

#[test]
fn a_refusal_says_what_may_not_be_done() {
    let app = start_guarded();
    app.get("/api/v1/tasks").is_problem(401, "a token is required");
    let token = app.make_token(Role::Agent, |_| ());
    let agent = Bearer::new(&app, &token);
    agent.get("/api/v1/tasks").is_problem(403, "a token of the role agent may not read lists and figures");
    app.revoke_all_tokens();
    app.read_tokens();
    agent.get("/api/v1/tasks").is_problem(401, "the token was revoked");
    let now = app.clock.clock().now();
    let token = app.make_token(Role::Viewer, |token| token.expires_at = Some(now + Duration::from_secs(10)));
    let viewer = Bearer::new(&app, &token);
    viewer.get("/api/v1/tasks").json();
    app.clock.advance(Duration::from_secs(10));
    viewer.get("/api/v1/tasks").is_problem(401, "the token has expired");
}

#[test]
fn a_method_that_a_path_does_not_have_is_405_for_everybody() {
    for app in [start_guarded(), TestApp::start()] {
        for (method, path, allowed) in [
            ("PUT", "/task", "POST"),
            ("GET", "/tasks", "POST"),
            ("POST", &*format!("/task/{}", id(1)), "GET,HEAD,DELETE"),
            ("PATCH", "//api/v1/tasks/", "GET,HEAD,POST"),
            ("DELETE", "/", "GET,HEAD"),
        ] {
            let answer = app.send(method, path, &[], "");
            answer.is_problem(405, "the method does not go with this path; see the Allow header");
            assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
        }
    }
}

#[test]
fn shared_reading_lets_everybody_read_and_nothing_else() {
    let app = start(AccessSettings { required: true, shared_read: true });
    for (verb, path, rule) in requests() {
        let answer = send(&app, verb, &path, None);
        let may = match rule {
            Rule::Open => true,
            Rule::Needs(right) => matches!(right, Right::Read | Right::ReadTask),
        };
        assert_eq!(is_let_in(&answer), may, "{} {path}: {answer:?}", verb.name());
    }
    // Who shows a token that is no good learns so.
    let bad = send(&app, Verb::Get, "/status", Some("Bearer slamon_1"));
    assert_unauthenticated(&bad);
}

#[test]
fn where_no_token_is_required_those_that_are_shown_count_all_the_same() {
    let app = TestApp::start();
    let viewer = app.make_token(Role::Viewer, |_| ());
    for (verb, path, rule) in requests() {
        for authorization in [None, Some("Basic dXNlcjpwYXNzd29yZA=="), Some("Bearer of another service")] {
            assert!(is_let_in(&send(&app, verb, &path, authorization)), "{} {path}", verb.name());
        }
        let may = match rule {
            Rule::Open => true,
            Rule::Needs(right) => Role::Viewer.has(right),
        };
        let answer = send(&app, verb, &path, Some(&format!("Bearer {viewer}")));
        assert_eq!(is_let_in(&answer), may, "{} {path}: {answer:?}", verb.name());
        if rule != Rule::Open {
            assert_unauthenticated(&send(&app, verb, &path, Some("Bearer slamon_1")));
        }
    }
}
