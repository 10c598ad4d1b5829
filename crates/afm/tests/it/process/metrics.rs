//! Tests `/metrics`, and what is deployed to read it.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use slamon_testbed::PgCluster;

use super::{serve, serve_with};
use crate::test_app::{Body, Client, PATIENCE, Place, eventually, id};

/// The text of `/metrics`.
fn metrics(client: &Client) -> String {
    let answer = client.get("/metrics");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    answer.body
}

/// The value of a sample, named with all its labels.
fn value(text: &str, sample: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok())
}

#[track_caller]
fn has(text: &str, samples: &[(&str, f64)]) {
    for (sample, expected) in samples {
        assert_eq!(value(text, sample), Some(*expected), "{sample} in:\n{text}");
    }
}

/// Runs promtool, which scripts/setup-tests installs.
#[track_caller]
fn promtool(args: &[&str], input: &str) {
    let mut promtool = Command::new("promtool")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is there: scripts/setup-tests installs it");
    promtool.stdin.take().expect("it is piped").write_all(input.as_bytes()).expect("it reads");
    let output = promtool.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{}\n{input}", said.concat());
}

fn deployed(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(file)
}

/// Lives of tasks that end in different ways.
fn live(client: &Client) {
    client.post_task(Body::task(1));
    client.post_task(Body::task(2).with("task_max_attempts", "2").with("task_retry_errors", "true"));
    client.post_task(Body::task(3));
    client.post_task(Body::task(4).with("task_delay", "3600"));
    client.post_task(Body::task(5).with("task_type", r#""a\"b\\c\n{d=\"e\"}""#));
    client.post_task(Body::task(6).with("task_type", r#""cancelled""#));
    assert_eq!(client.poll(Body::poll(9)), [id(1), id(2), id(3)]);
    client.post("/tasks/response", Body::result(1)).is_empty();
    client.post("/tasks/response", Body::failure(2, r#""again""#)).is_empty();
    client.post("/tasks/response/", Body::failure(3, r#""no""#)).is_empty();
    assert_eq!(client.delete(&format!("/task/{}", id(6))).status, 200);
    assert_eq!(client.get("/nowhere").status, 404);
}

#[test]
fn prometheus_reads_what_has_happened() {
    for place in [Place::file(), Place::postgres()] {
        let (_afm, client) = serve(&place.uri());
        live(&client);
        eventually("tasks were counted", || metrics(&client).contains("slamon_tasks_waiting{"));
        let text = metrics(&client);
        promtool(&["check", "metrics"], &text);
        let wait = r#"{task_type="wait",task_version="1"}"#;
        let global = r#"{task_type="wait",task_version="1",scope="database"}"#;
        let counted = |name: &str| format!("slamon_tasks_{name}_total{wait}");
        for (name, count) in [
            ("posted", 4.0),
            ("claimed", 3.0),
            ("completed", 1.0),
            ("failed", 1.0),
            ("retried", 1.0),
            ("timed_out", 0.0),
            ("lost", 0.0),
            ("expired", 0.0),
            ("cancelled", 0.0),
            ("released", 0.0),
        ] {
            has(&text, &[(&counted(name), count)]);
        }
        has(
            &text,
            &[
                (r#"slamon_tasks_cancelled_total{task_type="cancelled",task_version="1"}"#, 1.0),
                (r#"slamon_tasks_posted_total{task_type="a\"b\\c\n{d=\"e\"}",task_version="1"}"#, 1.0),
                (r#"slamon_tasks_posted_total{task_type="other",task_version=""}"#, 0.0),
                (&format!("slamon_tasks_waiting{global}"), 1.0),
                (&format!("slamon_tasks_running{global}"), 0.0),
                (&format!("slamon_tasks_delayed{global}"), 1.0),
                (&format!("slamon_task_queue_seconds_count{wait}"), 3.0),
                (&format!("slamon_task_run_seconds_count{wait}"), 3.0),
                (&format!("slamon_task_total_seconds_count{wait}"), 2.0),
                (r#"slamon_agents{state="active",scope="database"}"#, 1.0),
                ("slamon_database_up", 1.0),
                (r#"slamon_http_requests_total{method="POST",route="/task",status="200"}"#, 6.0),
                (r#"slamon_http_requests_total{method="POST",route="/tasks/response",status="200"}"#, 3.0),
                (r#"slamon_http_request_duration_seconds_count{method="POST",route="/task"}"#, 6.0),
                (r#"slamon_http_requests_total{method="GET",route="-",status="404"}"#, 1.0),
                (r#"slamon_held_requests{kind="poll"}"#, 0.0),
                ("slamon_queue_room", 4096.0),
                ("slamon_database_calls_waiting", 0.0),
                ("slamon_notifications_interrupted_total", 0.0),
            ],
        );
        let most = if matches!(place, Place::Postgres(_)) { 5.0 } else { 4.0 };
        has(&text, &[("slamon_database_connections_max", most)]);
        let above = |sample: &str| {
            assert!(value(&text, sample).is_some_and(|found| found > 0.0), "{sample} in:\n{text}");
        };
        for sample in [
            "slamon_commit_batch_commands_count",
            "slamon_commit_duration_seconds_count",
            "process_resident_memory_bytes",
            "process_start_time_seconds",
            "process_open_fds",
            r#"slamon_database_connections{state="idle"}"#,
        ] {
            above(sample);
        }
        above(r#"slamon_dispatch_cache_lookups_total{result="miss"}"#);
        assert!(text.contains("slamon_build_info{version=\""), "{text}");
    }
}

#[test]
fn a_poll_that_is_held_open_shows() {
    let (_afm, client) = serve("sqlite://");
    let mut held = client.connect();
    held.post("/tasks", &Body::poll(9).with("max_wait", "300").to_string());
    eventually("it is held", || {
        value(&metrics(&client), r#"slamon_held_requests{kind="poll"}"#) == Some(1.0)
    });
}

#[test]
fn a_call_that_waits_for_a_connection_shows() {
    let database = PgCluster::shared().create_database();
    let (_afm, client) = serve_with(&database.uri(), &[], "SQLALCHEMY_POOL_SIZE = 1\n");
    client.post_task(Body::task(1));
    has(&metrics(&client), &[("slamon_database_connections_max", 1.0)]);
    let used = |text: &str| value(text, r#"slamon_database_connections{state="used"}"#);
    let waiting = |text: &str| value(text, "slamon_database_calls_waiting");
    std::thread::scope(|scope| {
        // Held until the query is cancelled.
        let holder = scope.spawn(|| {
            database.try_sql(
                "begin; lock table task in access exclusive mode; select 'holder', pg_sleep(600); commit",
            )
        });
        let holds = "select count(*) from pg_locks where granted and mode = 'AccessExclusiveLock' and relation = 'task'::regclass";
        eventually("it is locked", || database.sql(holds) == "1");
        let mut reads = [client.connect(), client.connect()];
        for read in &mut reads {
            read.get("/api/v1/tasks");
        }
        eventually("one call uses the connection, and another one waits for it", || {
            let text = metrics(&client);
            used(&text) == Some(1.0) && waiting(&text) >= Some(1.0)
        });
        database.sql("select pg_cancel_backend(pid) from pg_stat_activity where query like '%holder%' and pid <> pg_backend_pid()");
        assert!(holder.join().expect("it ran").is_err());
    });
    eventually("nothing waits any more", || {
        let text = metrics(&client);
        (used(&text), waiting(&text)) == (Some(0.0), Some(0.0))
    });
}

#[test]
fn labels_are_bounded_however_many_types_there_are() {
    let (_afm, client) = serve("sqlite://");
    for n in 0..260 {
        client.post_task(Body::task(n).with("task_type", format!("\"made up {n}\"")));
    }
    eventually("tasks were counted", || metrics(&client).contains("slamon_tasks_waiting{"));
    let text = metrics(&client);
    promtool(&["check", "metrics"], &text);
    for name in ["slamon_tasks_posted_total", "slamon_tasks_waiting"] {
        let samples: Vec<_> = text.lines().filter(|line| line.starts_with(&format!("{name}{{"))).collect();
        let sum: f64 = samples.iter().filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum();
        assert_eq!(samples.len(), 201, "{name}");
        assert!((sum - 260.0).abs() < 0.1, "{name}: {sum}");
    }
    has(&text, &[(r#"slamon_tasks_posted_total{task_type="other",task_version=""}"#, 60.0)]);
}

#[test]
fn without_its_database_it_says_so() {
    let place = Place::postgres();
    let (_afm, client) = serve_with(&place.uri(), &[], "SQLALCHEMY_POOL_TIMEOUT = 1\n");
    client.post_task(Body::task(1));
    eventually("tasks were counted", || metrics(&client).contains("slamon_tasks_waiting{"));
    place.sql("alter table task rename to gone");
    eventually("it is noticed", || {
        client.post("/task", Body::task(2));
        let text = metrics(&client);
        value(&text, "slamon_database_up") == Some(0.0) && !text.contains("slamon_tasks_waiting{")
    });
    has(&metrics(&client), &[(r#"slamon_tasks_posted_total{task_type="wait",task_version="1"}"#, 1.0)]);
}

/// The names of metrics in an expression: words that begin as all of ours do.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let is_metric = |word: &&str| word.starts_with("slamon_") || word.starts_with("process_");
    words.filter(is_metric).map(str::to_owned).collect()
}

#[test]
fn rules_and_dashboard_name_metrics_that_exist() {
    let rules = deployed("prometheus/slamon-afm.rules.yml");
    promtool(&["check", "rules", rules.to_str().expect("UTF-8")], "");
    let dashboard = std::fs::read_to_string(deployed("grafana/slamon-afm.json")).expect("it is there");
    let parsed: Value = dashboard.parse().expect("it is JSON");
    let targets =
        parsed["panels"].as_array().expect("a list").iter().flat_map(|panel| panel["targets"].as_array());
    let mut used: BTreeSet<String> =
        targets.flatten().flat_map(|target| names(target["expr"].as_str().expect("an expression"))).collect();
    used.extend(names(parsed["templating"]["list"][1]["query"].as_str().expect("a query")));
    let lines = std::fs::read_to_string(rules).expect("it is there");
    used.extend(lines.lines().filter(|line| !line.trim_start().starts_with('#')).flat_map(names));
    assert!(used.len() > 30, "{used:?}");

    let (afm, client) = serve("sqlite://");
    live(&client);
    eventually("tasks were counted", || metrics(&client).contains("slamon_tasks_waiting{"));
    let text = metrics(&client);
    let is_there = |name: &str| {
        text.lines().any(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
    };
    let missing: Vec<_> = used.iter().filter(|name| !is_there(name)).collect();
    assert!(missing.is_empty(), "{missing:?} are not in:\n{text}");
    afm.signal("TERM");
    assert_eq!(afm.wait_exit(PATIENCE).code(), Some(0));
}

#[test]
fn every_metric_is_documented() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let docs = std::fs::read_to_string(docs).expect("it is there");
    let (_afm, client) = serve("sqlite://");
    live(&client);
    eventually("tasks were counted", || metrics(&client).contains("slamon_tasks_waiting{"));
    let text = metrics(&client);
    let missing: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .filter(|name| !docs.contains(&format!("`{name}`")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
