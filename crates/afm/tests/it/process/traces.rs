//! Tests the spans that a collector gets.

mod collector;
mod collectors;

use std::net::TcpListener;
use std::time::Instant;

use slamon_testbed::AfmProcess;

use self::collector::{Collector, Span};
use super::{file_uri, folder, run, serve_with};
use crate::test_app::{Body, Client, PATIENCE, Place, eventually, id};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const POSTER: &str = "00f067aa0ba902b7";

const OK: i32 = 1;
const ERROR: i32 = 2;

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{POSTER}-{flags}")
}

fn serve(uri: &str, collector: &Collector) -> (AfmProcess, Client) {
    serve_with(uri, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url())], "")
}

/// Posts a task with this header.
#[track_caller]
fn post_in(client: &Client, traceparent: &str, task: &Body) {
    let headers = [("content-type", "application/json"), ("traceparent", traceparent)];
    client.send("POST", "/task", &headers, task.to_string()).is_empty();
}

/// Lets an agent take a task that waits, and complete it.
#[track_caller]
fn complete(client: &Client, n: u64) {
    assert_eq!(client.poll(Body::poll(9)), [id(n)]);
    assert_eq!(client.post("/tasks/response", Body::result(n)).status, 200);
}

/// The id of the trace of a task whose poster had none.
fn own_trace(n: u64) -> String {
    id(n).replace('-', "")
}

/// Checks the spans of a task that failed once, was tried again and completed.
#[track_caller]
fn check_life(spans: &[Span], trace: &str, parent: &str) {
    let named = |name: &str| spans.iter().filter(|span| span.name == name).collect::<Vec<_>>();
    let [root] = named("task")[..] else { panic!("{spans:#?}") };
    assert_eq!((root.trace.as_str(), root.parent.as_str(), root.status), (trace, parent, OK), "{root:#?}");
    assert_eq!(root.attribute("slamon.task.end"), "completed");
    assert_eq!(root.attribute("slamon.task.type"), "wait");
    assert_eq!(root.attribute("slamon.task.version"), "1");
    assert_eq!(root.attribute("slamon.task.id"), id(1));
    assert_eq!(root.attribute("slamon.test.id"), id(0));
    let children: Vec<&Span> = spans.iter().filter(|span| span.name != "task").collect();
    for child in &children {
        assert_eq!((&child.trace, &child.parent), (&root.trace, &root.id), "{child:#?}");
        assert!(root.from <= child.from && child.from <= child.to && child.to <= root.to, "{spans:#?}");
    }
    let [first_wait, second_wait] = named("wait")[..] else { panic!("{spans:#?}") };
    let [first, second] = named("attempt")[..] else { panic!("{spans:#?}") };
    assert_eq!(first_wait.from, root.from);
    assert_eq!((first_wait.to, first.to, second_wait.to), (first.from, second_wait.from, second.from));
    assert_eq!(second.to, root.to);
    assert_eq!((first.status, first.attribute("slamon.attempt.outcome")), (ERROR, "error"));
    assert_eq!((second.status, second.attribute("slamon.attempt.outcome")), (OK, "completed"));
    assert_eq!(first.attribute("slamon.agent.id"), id(9));
    let mut ids: Vec<&str> = spans.iter().map(|span| span.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 5, "{spans:#?}");
}

