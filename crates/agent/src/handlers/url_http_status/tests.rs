mod odd;

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::json;

use super::*;
use crate::network::test_server::{TestCa, TestIdentity, TestServer, answer, params, path};

/// What the Python agent makes of data.
const PYTHON: &str = r"
import json, sys
from slamon_agent.handlers.url_http_status_task_handler import url_http_status_task_handler
for line in sys.stdin:
    try:
        print(json.dumps({'ok': url_http_status_task_handler(json.loads(line))}), flush=True)
    except Exception as error:
        print(json.dumps({'error': str(error)}), flush=True)
";

/// What `requests` makes of a URL before it asks for it.
const PREPARE: &str = r"
import json, sys
from urllib.parse import urlparse
from requests import Request, Session
session = Session()
for line in sys.stdin:
    try:
        prepared = session.prepare_request(Request('GET', json.loads(line)['url']))
        session.get_adapter(prepared.url)
        parsed = urlparse(prepared.url)
        port = parsed.port or {'http': 80, 'https': 443}[parsed.scheme]
        print(json.dumps({'ok': [parsed.scheme, parsed.hostname.lower(), port, prepared.path_url]}), flush=True)
    except Exception as error:
        print(json.dumps({'error': str(error)}), flush=True)
";

async fn by_python(script: &'static str, cases: Vec<Value>, variables: &[(&str, String)]) -> Vec<Value> {
    let variables: Vec<(String, String)> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    // The servers that it asks run beside.
    let asked = tokio::task::spawn_blocking(move || {
        let mut command = Command::new(slamon_testbed::original_agent().unwrap().program("python"));
        for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUESTS_CA_BUNDLE"] {
            command.env_remove(name).env_remove(name.to_uppercase());
        }
        let mut child = command
            .args(["-c", script])
            .envs(variables)
            .env("HOME", "/nonexistent")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let writing = std::thread::spawn(move || {
            for case in cases {
                writeln!(input, "{case}").unwrap();
            }
        });
        let output = child.wait_with_output().unwrap();
        writing.join().unwrap();
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    });
    asked.await.unwrap()
}

async fn by_us(case: &Value, environment: &Environment, variables: &[(&str, String)]) -> Value {
    let data: Data = serde_json::from_value(case.clone()).unwrap();
    let variables: BTreeMap<&str, &String> = variables.iter().map(|(name, value)| (*name, value)).collect();
    let variable = |name: &str| variables.get(name).map(|value| (*value).clone());
    let limit = Timeout::try_from(60.0).unwrap().limit(&Context::alone());
    match status(data.url.as_ref(), environment, &variable, &limit).await {
        Ok(status) => json!({"ok": {"status": status.as_u16()}}),
        Err(error) => json!({ "error": error }),
    }
}

/// Takes out where Python's objects are in memory, and where in its own source an error came from.
fn without_addresses(value: &Value) -> String {
    let places = regex::Regex::new(r"0x[0-9a-f]+|_ssl\.c:\d+").unwrap();
    places.replace_all(&value.to_string(), "SOMEWHERE").into_owned()
}

/// Both do the same with all of these.
async fn compare(cases: Vec<Value>, variables: &[(&str, String)]) {
    let python = by_python(PYTHON, cases.clone(), variables).await;
    assert_eq!(python.len(), cases.len());
    let mut differences = Vec::new();
    for (case, python) in cases.iter().zip(python) {
        let ours = by_us(case, &Environment::default(), variables).await;
        if without_addresses(&ours) != without_addresses(&python) {
            differences.push(format!("{case}\n  Python: {python}\n    ours: {ours}"));
        }
    }
    assert!(differences.is_empty(), "{variables:?}\n{}", differences.join("\n"));
}

