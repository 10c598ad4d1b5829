mod limits;

use std::io::Write;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::context::Context;
use crate::handlers::{Environment, built_in};
use crate::network::test_server::{TestCa, TestServer, answer, params, path};

/// What the handler makes of a task's data, as the agent would report it.
async fn execute_in(environment: Environment, data: &Value) -> Result<Value, String> {
    let handlers = built_in();
    let handler = handlers.iter().find(|handler| handler.name == "http").unwrap();
    let handler = handler.handler(Arc::new(environment));
    let data = serde_json::value::to_raw_value(data).unwrap();
    let outcome = handler.execute(&data, Context::alone()).await;
    outcome.map(|result| serde_json::from_str(result.get()).unwrap()).map_err(|failure| failure.to_string())
}

async fn execute(data: Value) -> Result<Value, String> {
    execute_in(Environment::default(), &data).await
}

async fn ok(body: &'static str) -> TestServer {
    TestServer::start(move |_| answer("200 OK", &[("Content-Type", "text/plain")], body.as_bytes())).await
}

#[tokio::test]
async fn an_answer_is_measured() {
    let server = ok("all is well").await;
    let result = execute(json!({"url": server.url("/health?x=1#y")})).await.unwrap();
    assert_eq!(result["status"], 200);
    assert_eq!(result["bytes"], 11);
    assert_eq!(result["address"], "127.0.0.1");
    assert_eq!(result["http_version"], "HTTP/1.1");
    assert_eq!(result["content_type"], "text/plain");
    assert_eq!(result["url"], server.url("/health?x=1"));
    assert_eq!((&result["truncated"], &result["redirects"]), (&json!(false), &json!([])));
    for name in ["dns_ms", "connect_ms", "first_byte_ms", "total_ms"] {
        assert!(result[name].as_f64().unwrap() >= 0.0, "{name}: {result}");
    }
    assert!(result.get("tls_ms").is_none() && result.get("certificate_days_left").is_none(), "{result}");
    let request = server.requests().remove(0);
    assert!(request.starts_with("GET /health?x=1 HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("Host: {}\r\n", server.address)), "{request}");
    assert!(request.contains("User-Agent: slamon-agent/"), "{request}");
}

#[tokio::test]
async fn a_request_is_sent_as_asked_for() {
    let server = ok("").await;
    let url = server.url("/").replace("http://", "http://al%40ice:p%3Aw@");
    execute(
        json!({"url": url, "method": "PUT", "body": {"a": [1]}, "headers": {"X-A": "b", "user-agent": "me"}}),
    )
    .await
    .unwrap();
    execute(json!({"url": server.url("/"), "method": "POST", "body": "a=b"})).await.unwrap();
    let requests = server.requests();
    for expected in [
        "PUT / HTTP/1.1\r\n",
        "X-A: b\r\n",
        "User-Agent: me\r\n",
        "Content-Type: application/json\r\n",
        // al@ice:p:w
        "Authorization: Basic YWxAaWNlOnA6dw==\r\n",
        "\r\n\r\n{\"a\":[1]}",
    ] {
        assert!(requests[0].contains(expected), "{expected:?} in {}", requests[0]);
    }
    assert!(requests[1].ends_with("\r\n\r\na=b") && !requests[1].contains("Content-Type"), "{}", requests[1]);
}

#[tokio::test]
async fn what_was_expected_and_is_not_there_is_told() {
    let server = TestServer::start(|request| match path(request) {
        "/500" => answer("500 Internal Server Error", &[], b"no"),
        "/999" => answer("999 Odd", &[], b"no"),
        "/text" => answer("200 OK", &[("Content-Type", "text/html; charset=\"iso-8859-1\"")], b"gr\xfc\xdfe"),
        _ => answer("200 OK", &[], br#"{"status": "up", "load": 0.50, "n": 1, "list": [1, {"a": null}]}"#),
    })
    .await;
    let (failing, text, data) = (server.url("/500"), server.url("/text"), server.url("/json"));
    for good in [
        json!({"url": failing, "expected_status": 500}),
        json!({"url": failing, "expected_status": "5xx"}),
        json!({"url": failing, "expected_status": [200, "500"]}),
        json!({"url": text, "contains": "grüße", "regex": "^gr.*e$"}),
        json!({"url": text, "contains": ["gr", "üß"]}),
        json!({"url": data, "json": {"/status": "up", "/load": 0.5, "/n": 1.0, "/list": [1, {"a": null}]}}),
    ] {
        execute(good.clone()).await.unwrap_or_else(|problem| panic!("{good}: {problem}"));
    }
    for (bad, expected) in [
        (json!({"url": failing}), "expected status 2xx or 3xx, and it was 500 Internal Server Error"),
        (json!({"url": server.url("/999")}), "expected status 2xx or 3xx, and it was 999"),
        (
            json!({"url": data, "expected_status": [201, "4xx"]}),
            "expected status 201 or 4xx, and it was 200 OK",
        ),
        (
            json!({"url": text, "contains": ["gr", "x"]}),
            "expected \"x\" in the body, and it is not there (5 bytes)",
        ),
        (
            json!({"url": text, "regex": "^x"}),
            "expected a match of ^x in the body, and it is not there (5 bytes)",
        ),
        (
            json!({"url": text, "contains": "e", "max_bytes": 2}),
            "expected \"e\" in the body, and it is not in its first 2 bytes",
        ),
        (
            json!({"url": data, "json": {"/status": "down"}}),
            "expected \"down\" at /status of the body, and it was \"up\"",
        ),
        (
            json!({"url": data, "json": {"/list/0": "1"}}),
            "expected \"1\" at /list/0 of the body, and it was 1",
        ),
        (json!({"url": data, "json": {"/x": null}}), "expected null at /x of the body, and there is nothing"),
        (
            json!({"url": text, "json": {"": 1}}),
            "expected JSON in the body, and it is none: expected value at line 1 column 1",
        ),
        (
            json!({"url": data, "json": {"": 1}, "max_bytes": 5}),
            "expected JSON in the body, and it is longer than the 5 bytes that were read",
        ),
    ] {
        let url = bad["url"].as_str().unwrap().to_owned();
        assert_eq!(execute(bad).await, Err(format!("{url}: {expected}")));
    }
}

#[tokio::test]
async fn data_that_does_not_fit_names_its_field() {
    for (member, value, expected) in [
        ("url", json!("nowhere"), "task_data.url: is no URL: relative URL without a base"),
        ("url", json!("ftp://a"), "task_data.url: must begin with http:// or https://"),
        ("method", json!("GET x"), "task_data.method: \"GET x\" is no method that can be sent"),
        ("method", json!("CONNECT"), "task_data.method: \"CONNECT\" is no method that can be sent"),
        ("headers", json!({"a b": ""}), "task_data.headers: \"a b\" is no name of a header"),
        ("headers", json!({"a": "\n"}), "task_data.headers.a: has characters that a header cannot have"),
        (
            "headers",
            json!({"Content-Length": "7"}),
            "task_data.headers.Content-Length: follows from the body, and cannot be given",
        ),
        ("headers", json!({"A": "1", "a": "2"}), "task_data.headers.a: is given twice"),
        (
            "expected_status",
            json!("ok"),
            "task_data.expected_status: \"ok\" is no status: write 200, or \"2xx\", or a list of such",
        ),
        ("expected_status", json!([]), "task_data.expected_status: is empty: no status could be right"),
        ("regex", json!("("), "task_data.regex: is no regular expression: unclosed group"),
        (
            "json",
            json!({"a": 1}),
            "task_data.json: \"a\" is no JSON pointer: it must be empty or begin with \"/\"",
        ),
        ("contains", json!(1), "task_data.contains: must be a text or a list of texts"),
        ("contains", json!(["a", ""]), "task_data.contains: an empty text is in every body"),
        (
            "regex",
            json!("(a{100}){1000}"),
            "task_data.regex: is no regular expression: Compiled regex exceeds size limit of 1048576 bytes.",
        ),
        ("max_redirects", json!(51), "task_data.max_redirects: must be at most 50, and is 51"),
        ("max_bytes", json!(1e9 as u64), "task_data.max_bytes: must be at most 67108864, and is 1000000000"),
        ("ip_version", json!(5), "task_data.ip_version: must be 4 or 6, and is 5"),
        (
            "min_days_left",
            json!(1),
            "task_data.min_days_left: the URL is not https, so there is no certificate",
        ),
        ("expect", json!(1), "task_data.expect: unknown field `expect`, expected one of "),
    ] {
        let mut data = json!({"url": "http://127.0.0.1:1/"});
        data[member] = value;
        let problem = execute(data).await.unwrap_err();
        assert!(problem.starts_with(expected), "{problem}");
    }
}

#[tokio::test]
async fn redirects_are_followed_as_far_as_asked_for() {
    let server = TestServer::start(|request| match path(request) {
        "/loop" => answer("302 Found", &[("Location", "/loop")], b""),
        "/303" => answer("303 See Other", &[("Location", "end#x")], b"moved"),
        "/307" => answer("307 Temporary Redirect", &[("Location", "//127.0.0.1:1/")], b""),
        "/file" => answer("301 Moved", &[("Location", "file:///etc/passwd")], b""),
        "/metadata" => answer("301 Moved", &[("Location", "http://169.254.169.254/latest")], b""),
        "/bad" => answer("301 Moved", &[("Location", "http://[")], b""),
        "/user" => answer("301 Moved", &[("Location", "http://al:hunter2@[/")], b""),
        "/other" => answer("301 Moved", &[("Location", "view-source:http://al:hunter2@a/")], b""),
        _ => answer("200 OK", &[], b"here"),
    })
    .await;
    let result =
        execute(json!({"url": server.url("/303"), "method": "POST", "body": "x", "contains": "here"})).await;
    let result = result.unwrap();
    assert_eq!(result["redirects"], json!([server.url("/end")]));
    assert_eq!(result["url"], server.url("/end"));
    let requests = server.requests();
    assert!(requests[1].starts_with("GET /end ") && requests[1].ends_with("\r\n\r\n"), "{}", requests[1]);
    let result =
        execute(json!({"url": server.url("/303"), "max_redirects": 0, "expected_status": 303})).await;
    assert_eq!(result.unwrap()["bytes"], 5);
    let address = server.address;
    for (path, expected) in [
        (
            "/loop",
            format!("{address} redirects more than 10 times (after a redirect to http://{address}/loop)"),
        ),
        ("/file", format!("{address} redirects to file:///etc/passwd, which is not http:// or https://")),
        ("/bad", format!("{address} redirects to \"http://[\", which is no URL: invalid IPv6 address")),
        ("/user", format!("{address} redirects to \"[/\", which is no URL: invalid IPv6 address")),
        ("/other", format!("{address} redirects to view-source:…, which is not http:// or https://")),
        (
            "/metadata",
            "this agent does not allow tasks to reach 169.254.169.254 (after a redirect to \
             http://169.254.169.254/latest)"
                .to_owned(),
        ),
    ] {
        assert_eq!(execute(json!({"url": server.url(path)})).await, Err(expected));
    }
    let problem = execute(json!({"url": server.url("/307")})).await.unwrap_err();
    assert!(
        problem.starts_with("could not connect to 127.0.0.1:1: connection refused after 0."),
        "{problem}"
    );
    assert!(problem.ends_with(" (after a redirect to http://127.0.0.1:1/)"), "{problem}");
}

#[tokio::test]
async fn what_is_meant_for_one_server_is_not_sent_to_another() {
    let other = ok("").await;
    let to = other.url("/");
    let server = TestServer::start(move |request| match path(request) {
        "/here" => answer("307 Moved", &[("Location", "/there")], b""),
        "/there" => answer("200 OK", &[], b""),
        _ => answer("307 Moved", &[("Location", &to)], b""),
    })
    .await;
    let headers = json!({"Authorization": "Bearer x", "Cookie": "a=b", "X-Other": "y", "Host": "shop"});
    for path in ["/here", "/away"] {
        execute(json!({"url": server.url(path), "headers": headers})).await.unwrap();
    }
    let (same, away) = (server.requests()[1].clone(), other.requests().remove(0));
    for header in ["Authorization: Bearer x\r\n", "Cookie: a=b\r\n", "Host: shop\r\n"] {
        assert!(same.contains(header), "{same}");
        assert!(!away.contains(header), "{away}");
    }
    assert!(away.contains("X-Other: y\r\n"), "{away}");
}

#[tokio::test]
async fn answers_of_all_shapes_are_read() {
    let server = TestServer::start(|request| match path(request) {
        "/1.0" => b"HTTP/1.0 200 OK\r\n\r\nuntil the end".to_vec(),
        "/chunked" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nuntil\r\n8\r\n the end\r\n0\r\nA: b\r\n\r\n"
            .to_vec(),
        "/204" => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        "/304" => b"HTTP/1.1 304 Not Modified\r\nContent-Length: 13\r\n\r\n".to_vec(),
        "/100" => b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\nuntil the end"
            .to_vec(),
        "/reason" => b"HTTP/1.1 200\r\n\r\nuntil the end".to_vec(),
        "/folded" => b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nD : e\r\n\r\nuntil the end".to_vec(),
        _ => b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n".to_vec(),
    })
    .await;
    for path in ["/1.0", "/chunked", "/100", "/reason", "/folded"] {
        let result = execute(json!({"url": server.url(path), "regex": "^until the end$"})).await;
        let result = result.unwrap_or_else(|problem| panic!("{path}: {problem}"));
        assert_eq!(result["bytes"], 13, "{path}");
    }
    for (path, status) in [("/204", 204), ("/304", 304)] {
        let result = execute(json!({"url": server.url(path)})).await.unwrap();
        assert_eq!((&result["status"], &result["bytes"]), (&json!(status), &json!(0)));
    }
    let result = execute(json!({"url": server.url("/"), "method": "HEAD"})).await.unwrap();
    assert_eq!(result["bytes"], 0);
}

#[tokio::test]
async fn servers_that_do_not_answer_as_they_should_are_told() {
    let large = format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "a".repeat(300_000)).into_bytes();
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(300)).into_bytes();
    let server = TestServer::start(move |request| match path(request) {
        "/empty" => Vec::new(),
        "/ssh" => b"SSH-2.0-OpenSSH_9.2p1\r\n".to_vec(),
        "/bad" => b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n".to_vec(),
        "/large" => large.clone(),
        "/many" => many.clone(),
        "/short" => b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nuntil".to_vec(),
        "/chunk" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec(),
        "/gzip" => answer("200 OK", &[("Content-Encoding", "gzip")], b"no gzip, but plain"),
        _ => b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab".to_vec(),
    })
    .await;
    let address = server.address;
    for (path, expected) in [
        ("/empty", "did not answer: it closed the connection"),
        ("/ssh", "did not answer: what it sent is no answer of HTTP/1"),
        ("/bad", "did not answer: what it sent is no answer of HTTP/1"),
        ("/large", "did not answer: the head of its answer has more than 256 KiB"),
        ("/many", "did not answer: the head of its answer has more than 256 KiB"),
        ("/lengths", "did not answer: what it sent is no answer of HTTP/1"),
    ] {
        let problem = execute(json!({"url": server.url(path)})).await.unwrap_err();
        assert!(problem.starts_with(&format!("{address} {expected}")), "{path}: {problem}");
    }
    for (path, expected) in [
        ("/short", "ended after 5 bytes of its body"),
        ("/chunk", "ended after 0 bytes of its body"),
        ("/gzip", "could not be decompressed (gzip): "),
    ] {
        let problem = execute(json!({"url": server.url(path), "compressed": true})).await.unwrap_err();
        assert!(problem.starts_with(&format!("the answer of {address} {expected}")), "{path}: {problem}");
    }
}

#[tokio::test]
async fn compressed_answers_are_read_when_asked_for() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(b"all is well").unwrap();
    let gzip = gzip.finish().unwrap();
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(&vec![b'x'; 20 << 20]).unwrap();
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 1 << 16);
    // "all is well", by the program brotli.
    let brotli = b"\x0b\x05\x80all is well\x03";
    let server = TestServer::start(move |request| match path(request) {
        "/br" => answer("200 OK", &[("Content-Encoding", "br")], brotli),
        "/bomb" => answer("200 OK", &[("Content-Encoding", "gzip")], &bomb),
        "/empty" => answer("200 OK", &[("Content-Encoding", "gzip")], b""),
        _ => answer("200 OK", &[("Content-Encoding", "GZIP")], &gzip),
    })
    .await;
    for path in ["/gzip", "/br"] {
        let data = json!({"url": server.url(path), "compressed": true, "contains": "all is well"});
        execute(data).await.unwrap();
    }
    assert!(server.requests()[0].contains("Accept-Encoding: gzip, br\r\n"), "{}", server.requests()[0]);
    execute(json!({"url": server.url("/empty"), "compressed": true})).await.unwrap();
    let plain = execute(json!({"url": server.url("/gzip"), "contains": "all is well"})).await;
    assert!(plain.is_err());
    let result = execute(json!({"url": server.url("/bomb"), "compressed": true})).await.unwrap();
    assert_eq!(result["truncated"], true);
}

