//! Tests the metrics that StatsD gets.

use std::collections::BTreeSet;
use std::net::UdpSocket;

use super::serve_with;
use crate::test_app::{Body, PATIENCE, id};

#[test]
fn counts_and_times_are_sent_as_packets() {
    let statsd = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    statsd.set_read_timeout(Some(PATIENCE)).expect("a socket takes timeouts");
    let port = statsd.local_addr().expect("it has an address").port().to_string();
    let env = [("STATSD_HOST", "127.0.0.1"), ("STATSD_PORT", &port), ("STATSD_PREFIX", "afm.test")];
    let (_afm, client) = serve_with("sqlite://", &env, "");

    client.post_task(Body::task(1));
    client.post_task(Body::task(2));
    assert_eq!(client.poll(Body::poll(9)), [id(1), id(2)]);
    assert_eq!(client.post("/tasks/response", Body::result(1)).status, 200);
    assert_eq!(client.post("/tasks/response", Body::failure(2, r#""no""#)).status, 200);
    assert_eq!(client.get(&format!("/task/{}", id(1))).status, 200);
    assert_eq!(client.get("/nowhere").status, 404);

    let mut expected: BTreeSet<&str> = [
        "task.posted:1|c",
        "task.claimed:2|c",
        "task.completed:1|c",
        "task.failed:1|c",
        "request.2xx:1|c",
        "request.4xx:1|c",
        "request.post.task|ms",
        "request.post.tasks|ms",
        "request.post.tasks.response|ms",
        "request.get.task.task_id|ms",
        "request.get.-|ms",
    ]
    .into();
    let mut bytes = [0; 1000];
    while !expected.is_empty() {
        let length = statsd.recv(&mut bytes).unwrap_or_else(|e| panic!("{e} while waiting for {expected:?}"));
        for line in String::from_utf8_lossy(&bytes[..length]).lines() {
            let measure = line.strip_prefix("afm.test.").expect("the prefix is there");
            // How long it took is not for a test to say.
            let (name, value) = measure.split_once(':').expect("a name and a value");
            let timer = value.ends_with("|ms").then(|| format!("{name}|ms"));
            expected.remove(timer.as_deref().unwrap_or(measure));
        }
    }
}

#[test]
fn a_host_that_cannot_be_found_stops_nothing() {
    // No name ends in it (RFC 6761).
    let (afm, client) = serve_with("sqlite://", &[("STATSD_HOST", "statsd.invalid")], "");
    afm.wait_for_line(|line| line.contains("WARN") && line.contains("could not find STATSD_HOST"), PATIENCE);
    client.post_task(Body::task(1));
    assert_eq!(client.poll(Body::poll(9)), [id(1)]);
    afm.signal("TERM");
    assert_eq!(afm.wait_exit(PATIENCE).code(), Some(0));
}