fn urls(texts: &[&str]) -> Vec<Value> {
    texts.iter().map(|url| json!({ "url": url })).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_url_is_told_as_by_the_python_agent() {
    let mut cases = vec![json!({}), json!({"URL": "x"})];
    let others =
        [json!(null), json!(1), json!(true), json!(["http://127.0.0.1:1/"]), json!({"a": 1}), json!(1.5)];
    cases.extend(others.into_iter().map(|url| json!({ "url": url })));
    let long = format!("http://{}.invalid/", "a".repeat(70));
    #[rustfmt::skip]
    let texts = [
        "", " ", "x", "example", "/x", "//127.0.0.1/x", "http://", "http:///x", "http:x", "http:/x", "http",
        "https", "httpx://a", "http+unix://a", "ftp://127.0.0.1/x", "file:///etc/passwd", "mailto:a@b",
        "localhost:1", "127.0.0.1:1/x", "data:abc", "a:b", ":", "://x", "ht tp://x", "http:\t//x", "x\ny", "it's",
        "it's \"x\"", "http://[::1", "http://[zz]/", "http://127.0.0.1:99999/", "http://127.0.0.1:-1/",
        "http://127.0.0.1:abc/", "http://127.0.0.1:65536/", "http://*.a/", "http://.a/", "http://a..b.invalid/",
        "http://ü..x/", "http://%zz/", "http://a%2/", "http://a]b/", "http://127.0.0.1:1:2/", "http://[::1]x/", &long,
    ];
    cases.extend(urls(&texts));
    compare(cases, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_reached_is_told_as_by_the_python_agent() {
    #[rustfmt::skip]
    let texts = [
        "http://127.0.0.1:1/", "HTTP://127.0.0.1:1/a b?c d=é#f", "  http://127.0.0.1:1/  ", "http://127.0.0.1:1",
        "https://127.0.0.1:1/x", "http://localhost:1/x", "http://u:p@127.0.0.1:1/x", "http://[::1]:1/x",
        "http://127.0.0.1:000001/", "http://127.0.0.1:1/\0", "http://127.0.0.1:1/%", "http://127.0.0.1:1/%zz%41%2f",
        "http://127.0.0.1:1/%41%2f%7e", "http://127.0.0.1:1/a/../b/./c", "http://127.0.0.1:1/..",
        "http://127.0.0.1:1/a/..", "http://127.0.0.1:1/?", "http://127.0.0.1:1?x", "http://127.0.0.1:1#x",
        "http://127.0.0.1:1\\x", "http://@127.0.0.1:1/", "http://a@b@127.0.0.1:1/", "http://127.1:1/",
        "http://2130706433:1/", "http://LOCALHOST:1/", "http://127.0.0.1:1/'\"<>[]{}|^`~!$&()*+,;=",
        "http://127.0.0.1:1/é€?é", "http://127.0.0.1:1/a//b///c", "http://nowhere.invalid/",
        "https://nowhere.invalid/", "http://nowhere.invalid:8080/x?y", "http://a b/", "http://münchen.invalid/",
        "http://xn--/",
    ];
    compare(urls(&texts), &[]).await;
}

/// Texts that are nearly URLs, always the same.
fn near_urls(count: usize) -> Vec<String> {
    #[rustfmt::skip]
    let parts = [
        "http", "https", "://", ":", "/", "//", "a", "b.c", "127.0.0.1", "[::1]", "[", "]", "@", "u:p@", "?", "#", "%",
        "%41", "%2f", "%zz", "..", ".", "/../", "/./", " ", "\t", "ü", "€", "\\", "'", "\"", ":80", ":0", ":00081", ":99999",
        "&", "=", "+", "~", "|", "*", "_", "-", "A",
    ];
    let mut state = 7_u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut text = || {
        let begin = ["http://", "https://a", "http://b.c/", "http://127.0.0.1:8080/", "", "HTTP:"][next(6)];
        let length = next(8);
        (0..length).fold(begin.to_owned(), |text, _| text + parts[next(parts.len())])
    };
    (0..count).map(|_| text()).collect()
}

/// Has `requests` and this agent take the same URLs apart.
async fn are_taken_apart_alike(texts: &[String]) {
    let cases = texts.iter().map(|text| json!({ "url": text })).collect();
    let python = by_python(PREPARE, cases, &[]).await;
    assert_eq!(python.len(), texts.len());
    let mut differences = Vec::new();
    for (text, python) in texts.iter().zip(python) {
        let ours = match url::prepare(text) {
            Ok(url) => {
                let scheme = if url.is_secure { "https" } else { "http" };
                json!({"ok": [scheme, url.host, url.port, url.path]})
            }
            // Told by `requests` when it connects.
            Err(error) if error.ends_with("label empty or too long") => continue,
            Err(error) => json!({ "error": error }),
        };
        if ours != python {
            differences.push(format!("{text:?}\n  Python: {python}\n    ours: {ours}"));
        }
    }
    assert!(differences.is_empty(), "{} of {}\n{}", differences.len(), texts.len(), differences.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_are_taken_apart_as_by_requests() {
    let texts = near_urls(4_000);
    are_taken_apart_alike(&texts).await;
}

fn compressed(is_raw: bool) -> Vec<u8> {
    let best = flate2::Compression::best();
    if is_raw {
        let mut raw = flate2::write::DeflateEncoder::new(Vec::new(), best);
        raw.write_all(b"all is well").unwrap();
        return raw.finish().unwrap();
    }
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), best);
    gzip.write_all(b"all is well").unwrap();
    gzip.finish().unwrap()
}

fn server_answer(request: &str) -> Vec<u8> {
    match path(request) {
        "/loop" => answer("302 Found", &[("Location", "/loop")], b""),
        "/301" => answer("301 Moved", &[("Location", "end?a b#c")], b"moved"),
        "/303" => answer("303 See Other", &[("Location", "//127.0.0.1:1/x")], b""),
        "/307" => answer("307 Moved", &[("Location", "ftp://127.0.0.1/x")], b""),
        "/308" => answer("308 Moved", &[("Location", "http://127.0.0.1:1/a%7eb c?d")], b""),
        "/none" => answer("301 Moved", &[], b"nowhere"),
        "/empty-location" => answer("301 Moved", &[("Location", "")], b"nowhere"),
        "/broken" => answer("302 Found", &[("Location", "/end"), ("Content-Encoding", "gzip")], b"no gzip"),
        "/cookie" => answer("302 Found", &[("Location", "/check"), ("Set-Cookie", "a=b; Path=/")], b""),
        "/check" if request.contains("Cookie: a=b\r\n") => answer("200 OK", &[], b""),
        "/auth" if request.contains("Authorization: Basic dTpw\r\n") => answer("200 OK", &[], b""),
        "/check" | "/auth" => answer("401 Unauthorized", &[], b""),
        "/gzip" => answer("200 OK", &[("Content-Encoding", "gzip")], &compressed(false)),
        "/raw" => answer("200 OK", &[("Content-Encoding", "deflate")], &compressed(true)),
        "/bad-gzip" => answer("200 OK", &[("Content-Encoding", "gzip")], b"no gzip, but plain"),
        "/br" => answer("200 OK", &[("Content-Encoding", "br")], b"not asked for"),
        "/short" => b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc".to_vec(),
        "/short-chunks" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n".to_vec(),
        "/chunks" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n".to_vec(),
        "/silent" => Vec::new(),
        "/1.0" => b"HTTP/1.0 203 Old\r\n\r\nuntil the end".to_vec(),
        "/204" => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        "/304" => b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec(),
        "/100" => b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n".to_vec(),
        "/reason" => b"HTTP/1.1 299\r\n\r\n".to_vec(),
        "/999" => answer("999 Request denied", &[], b""),
        _ => answer("404 Not Found", &[], b"nothing"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_are_asked_as_by_the_python_agent() {
    let server = TestServer::start(server_answer).await;
    #[rustfmt::skip]
    let paths = [
        "/", "/loop", "/301", "/303", "/307", "/308", "/none", "/empty-location", "/broken", "/cookie", "/check",
        "/auth", "/gzip", "/raw", "/bad-gzip", "/br", "/short", "/short-chunks", "/chunks", "/silent", "/1.0", "/204",
        "/304", "/100", "/reason", "/999",
    ];
    let mut cases: Vec<Value> = paths.iter().map(|path| json!({"url": server.url(path)})).collect();
    cases.push(json!({"url": server.url("/auth").replace("http://", "http://u:p@")}));
    compare(cases, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_judged_as_by_the_python_agent() {
    let (trusted, other) = (TestCa::new("Test CA"), TestCa::new("Another CA"));
    let mut expired = params("127.0.0.1");
    expired.not_before = rcgen::date_time_ymd(2020, 1, 1);
    expired.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let mut early = params("127.0.0.1");
    early.not_before = rcgen::date_time_ymd(2200, 1, 1);
    early.not_after = rcgen::date_time_ymd(2201, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let alone = params("127.0.0.1").self_signed(&key).unwrap();
    let identities = [
        trusted.identity(&params("127.0.0.1")),
        trusted.identity(&expired),
        trusted.identity(&early),
        trusted.identity(&params("shop.example")),
        other.identity(&params("127.0.0.1")),
        TestIdentity { chain: vec![alone.der().clone()], key },
    ];
    let mut servers = Vec::new();
    for identity in identities {
        servers.push(TestServer::start_tls(identity, |_| answer("204 No Content", &[], b"")).await);
    }
    let cases: Vec<Value> = servers.iter().map(|server| json!({"url": server.https("/x")})).collect();
    let bundle = trusted.file.path().display().to_string();
    compare(cases, &[("REQUESTS_CA_BUNDLE", bundle)]).await;
    let missing = [("REQUESTS_CA_BUNDLE", "/nonexistent/x".to_owned())];
    compare(vec![json!({"url": servers[0].https("/")}), json!({"url": "http://127.0.0.1:1/"})], &missing)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxies_are_used_as_by_the_python_agent() {
    let proxy = TestServer::start(|request| match request {
        request if request.starts_with("CONNECT ") => answer("403 Forbidden", &[], b""),
        request if path(request) == "http://shop.invalid/x?y" => answer("201 By Proxy", &[], b""),
        request if request.contains("Proxy-Authorization: Basic dTpw\r\n") => answer("202 Known", &[], b""),
        _ => answer("502 Bad Gateway", &[], b""),
    })
    .await;
    let direct = TestServer::start(|_| answer("203 Direct", &[], b"")).await;
    let direct = direct.url("/");
    let asked = ["http://shop.invalid/x?y", "http://shop.invalid/z", "https://shop.invalid/z", &direct];
    let at = proxy.address.to_string();
    for variables in [
        vec![("http_proxy", format!("http://{at}")), ("https_proxy", format!("http://{at}"))],
        vec![("HTTP_PROXY", at.clone()), ("no_proxy", "10.0.0.0/8,127.0.0.0/24".to_owned())],
        vec![("all_proxy", format!("http://u:p@{at}")), ("NO_PROXY", ".other, 127.0.0.1".to_owned())],
        vec![("http_proxy", format!("http://{at}")), ("no_proxy", "invalid".to_owned())],
        vec![("http_proxy", "http://127.0.0.1:1".to_owned()), ("https_proxy", "127.0.0.1:1".to_owned())],
        vec![("http_proxy", "http://".to_owned())],
    ] {
        compare(urls(&asked), &variables).await;
    }
    // Nothing is asked of a proxy that may not be reached without it.
    let data = json!({"url": "http://169.254.169.254/latest"});
    let refused = by_us(&data, &Environment::default(), &[("http_proxy", at)]).await;
    assert_eq!(refused["error"], "this agent does not allow tasks to reach 169.254.169.254");
}

#[tokio::test]
async fn what_the_policy_forbids_is_not_asked_for() {
    let to = [("Location", "http://169.254.169.254/")];
    let server = TestServer::start(move |_| answer("302 Found", &to, b"")).await;
    let refused = by_us(&json!({"url": server.url("/")}), &Environment::default(), &[]).await;
    assert_eq!(refused["error"], "this agent does not allow tasks to reach 169.254.169.254");
}

/// The most memory that this process has had, in bytes.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_huge_page_is_read_to_its_end_in_little_memory() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const SIZE: usize = 1 << 30;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let block = vec![b'x'; 1 << 20];
        for _ in 0..SIZE >> 20 {
            stream.write_all(&block).await.unwrap();
        }
    });
    let before = peak_memory();
    let got = by_us(&json!({ "url": url }), &Environment::default(), &[]).await;
    assert_eq!(got, json!({"ok": {"status": 200}}));
    serving.await.unwrap();
    // Tests beside this one have some of it.
    assert!(peak_memory() - before < 300 << 20, "{} more", peak_memory() - before);
}