#[tokio::test]
async fn certificates_are_checked_and_measured() {
    let ca = TestCa::new("Test CA");
    let mut wrong = params("127.0.0.1");
    wrong.not_before = rcgen::date_time_ymd(2020, 1, 1);
    wrong.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let say = |_: &str| answer("200 OK", &[], b"safe");
    let (good, expired) = (ca.identity(&params("127.0.0.1")), ca.identity(&wrong));
    let good = TestServer::start_tls(good, say).await;
    let expired = TestServer::start_tls(expired, say).await;
    let environment = || Environment { tls: ca.roots.clone(), ..Environment::default() };
    let result =
        execute_in(environment(), &json!({"url": good.https("/"), "min_days_left": 30})).await.unwrap();
    assert_eq!(result["tls_protocol"], "TLSv1.3");
    assert!(result["certificate_days_left"].as_i64().unwrap() > 365, "{result}");
    assert!(result["tls_ms"].as_f64().unwrap() > 0.0, "{result}");
    let problem = execute_in(environment(), &json!({"url": good.https("/"), "min_days_left": 10_000_000}))
        .await
        .unwrap_err();
    assert!(problem.contains("; expected 10000000 days at least"), "{problem}");
    let address = expired.address;
    let problem = execute_in(environment(), &json!({"url": expired.https("/")})).await.unwrap_err();
    let begin = format!("the certificate of {address} is not valid: it expired on 2021-01-01T00:00:00Z");
    assert!(problem.starts_with(&begin), "{problem}");
    let data = json!({"url": expired.https("/"), "verify": false, "contains": "safe"});
    let result = execute_in(environment(), &data).await.unwrap();
    assert_eq!(result["certificate_problems"].as_array().unwrap().len(), 1, "{result}");
    // Nobody else's authority counts.
    let problem = execute_in(Environment::default(), &json!({"url": good.https("/")})).await.unwrap_err();
    assert!(problem.contains("its issuer (CN=Test CA) leads to no authority"), "{problem}");
}

#[tokio::test]
async fn an_ip_version_can_be_asked_for() {
    let server = TestServer::on("[::1]:0", None, |_| answer("200 OK", &[], b"")).await;
    let url = format!("http://localhost:{}/", server.address.port());
    for data in [json!({"url": server.url("/")}), json!({"url": server.url("/"), "ip_version": 6})] {
        assert_eq!(execute(data).await.unwrap()["address"], "::1");
    }
    let problem = execute(json!({"url": url, "ip_version": 4})).await.unwrap_err();
    assert!(problem.contains("(127.0.0.1): connection refused"), "{problem}");
    let problem = execute(json!({"url": server.url("/"), "ip_version": 4})).await.unwrap_err();
    assert_eq!(problem, "could not find the address of ::1: it has no address of IPv4");
}
