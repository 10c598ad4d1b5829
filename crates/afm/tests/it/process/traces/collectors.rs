//! Tests what collectors answer, and how they are reached.

use std::path::Path;

use slamon_testbed::{AfmProcess, Process};

use super::super::certificates::tls_for_localhost;
use super::super::{folder, program, serve_with};
use super::collector::Collector;
use crate::test_app::{Body, Client, PATIENCE, eventually, id};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// Has two spans made at once: a task is posted and cancelled.
#[track_caller]
fn make_two_spans(client: &Client, n: u64) {
    client.post_task(Body::task(n));
    assert_eq!(client.delete(&format!("/task/{}", id(n))).status, 200);
}

#[track_caller]
fn wait_for_counts(client: &Client, sent: u64, dropped: u64) {
    let expected = [("sent", sent), ("dropped", dropped)]
        .map(|(result, count)| format!("slamon_spans_total{{result=\"{result}\"}} {count}\n"));
    eventually("spans are counted", || {
        let text = client.get("/metrics").body;
        expected.iter().all(|line| text.contains(line))
    });
}

#[track_caller]
fn wait_for_refusal(afm: &AfmProcess, reason: &str) {
    let is_it = |line: &str| line.contains("the collector takes no spans") && line.contains(reason);
    afm.wait_for_line(is_it, PATIENCE);
}

#[test]
fn what_may_pass_is_tried_again_and_nothing_else() {
    let collector = Collector::start();
    let (afm, client) = serve_with("sqlite://", &[(ENDPOINT, &collector.url())], "");
    for (n, answer) in (1..).zip(["503 Busy", "429 Slow\r\nretry-after: 1", "502 Away", "504 Late"]) {
        collector.refuse(&[answer]);
        make_two_spans(&client, n);
        wait_for_counts(&client, 2 * n, 0);
    }
    assert_eq!(collector.heads().len(), 8);
    for (n, answer) in (5..).zip(["400 Bad", "401 Who", "404 Where", "500 Broken", "301 Gone\r\nlocation: /"])
    {
        collector.refuse(&[answer]);
        make_two_spans(&client, n);
        wait_for_counts(&client, 8, 2 * (n - 4));
        wait_for_refusal(&afm, &answer[..3]);
    }
    assert_eq!(collector.heads().len(), 13);
    // It asks for more time than there is.
    collector.refuse(&["503 Busy\r\nretry-after: 3600"]);
    make_two_spans(&client, 10);
    wait_for_counts(&client, 8, 12);
    assert_eq!(collector.heads().len(), 14);
    make_two_spans(&client, 11);
    wait_for_counts(&client, 10, 12);
    assert_eq!(collector.spans(10).len(), 10);
}

#[test]
fn what_a_collector_rejects_counts_as_dropped() {
    let collector = Collector::start();
    let (afm, client) = serve_with("sqlite://", &[(ENDPOINT, &collector.url())], "");
    collector.reject(1);
    make_two_spans(&client, 1);
    wait_for_counts(&client, 1, 1);
    wait_for_refusal(&afm, "rejects");
}

#[test]
fn headers_and_a_path_are_sent() {
    let collector = Collector::start();
    let url = format!("{}/base/", collector.url());
    let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20YTpi, x-scope=a=b");
    let (_afm, client) = serve_with("sqlite://", &[(ENDPOINT, &url), headers], "");
    make_two_spans(&client, 1);
    assert_eq!(collector.spans(2).len(), 2);
    let head = &collector.heads()[0].to_ascii_lowercase();
    assert!(head.starts_with("post /base/v1/traces http/1.1\r\n"), "{head}");
    assert!(head.contains("authorization: basic ytpi\r\n"), "{head}");
    assert!(head.contains("x-scope: a=b\r\n"), "{head}");
}

/// A collector with TLS, whose certificate for localhost is of `authority.pem` in this folder.
fn collector_with_tls(folder: &Path) -> Collector {
    Collector::with_tls(tls_for_localhost(folder))
}

fn serve_trusting(collector: &Collector, certificates: &Path) -> (AfmProcess, Client) {
    let certificates = certificates.to_str().expect("UTF-8");
    serve_with("sqlite://", &[(ENDPOINT, &collector.url()), ("SSL_CERT_FILE", certificates)], "")
}

#[test]
fn spans_are_sent_with_tls() {
    let folder = folder();
    let collector = collector_with_tls(folder.path());
    let (_afm, client) = serve_trusting(&collector, &folder.path().join("authority.pem"));
    make_two_spans(&client, 1);
    assert_eq!(collector.spans(2).len(), 2);
    wait_for_counts(&client, 2, 0);
}

#[test]
fn a_collector_that_nobody_vouches_for_gets_nothing() {
    let folder = folder();
    let collector = collector_with_tls(folder.path());
    let (afm, client) = serve_trusting(&collector, &folder.path().join("stranger.pem"));
    make_two_spans(&client, 1);
    wait_for_counts(&client, 0, 2);
    wait_for_refusal(&afm, "invalid peer certificate");
    assert_eq!(collector.heads(), [""; 0]);
}

#[test]
fn what_can_never_be_sent_is_refused_at_the_start() {
    let http = (ENDPOINT, "http://127.0.0.1:9");
    for (env, named) in [
        ([http, ("OTEL_EXPORTER_OTLP_HEADERS", "a=b,secret")], "header 2 of OTEL_EXPORTER_OTLP_HEADERS"),
        ([(ENDPOINT, "https://localhost:9"), ("SSL_CERT_FILE", "/nowhere/at.all")], "certificates"),
        ([(ENDPOINT, "http://afm:secret@localhost:9"), ("A", "b")], "found a URI (not shown)"),
    ] {
        let afm = Process::start(program(), &["run", "127.0.0.1", "0"], &env).expect("sh runs");
        assert!(!afm.wait_exit(PATIENCE).success());
        let text = afm.log_lines().join("\n");
        assert!(text.contains(ENDPOINT) && text.contains(named), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}

#[test]
fn another_protocol_is_warned_of() {
    let collector = Collector::start();
    let env = [(ENDPOINT, &*collector.url()), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")];
    let (afm, client) = serve_with("sqlite://", &env, "");
    make_two_spans(&client, 1);
    assert_eq!(collector.spans(2).len(), 2);
    afm.wait_for_line(|line| line.contains("OTEL_EXPORTER_OTLP_PROTOCOL is not followed"), PATIENCE);
}