/// Posts a task that fails, is tried again and completes.
#[track_caller]
fn live(client: &Client, post: impl FnOnce(&Body)) {
    post(&Body::task(1).with("task_max_attempts", "2").with("task_retry_errors", "true"));
    assert_eq!(client.poll(Body::poll(9)), [id(1)]);
    assert_eq!(client.post("/tasks/response", Body::failure(1, r#""no""#)).status, 200);
    let alias = client.poll(Body::poll(9)).pop().expect("the next attempt");
    let result = Body::result(1).with("task_id", format!("\"{alias}\""));
    assert_eq!(client.post("/tasks/response", result).status, 200);
}

#[test]
fn a_life_is_a_trace_of_its_own() {
    let collector = Collector::start();
    let (_afm, client) = serve("sqlite://", &collector);
    live(&client, |task| client.post_task(task));
    let spans = collector.spans(5);
    check_life(&spans, &own_trace(1), "");
    assert_eq!(collector.service(), "slamon-afm");
}

#[test]
fn a_life_is_a_part_of_the_trace_of_its_poster() {
    let collector = Collector::start();
    let (_afm, client) = serve("sqlite://", &collector);
    live(&client, |task| post_in(&client, &traceparent("01"), task));
    check_life(&collector.spans(5), TRACE, POSTER);
}

#[test]
fn tasks_of_one_request_are_parts_of_one_trace() {
    let collector = Collector::start();
    let (_afm, client) = serve("sqlite://", &collector);
    let headers = [("content-type", "application/json"), ("traceparent", &*traceparent("01"))];
    let body = format!("{{\"tasks\":[{},{}]}}", Body::task(1), Body::task(2));
    assert_eq!(client.send("POST", "/api/v1/tasks", &headers, body).status, 200);
    assert_eq!(client.delete(&format!("/task/{}", id(1))).status, 200);
    assert_eq!(client.delete(&format!("/task/{}", id(2))).status, 200);
    let spans = collector.spans(4);
    for span in &spans {
        assert_eq!((span.trace.as_str(), span.status), (TRACE, 0), "{span:#?}");
    }
    let roots: Vec<&Span> = spans.iter().filter(|span| span.parent == POSTER).collect();
    assert!(roots.len() == 2 && roots[0].id != roots[1].id, "{spans:#?}");
    assert_eq!(roots[0].attribute("slamon.task.end"), "cancelled");
}

#[test]
fn tasks_that_are_posted_again_together_are_parts_of_the_trace_of_the_request() {
    let collector = Collector::start();
    let (_afm, client) = serve("sqlite://", &collector);
    for n in 1..=3 {
        client.post_task(Body::task(n));
        assert_eq!(client.delete(&format!("/task/{}", id(n))).status, 200);
    }
    assert_eq!(collector.spans(6).len(), 6);
    let headers = [("content-type", "application/json"), ("traceparent", &*traceparent("01"))];
    let retry = |body: String| client.send("POST", "/api/v1/tasks/retry", &headers, body).json();
    let cancelled = r#""filter":{"state":"cancelled"}"#;
    let counted = retry(format!("{{{cancelled}}}"));
    assert_eq!(counted["count"], 3);
    assert_eq!(retry(format!("{{{cancelled},\"token\":{}}}", counted["token"]))["changed"], 3);
    let named = retry(format!("{{\"task_ids\":[\"{}\"]}}", id(1)));
    assert_eq!(named["results"][0]["status"], 200);
    let waiting = client.get("/api/v1/tasks?state=pending").json();
    let waiting = waiting["tasks"].as_array().expect("a list");
    assert_eq!(waiting.len(), 4);
    for task in waiting {
        let task_id = task["task_id"].as_str().expect("an id");
        assert_eq!(client.delete(&format!("/task/{task_id}")).status, 200);
    }
    // Each task was a wait and a whole life.
    let spans = collector.spans(6 + 8);
    assert_eq!(spans.iter().filter(|span| span.trace == TRACE).count(), 8, "{spans:#?}");
    assert_eq!(spans.iter().filter(|span| span.name == "task" && span.parent == POSTER).count(), 4);
}

#[test]
fn a_sampler_chooses_which_traces_are_sent() {
    let collector = Collector::start();
    let with = |sampler: &[(&'static str, &'static str)]| {
        let url = collector.url();
        let mut env = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", &*url)];
        env.extend(sampler);
        serve_with("sqlite://", &env, "")
    };
    let cancel = |client: &Client, n| assert_eq!(client.delete(&format!("/task/{}", id(n))).status, 200);
    let (_afm, client) = with(&[("OTEL_TRACES_SAMPLER", "parentbased_always_off")]);
    client.post_task(Body::task(1));
    cancel(&client, 1);
    post_in(&client, &traceparent("01"), &Body::task(2));
    cancel(&client, 2);
    assert!(collector.spans(2).iter().all(|span| span.trace == TRACE));
    let (_afm, client) = with(&[("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0.5")]);
    // The second half of the id of this trace is above the half of all, and so not sent.
    post_in(&client, &traceparent("01"), &Body::task(1));
    cancel(&client, 1);
    let low = traceparent("00").replace("a3ce929d0e0e4736", "23ce929d0e0e4736");
    post_in(&client, &low, &Body::task(2));
    cancel(&client, 2);
    let spans = collector.spans(4);
    let of_second = spans.iter().filter(|span| span.trace.ends_with("23ce929d0e0e4736"));
    assert_eq!(of_second.count(), 2, "{spans:#?}");
}

#[test]
fn a_sampler_that_is_not_known_is_refused_at_the_start() {
    let folder = folder();
    for (sampler, problem) in [
        (
            ("OTEL_TRACES_SAMPLER", "sometimes"),
            "OTEL_TRACES_SAMPLER: found \"sometimes\", expected always_on, always_off or traceidratio, or one of \
             these behind parentbased_",
        ),
        (
            ("OTEL_TRACES_SAMPLER_ARG", "2"),
            "OTEL_TRACES_SAMPLER_ARG: found \"2\", expected a number from 0 to 1",
        ),
    ] {
        let env = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"),
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            sampler,
        ];
        let ended = run(folder.path(), &["run", "127.0.0.1", "0"], &env);
        assert_eq!(ended.status, Some(1), "{ended:?}");
        assert!(ended.stderr.contains(problem), "{ended:?}");
    }
}

#[test]
fn the_trace_of_a_poster_outlives_a_restart() {
    let collector = Collector::start();
    let folder = folder();
    let uri = file_uri(&folder.path().join("afm.db"));
    let (afm, client) = serve(&uri, &collector);
    post_in(&client, &traceparent("01"), &Body::task(1));
    afm.signal("TERM");
    assert_eq!(afm.wait_exit(PATIENCE).code(), Some(0));

    let (afm, client) = serve(&uri, &collector);
    complete(&client, 1);
    // What has just ended is sent before the end.
    afm.signal("TERM");
    assert_eq!(afm.wait_exit(PATIENCE).code(), Some(0));
    let spans = collector.spans(3);
    assert!(spans.iter().all(|span| span.trace == TRACE), "{spans:#?}");
    let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["wait", "attempt", "task"]);
    assert_eq!(spans[2].parent, POSTER);
}

#[test]
fn several_afms_make_one_trace() {
    let collector = Collector::start();
    let place = Place::postgres();
    let (_one, one) = serve(&place.uri(), &collector);
    let (_other, other) = serve(&place.uri(), &collector);
    post_in(&one, &traceparent("01"), &Body::task(1));
    eventually("it is handed out", || other.poll(Body::poll(9)) == [id(1)]);
    assert_eq!(one.post("/tasks/response", Body::result(1)).status, 200);
    let spans = collector.spans(3);
    assert!(spans.iter().all(|span| span.trace == TRACE), "{spans:#?}");
    let root = spans.iter().find(|span| span.name == "task").expect("the whole life");
    assert_eq!(root.parent, POSTER);
    for child in spans.iter().filter(|span| span.name != "task") {
        assert_eq!(child.parent, root.id);
    }
    eventually("nothing is kept of what has ended", || place.sql("select count(*) from task_trace") == "0");
}

#[test]
fn wrong_headers_are_passed_over() {
    let collector = Collector::start();
    let (_afm, client) = serve("sqlite://", &collector);
    let wrong = [
        String::new(),
        "00".to_owned(),
        traceparent("01").to_uppercase(),
        traceparent("0"),
        traceparent("01-"),
        traceparent("zz"),
        traceparent("01").replacen("00", "ff", 1),
        traceparent("01").replace(TRACE, &"0".repeat(32)),
        traceparent("01").replace(POSTER, &"0".repeat(16)),
        format!("{},{}", traceparent("01"), traceparent("01")),
        "9".repeat(4_000),
        "00-é".to_owned(),
    ];
    for (n, header) in (1..).zip(&wrong) {
        post_in(&client, header, &Body::task(n));
        complete(&client, n);
    }
    let twice = [("content-type", "application/json"), ("traceparent", &*traceparent("01"))];
    let n = wrong.len() as u64 + 1;
    let twice = [&twice[..], &twice[1..]].concat();
    client.send("POST", "/task", &twice, Body::task(n).to_string()).is_empty();
    complete(&client, n);
    let spans = collector.spans(3 * wrong.len() + 3);
    for n in 1..=n {
        let own = own_trace(n);
        assert_eq!(spans.iter().filter(|span| span.trace == own).count(), 3, "{n}: {spans:#?}");
    }
}

#[test]
fn what_its_poster_does_not_record_is_not_sent() {
    let collector = Collector::start();
    let (_afm, client) = serve("sqlite://", &collector);
    post_in(&client, &traceparent("00"), &Body::task(1));
    complete(&client, 1);
    client.post_task(Body::task(2));
    complete(&client, 2);
    let spans = collector.spans(3);
    assert!(spans.iter().all(|span| span.trace == own_trace(2)), "{spans:#?}");
}

/// The warnings about the collector.
fn warnings(afm: &AfmProcess) -> usize {
    afm.log_lines().iter().filter(|line| line.contains("the collector takes no spans")).count()
}

#[test]
fn while_the_collector_is_away_spans_are_dropped_and_counted() {
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let env = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*format!("http://{nobody}/"))];
    let (afm, client) = serve_with("sqlite://", &env, "");
    let dropped = |n: u64| format!("slamon_spans_total{{result=\"dropped\"}} {n}\n");
    for n in 1..=3 {
        client.post_task(Body::task(n));
        complete(&client, n);
        eventually("they are dropped", || client.get("/metrics").body.contains(&dropped(3 * n)));
    }
    assert_eq!(warnings(&afm), 1, "{:#?}", afm.log_lines());

    let collector = Collector::at(nobody);
    client.post_task(Body::task(4));
    complete(&client, 4);
    assert_eq!(collector.spans(3).len(), 3);
    afm.wait_for_line(
        |line| line.contains("the collector takes spans again") && line.contains('9'),
        PATIENCE,
    );
    eventually("they are counted", || client.get("/metrics").body.contains("result=\"sent\"} 3\n"));
}

#[test]
fn a_collector_that_hangs_holds_up_nothing() {
    // Connections are accepted by the system, and nobody answers.
    let hangs = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", hangs.local_addr().expect("its address"));
    let env = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*url), ("SHUTDOWN_TIMEOUT", "1")];
    let (afm, client) = serve_with("sqlite://", &env, "");
    for n in 1..=20 {
        client.post_task(Body::task(n));
        complete(&client, n);
    }
    let began = Instant::now();
    afm.signal("TERM");
    assert_eq!(afm.wait_exit(PATIENCE).code(), Some(0));
    assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
    assert!(afm.log_lines().iter().any(|line| line.contains("the last spans were dropped")));
}
