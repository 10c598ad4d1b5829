//! What takes long, or has no end.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{execute, ok};
use crate::context::Context;
use crate::handlers::Environment;
use crate::handlers::http::{Answer, Content, HttpRequest, Method, RequestOptions, examine, exchange, url};
use crate::network::http::Client;
use crate::network::limit::Timeout;
use crate::network::test_server::TestServer;
use crate::network::tls::Verify;

#[tokio::test]
async fn a_silent_server_and_a_slow_one_are_told_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let read = stream.read(&mut request).await.unwrap();
            if request[..read].starts_with(b"GET /slow") {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").await.unwrap();
            }
            held.push(stream);
        }
    });
    let began = Instant::now();
    for (path, expected) in [
        ("/silent", format!("{address} did not answer within 0.")),
        ("/slow", format!("the answer of {address} was not complete within 0.")),
    ] {
        let url = format!("http://{address}{path}");
        let problem = execute(json!({"url": url, "timeout": 0.3})).await.unwrap_err();
        assert!(problem.starts_with(&expected), "{problem}");
    }
    assert!(began.elapsed() < Duration::from_secs(20));
    serving.abort();
}

async fn answer_of(server: &TestServer, environment: &Environment) -> Answer {
    let client = Client {
        policy: &environment.network,
        tls: &environment.tls,
        verify: Verify::Required,
        ip_version: None,
        proxy: None,
    };
    let request =
        HttpRequest::new(Method::default(), url(&server.url("/")).unwrap(), Default::default(), None);
    let options = RequestOptions {
        max_redirects: Default::default(),
        max_bytes: Default::default(),
        compressed: false,
    };
    exchange(&client, request, options, None, &Timeout::default().limit(&Context::alone())).await.unwrap()
}

#[tokio::test]
async fn a_body_that_takes_long_to_examine_is_left_in_time() {
    let server = ok("x").await;
    let limit = |seconds| Timeout::try_from(seconds).unwrap().limit(&Context::alone());
    let answer = answer_of(&server, &Environment::default()).await;
    let (release, until_released) = std::sync::mpsc::channel::<()>();
    let (has_ended, ended) = tokio::sync::oneshot::channel();
    let soon = limit(0.05);
    let examining = examine(answer, &soon, false, move |content| {
        assert_eq!(content.text(), "x");
        assert!(until_released.recv().is_err());
        assert!(content.go_on().is_err());
        has_ended.send(()).unwrap();
        Ok(())
    });
    let problem = examining.await.unwrap_err().to_string();
    let expected = format!("{}: the body was not examined within 0.", server.url("/"));
    assert!(problem.starts_with(&expected), "{problem}");
    drop(release);
    ended.await.unwrap();
    let large = json!({"url": server.url("/"), "json": {"": 1}, "max_bytes": 5 << 20});
    let problem = execute(large).await.unwrap_err();
    assert!(problem.starts_with("task_data.max_bytes: must be at most 4194304 where the body"), "{problem}");
    let long = json!({"url": server.url("/"), "regex": "(a{1,40}){1,40}"});
    let expected = "task_data.max_bytes: must be at most 81840 for a `regex` of this length, or a shorter one be given, \
                    and is 1048576";
    assert_eq!(execute(long).await.unwrap_err(), expected);
}

#[tokio::test]
async fn regular_expressions_that_take_long_keep_only_others_of_their_kind_waiting() {
    let server = ok("{}").await;
    let environment = Environment::default();
    let limit = Timeout::default().limit(&Context::alone());
    let (begun, mut is_begun) = tokio::sync::mpsc::channel(2);
    let (release, until_released) = std::sync::mpsc::channel::<()>();
    let until_released = Arc::new(Mutex::new(until_released));
    let mut examining = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let answer = answer_of(&server, &environment).await;
        let (begun, until_released) = (begun.clone(), Arc::clone(&until_released));
        let find = move |_: &Content<'_>| {
            begun.blocking_send(()).unwrap();
            assert!(until_released.lock().unwrap().recv().is_err());
            Ok(())
        };
        examining.spawn(async move { examine(answer, &limit, true, find).await.map(drop) });
    }
    for _ in 0..2 {
        is_begun.recv().await.unwrap();
    }
    let of_text = execute(json!({"url": server.url("/"), "contains": "{", "json": {"": {}}})).await;
    let answer = answer_of(&server, &environment).await;
    let soon = Timeout::try_from(0.05).unwrap().limit(&Context::alone());
    let of_regex = examine(answer, &soon, true, |_| Ok(())).await;
    drop(release);
    while let Some(examined) = examining.join_next().await {
        examined.unwrap().unwrap();
    }
    of_text.unwrap();
    let problem = of_regex.unwrap_err().to_string();
    assert!(problem.contains("the body was not examined within 0."), "{problem}");
}

#[tokio::test]
async fn answers_in_between_without_end_are_left() {
    let server = TestServer::start(|_| b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100_000)).await;
    let problem = execute(json!({"url": server.url("/")})).await.unwrap_err();
    let expected = "did not answer: it sent 1024 KiB, and no answer is complete";
    assert_eq!(problem, format!("{} {expected}", server.address));
}

#[tokio::test]
async fn a_huge_body_is_cut_and_held_in_little_memory() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n").await.unwrap();
        let block = vec![b'x'; 1 << 16];
        let mut sent = 0_u64;
        while sent < 1 << 30 && stream.write_all(&block).await.is_ok() {
            sent += block.len() as u64;
        }
        sent
    });
    let result = execute(json!({"url": format!("http://{address}/"), "contains": "xxx"})).await.unwrap();
    assert_eq!((&result["bytes"], &result["truncated"]), (&json!(1 << 20), &json!(true)));
    // Buffers of the system in between; the rest is never sent.
    assert!(serving.await.unwrap() < 100 << 20);
}
