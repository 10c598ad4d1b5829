//! The program: what it prints, and how it ends.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use slamon_testbed::{Process, free_port};

use crate::fake::{Fake, Fault};

/// Far beyond what any machine needs; reached only when something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

fn start(arguments: &str) -> Process {
    let words: Vec<&str> = arguments.split_whitespace().collect();
    Process::start(Path::new(env!("CARGO_BIN_EXE_slamon-bench")), &words, &[])
        .expect("a process can be started")
}

/// Its exit status, and what it printed.
fn run(arguments: &str) -> (Option<i32>, Vec<String>) {
    let process = start(arguments);
    let status = process.wait_exit(PATIENCE);
    (status.code(), process.log_lines())
}

fn json(lines: &[String]) -> Value {
    assert_eq!(lines.len(), 1, "{lines:?}");
    serde_json::from_str(&lines[0]).expect("it is JSON")
}

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn json_says_all_that_the_table_says() {
    let fake = Fake::start(Fault::None);
    let (status, lines) =
        run(&format!("life {} --count 40 -c 2 --json - --pid {}", fake.address, std::process::id()));
    assert_eq!(status, Some(0));
    let report = json(&lines);
    assert_eq!(
        keys(&report),
        [
            "address",
            "agents",
            "arrival",
            "checks",
            "client_cpu_seconds",
            "connections",
            "done",
            "errors",
            "keep_alive",
            "latency_us",
            "load",
            "loop",
            "per_second",
            "rate",
            "refused",
            "requests_per_second",
            "seconds",
            "server",
            "steps",
            "unsent",
        ]
    );
    assert_eq!(
        (&report["load"], &report["loop"], &report["rate"]),
        (&"life".into(), &"closed".into(), &Value::Null)
    );
    assert_eq!((&report["done"], &report["connections"]), (&40.into(), &2.into()));
    assert_eq!(keys(&report["latency_us"]), ["max", "mean", "min", "p50", "p90", "p99", "p999"]);
    assert_eq!(keys(&report["steps"]), ["claim", "get", "post", "report"]);
    assert_eq!(keys(&report["steps"]["get"]), keys(&report["latency_us"]));
    assert_eq!(keys(&report["checks"]), ["altered", "lost", "twice"]);
    assert_eq!(keys(&report["server"]), ["cpu_seconds", "peak_rss_bytes", "rss_bytes"]);
    assert!(report["server"]["rss_bytes"].as_u64() > Some(0), "{report}");
}

#[test]
fn json_goes_to_a_file_beside_the_table() {
    let fake = Fake::start(Fault::None);
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let file = folder.path().join("report.json");
    let (status, lines) = run(&format!("poll {} --count 20 --json {}", fake.address, file.display()));
    assert_eq!(status, Some(0), "{lines:?}");
    assert!(lines[0].starts_with("poll 127.0.0.1:"), "{lines:?}");
    let text = std::fs::read_to_string(file).expect("it is written");
    let report = json(&[text]);
    assert_eq!((&report["done"], &report["server"]), (&20.into(), &Value::Null));
}

#[test]
fn a_failed_check_is_exit_status_1() {
    let fake = Fake::start(Fault::AltersResult);
    let (status, lines) = run(&format!("life {} --count 40 -c 2", fake.address));
    assert_eq!(status, Some(1));
    assert!(lines.iter().any(|line| line.contains("altered 4: FAILED")), "{lines:?}");
}

#[test]
fn nobody_there_is_exit_status_2() {
    let (status, lines) = run(&format!("poll 127.0.0.1:{} --count 1", free_port()));
    assert_eq!(status, Some(2));
    assert!(lines[0].contains("nobody answers at 127.0.0.1:"), "{lines:?}");
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    for arguments in [
        "backlog 127.0.0.1:1 --no-fill",
        "backlog 127.0.0.1:1 --no-fill --type t --drain",
        "backlog 127.0.0.1:1 --waiting 5000",
        "fleet 127.0.0.1:1 --rate 5",
        "poll 127.0.0.1:1 -c 0",
        "poll 127.0.0.1:1 --count 0",
        "poll 127.0.0.1:1 --seconds -1",
        "poll localhost",
    ] {
        let (status, lines) = run(arguments);
        assert_eq!(status, Some(2), "{arguments}: {lines:?}");
    }
}

#[test]
fn an_interrupt_ends_the_run_and_what_was_measured_is_reported() {
    for pace in ["", "--rate 500"] {
        let fake = Fake::start(Fault::None);
        let process = start(&format!("poll {} -s 600 -c 2 --json - {pace}", fake.address));
        fake.wait_for_requests(20);
        process.signal("INT");
        assert_eq!(process.wait_exit(PATIENCE).code(), Some(0));
        let report = json(&process.log_lines());
        assert!(report["done"].as_u64() >= Some(18), "{report}");
        assert!(report["seconds"].as_f64() < Some(600.0), "{report}");
        assert_eq!(report["unsent"], 0);
    }
}

#[test]
fn whoever_asks_for_other_queues_without_them_is_told_what_to_install() {
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let ended = std::process::Command::new(env!("CARGO_BIN_EXE_slamon-bench"))
        .args(["compare", "--quick", "--only", "batches", "--others", "--server", "/bin/true", "--output"])
        .arg(folder.path())
        .env("PATH", folder.path())
        .output()
        .expect("it can be started");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(2), "{said}");
    assert!(said.contains("RabbitMQ is not there: apt-get install"), "{said}");
}
