//! Tests the metrics that StatsD gets.

use std::collections::BTreeSet;
use std::net::UdpSocket;

use super::{serve, serve_with};
use crate::test_app::{Body, PATIENCE, Place, eventually, id};

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

/// Takes packets until each of these has come; those in `refused` must not.
#[track_caller]
fn await_packets(statsd: &UdpSocket, prefix: &str, expected: &[&str], refused: &[&str]) {
    let mut expected: BTreeSet<&str> = expected.iter().copied().collect();
    let mut bytes = [0; 1000];
    while !expected.is_empty() {
        let length = statsd.recv(&mut bytes).unwrap_or_else(|e| panic!("{e} while waiting for {expected:?}"));
        for line in String::from_utf8_lossy(&bytes[..length]).lines() {
            let measure = line.strip_prefix(prefix).expect("the prefix is there");
            let (name, value) = measure.split_once(':').expect("a name and a value");
            let timer = value.ends_with("|ms").then(|| format!("{name}|ms"));
            let measure = timer.as_deref().unwrap_or(measure);
            assert!(!refused.contains(&measure), "{measure}");
            expected.remove(measure);
        }
    }
}

#[test]
fn tasks_are_counted_by_their_type_and_what_is_tried_again_has_not_failed() {
    let statsd = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    statsd.set_read_timeout(Some(PATIENCE)).expect("a socket takes timeouts");
    let port = statsd.local_addr().expect("it has an address").port().to_string();
    let env = [("STATSD_HOST", "127.0.0.1"), ("STATSD_PORT", &port), ("STATSD_PREFIX", "afm")];
    let (_afm, client) = serve_with("sqlite://", &env, "");
    let odd = |n| Body::task(n).with("task_type", r#""a.b:c|d@e/f g\n""#);
    let poll = Body::poll(9).with("agent_capabilities", r#"{"a.b:c|d@e/f g\n":{"version":1}}"#);
    client.post_task(odd(1));
    client.post_task(odd(2).with("task_max_attempts", "2").with("task_retry_errors", "true"));
    client.post_task(odd(3));
    assert_eq!(client.poll(poll.clone()), [id(1), id(2), id(3)]);
    client.post("/tasks/response", Body::failure(2, r#""again""#)).is_empty();
    client.post("/tasks/response", Body::result(1)).is_empty();
    let failures = ["task.failed:1|c", "tasks.error:1|c", "tasks.a_b_c_d_e_f_g_.1.error|ms"];
    await_packets(
        &statsd,
        "afm.",
        &[
            "tasks.posted:1|c",
            "tasks.claimed:3|c",
            "tasks.completed:1|c",
            "tasks.a_b_c_d_e_f_g_.1.posted:1|c",
            "tasks.a_b_c_d_e_f_g_.1.claimed|ms",
            "tasks.a_b_c_d_e_f_g_.1.completed|ms",
        ],
        &failures,
    );
    client.post("/tasks/response", Body::failure(3, r#""no""#)).is_empty();
    assert_eq!(client.delete(&format!("/task/{}", id(2))).status, 200);
    let others =
        ["tasks.deleted:1|c", "tasks.a_b_c_d_e_f_g_.1.queue:0|g", "tasks.a_b_c_d_e_f_g_.1.processing:0|g"];
    await_packets(&statsd, "afm.", &[&failures[..], &others[..]].concat(), &[]);
}

#[test]
fn active_agents_are_counted_by_what_they_offer() {
    let statsd = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    statsd.set_read_timeout(Some(PATIENCE)).expect("a socket takes timeouts");
    let port = statsd.local_addr().expect("it has an address").port().to_string();
    let env = [("STATSD_HOST", "127.0.0.1"), ("STATSD_PORT", &port), ("STATSD_PREFIX", "afm")];
    let (_afm, client) = serve_with("sqlite://", &env, "");
    let offers = |offers: &str| Body::poll(9).with("agent_capabilities", offers);
    client.poll(Body::poll(8));
    client.poll(offers(r#"{"wait":{"version":1},"a.b c":{"version":-2}}"#));
    await_packets(&statsd, "afm.", &["capability.wait.1:2|g", "capability.a_b_c.-2:1|g"], &[]);
    // What nobody offers any more is told once more.
    client.poll(offers(r#"{"wait":{"version":1}}"#));
    await_packets(&statsd, "afm.", &["capability.wait.1:2|g", "capability.a_b_c.-2:0|g"], &[]);
}

#[test]
fn types_of_one_name_share_gauges_which_are_sums() {
    let statsd = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    statsd.set_read_timeout(Some(PATIENCE)).expect("a socket takes timeouts");
    let port = statsd.local_addr().expect("it has an address").port().to_string();
    let env = [("STATSD_HOST", "127.0.0.1"), ("STATSD_PORT", &port), ("STATSD_PREFIX", "afm")];
    let (_afm, client) = serve_with("sqlite://", &env, "");
    for (n, name) in [(1, "a.b"), (2, "a_b"), (3, "a_b"), (4, "a/b")] {
        client.post_task(Body::task(n).with("task_type", format!("\"{name}\"")));
    }
    let offers = |offers: &str| Body::poll(9).with("agent_capabilities", offers).with("max_tasks", "0");
    client.poll(offers(r#"{"a.b":{"version":1},"a_b":{"version":1},"a/b":{"version":1}}"#));
    await_packets(&statsd, "afm.", &["capability.a_b.1:3|g", "tasks.a_b.1.queue:4|g"], &[]);
}

#[test]
fn a_hundred_thousand_agents_are_counted_once_for_all_afms() {
    let statsd = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    statsd.set_read_timeout(Some(PATIENCE)).expect("a socket takes timeouts");
    let port = statsd.local_addr().expect("it has an address").port().to_string();
    let place = Place::postgres();
    let (afm, client) = serve(&place.uri());
    client.poll(Body::poll(9));
    place.sql(
        "insert into agent (id, name, capabilities, last_seen)
             select md5(n::text)::uuid, 'agent', '{\"wait\":{\"version\":1}}',
                 now() - case when n % 10 = 0 then interval '20 minutes' else interval '0' end
             from generate_series(1, 100000) as n;
         insert into agent_offer (agent_id, type, version)
             select id, 'wait', 1 from agent where name = 'agent'",
    );
    let env = [("STATSD_HOST", "127.0.0.1"), ("STATSD_PORT", &port), ("STATSD_PREFIX", "afm")];
    let (_other, client_of_other) = serve_with(&place.uri(), &env, "");
    let [first, other] = [&client, &client_of_other].map(|client| {
        let mut counted = serde_json::Value::Null;
        eventually("all agents are counted", || {
            counted = client.get("/api/v1/types/wait/1").json()["agents"].take();
            counted["is_complete"] == true
        });
        counted
    });
    assert_eq!((&first["active"], &first["silent"]), (&90_001.into(), &10_000.into()));
    assert_eq!(first["counted_at"], other["counted_at"], "both have the same census");
    await_packets(&statsd, "afm.", &["capability.wait.1:90001|g"], &[]);
    drop(afm);
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
