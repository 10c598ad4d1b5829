use serde_json::json;

use super::*;
use crate::handlers::built_in;
use crate::network::test_server::{TestServer, answer, path};

async fn execute(data: Value) -> Result<Value, String> {
    let handler = built_in().into_iter().find(|handler| handler.name == "http_steps").unwrap();
    let handler = handler.handler(Arc::default());
    let data = serde_json::value::to_raw_value(&data).unwrap();
    let outcome = handler.execute(&data, Context::alone()).await;
    outcome.map(|result| serde_json::from_str(result.get()).unwrap()).map_err(|failure| failure.to_string())
}

/// A shop: who has logged in may order, and look up the order.
async fn shop() -> TestServer {
    TestServer::start(|request| {
        let is_known = request.contains("Cookie: session=s-1") && request.contains("X-Token: t=1\r\n");
        match path(request) {
            "/login" if request.ends_with("\r\n\r\npassword=p%26w&user=al+ice") => answer(
                "302 Found",
                &[("Location", "/home"), ("Set-Cookie", "session=s-1; Path=/; HttpOnly")],
                b"",
            ),
            "/home" if request.contains("Cookie: session=s-1") => {
                answer("200 OK", &[], b"<input name=\"token\" value=\"t=1\">")
            }
            "/orders" if is_known && request.ends_with(r#"{"article":7,"note":"for t=1"}"#) => {
                let headers = [("Location", "/orders/42"), ("Set-Cookie", "last=42")];
                answer("201 Created", &headers, br#"{"order": {"id": 42, "state": "new"}}"#)
            }
            "/orders/42?token=t%3D1" if is_known => {
                answer("200 OK", &[], br#"{"id": 42, "state": "accepted"}"#)
            }
            _ => answer("403 Forbidden", &[], b"no"),
        }
    })
    .await
}

fn transaction(server: &TestServer) -> Value {
    json!({
        "variables": {"user": "al ice", "article": 7, "empty": ""},
        "steps": [
            {
                "name": "log in",
                "url": server.url("/login"),
                "method": "POST",
                "form": {"user": "${user}", "password": "p&w"},
                "contains": "token",
                "variables": {"token": {"regex": "value=\"([^\"]+)\""}, "session": {"cookie": "session"}},
            },
            {
                "name": "order",
                "url": server.url("/orders"),
                "method": "POST",
                "headers": {"X-Token": "${token}"},
                "body": {"article": "${article}", "note": "for ${token}"},
                "expected_status": 201,
                "variables": {"order": {"json": "/order/id"}, "place": {"header": "location"}},
            },
            {
                "name": "look up",
                "url": format!("http://{}${{place}}?token=${{token}}", server.address),
                "headers": {"X-Token": "${token}"},
                "json": {"/state": "accepted", "/id": "${order}"},
            },
        ],
        "results": ["order", "place", "session"],
    })
}

#[tokio::test]
async fn a_transaction_carries_what_its_steps_were_given() {
    let server = shop().await;
    let result = execute(transaction(&server)).await.unwrap();
    assert_eq!(result["results"], json!({"order": 42, "place": "/orders/42", "session": "s-1"}));
    let steps = result["steps"].as_array().unwrap();
    let names: Vec<&str> = steps.iter().map(|step| step["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["log in", "order", "look up"]);
    let statuses: Vec<u64> = steps.iter().map(|step| step["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [200, 201, 200]);
    let times: f64 = steps.iter().map(|step| step["total_ms"].as_f64().unwrap()).sum();
    assert!(times > 0.0 && times <= result["total_ms"].as_f64().unwrap(), "{result}");
}

#[tokio::test]
async fn the_first_step_that_fails_is_named() {
    let server = shop().await;
    let address = server.address;
    for (step, member, value, expected) in [
        (
            0,
            "form",
            json!({"user": "mallory"}),
            format!(
                "step \"log in\" (1 of 3): http://{address}/login: expected status 2xx or 3xx, and it was 403 Forbidden"
            ),
        ),
        (
            0,
            "variables",
            json!({"token": {"regex": "nothing=(.)"}}),
            format!(
                "step \"log in\" (1 of 3): http://{address}/home: could not take the variable \"token\": nothing in \
                 the body matches nothing=(.)"
            ),
        ),
        (
            1,
            "variables",
            json!({"order": {"json": "/order/number"}, "place": {"header": "location"}}),
            format!(
                "step \"order\" (2 of 3): http://{address}/orders: could not take the variable \"order\": there is \
                 nothing at \"/order/number\" of the body"
            ),
        ),
        (
            1,
            "contains",
            json!("${empty}"),
            "step \"order\" (2 of 3): contains: an empty text is in every body".to_owned(),
        ),
        (
            2,
            "json",
            json!({"/state": "paid"}),
            format!(
                "step \"look up\" (3 of 3): http://{address}/orders/42?token=t%3D1: expected \"paid\" at /state of \
                 the body, and it was \"accepted\""
            ),
        ),
    ] {
        let mut data = transaction(&server);
        data["results"] = json!([]);
        data["steps"][step][member] = value;
        assert_eq!(execute(data).await, Err(expected));
    }
    let mut data = transaction(&server);
    data["steps"][1]["url"] = json!("http://127.0.0.1:1/");
    let problem = execute(data).await.unwrap_err();
    let begin = "step \"order\" (2 of 3): could not connect to 127.0.0.1:1: connection refused after ";
    assert!(problem.starts_with(begin), "{problem}");
    let mut data = transaction(&server);
    data["steps"][1]["url"] = json!("http://169.254.169.254/");
    assert_eq!(
        execute(data).await.unwrap_err(),
        "step \"order\" (2 of 3): this agent does not allow tasks to reach 169.254.169.254"
    );
}

#[tokio::test]
async fn data_that_does_not_fit_is_told_before_anything_is_sent() {
    let server = shop().await;
    let step = |member: &str, value: Value| {
        let mut data = transaction(&server);
        data["steps"][1][member] = value;
        data
    };
    let whole = |member: &str, value: Value| {
        let mut data = transaction(&server);
        data[member] = value;
        data
    };
    for (data, expected) in [
        (whole("steps", json!([])), "steps: must be from 1 to 100, and are 0"),
        (whole("variables", json!({"1a": 1})), "variables: \"1a\" is no name"),
        (whole("results", json!(["other"])), "results: there is no variable \"other\""),
        (step("name", json!("log in")), "steps[1].name: \"log in\" is the name of a step before"),
        (step("url", json!("nowhere")), "steps[1].url: is no URL: relative URL without a base"),
        (step("url", json!("http://${place}")), "steps[1].url: no step before has a variable \"place\""),
        (step("headers", json!({"A": "${b"})), "steps[1].headers: a variable is named like ${name}"),
        (step("headers", json!({"a b": ""})), "steps[1].headers: \"a b\" is no name of a header"),
        (step("body", json!({"a": ["${b}"]})), "steps[1].body: no step before has a variable \"b\""),
        (step("form", json!({})), "steps[1].form: a request has either a form or another body"),
        (step("contains", json!("${order}")), "steps[1].contains: no step before has a variable \"order\""),
        (step("json", json!({"/a": "${order}"})), "steps[1].json: no step before has a variable \"order\""),
        (step("regex", json!("[")), "steps[1].regex: is no regular expression: unclosed character class"),
        (
            step("variables", json!({"a": {"json": "b"}})),
            "steps[1].variables.a: json: \"b\" is no JSON pointer: it must be empty or begin with \"/\"",
        ),
        (
            step("variables", json!({"a": {"body": "b"}})),
            "steps[1].variables.a: unknown variant `body`, expected one of `json`, `header`, `cookie`, `regex`",
        ),
        (step("expected_status", json!("no")), "steps[1].expected_status: \"no\" is no status"),
        (
            step("variables", json!({"a": {"regex": "a{100}"}, "b": {"regex": "b{100}"}})),
            "max_bytes: must be at most 671088 for a `regex` of this length",
        ),
        (step("wait", json!(1)), "steps[1].wait: unknown field `wait`"),
    ] {
        let problem = execute(data).await.unwrap_err();
        assert!(problem.starts_with(&format!("task_data.{expected}")), "{problem}");
    }
    assert_eq!(server.requests(), Vec::<String>::new());
}

#[tokio::test]
async fn the_time_is_for_all_steps_together() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = shop().await;
    let mut data = transaction(&server);
    data["timeout"] = json!(0.4);
    data["steps"][1]["url"] = json!(format!("http://{}/", listener.local_addr().unwrap()));
    let problem = execute(data).await.unwrap_err();
    assert!(problem.starts_with("step \"order\" (2 of 3): 127.0.0.1:"), "{problem}");
    assert!(problem.contains(" did not answer within 0."), "{problem}");
}

/// The cookies of each request, by its host and path.
fn cookies_sent(server: &TestServer) -> Vec<String> {
    let of = |request: &String| {
        let header = |name: &str| request.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("none");
        let host = header("Host: ").split(':').next().unwrap();
        format!("{host}{} {}", path(request), header("Cookie: "))
    };
    server.requests().iter().map(of).collect()
}

#[tokio::test]
async fn cookies_of_a_step_are_for_the_origin_that_it_names() {
    let server = TestServer::start(|request| {
        let port = request.split_once("Host: ").unwrap().1.split([':', '\r']).nth(1).unwrap();
        let to = |location: String| answer("302 Found", &[("Location", &location)], b"");
        match path(request) {
            "/set" => answer("200 OK", &[("Set-Cookie", "kept=b; Path=/")], b""),
            "/begin" => to("/a".to_owned()),
            "/a" => to(format!("http://localhost:{port}/b")),
            "/b" => to("/b/x".to_owned()),
            "/b/x" => to(format!("http://127.0.0.1:{port}/c")),
            _ => answer("200 OK", &[], b""),
        }
    })
    .await;
    let elsewhere = format!("http://localhost:{}/set", server.address.port());
    let own = json!({"Cookie": "own=1"});
    let data = json!({"steps": [
        {"name": "set", "url": elsewhere},
        {"name": "go", "url": server.url("/begin"), "headers": own},
    ]});
    execute(data).await.unwrap();
    assert_eq!(
        cookies_sent(&server),
        [
            "localhost/set none",
            "127.0.0.1/begin own=1",
            "127.0.0.1/a own=1",
            "localhost/b kept=b",
            "localhost/b/x kept=b",
            "127.0.0.1/c none",
        ]
    );
}

#[tokio::test]
async fn cookies_that_no_longer_match_are_not_sent_on() {
    let server = TestServer::start(|request| match path(request) {
        "/set" => {
            let cookies = [("Set-Cookie", "deep=1; Path=/deep"), ("Set-Cookie", "short=2; Path=/")];
            answer("200 OK", &cookies, b"")
        }
        "/deep" => {
            answer("302 Found", &[("Location", "/end"), ("Set-Cookie", "short=; Path=/; Max-Age=0")], b"")
        }
        _ => answer("200 OK", &[], b""),
    })
    .await;
    let data = json!({"steps": [
        {"name": "set", "url": server.url("/set")},
        {"name": "go", "url": server.url("/deep")},
        {"name": "with one of its own", "url": server.url("/deep"), "headers": {"Cookie": "own=1"}},
    ]});
    execute(data).await.unwrap();
    assert_eq!(
        cookies_sent(&server),
        [
            "127.0.0.1/set none",
            "127.0.0.1/deep deep=1; short=2",
            "127.0.0.1/end none",
            "127.0.0.1/deep own=1; deep=1",
            "127.0.0.1/end own=1",
        ]
    );
}
