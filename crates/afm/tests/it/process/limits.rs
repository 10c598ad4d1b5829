//! Tests the limits of the system.

use std::fs;

use slamon_testbed::Process;

use super::{program, serve_with};
use crate::test_app::{Body, Client, Connection, PATIENCE, id};

/// Returns the limits that the program logs, started by a shell that sets its own first.
fn limits(ulimits: &str) -> String {
    let script = format!("{ulimits}; exec {} run 127.0.0.1 0", program().display());
    let process = Process::start("/bin/sh".as_ref(), &["-c", &script], &[]).expect("sh runs");
    let line = process.wait_for_line(|line| line.contains("open_files="), PATIENCE);
    process.wait_for_line(|line| line.contains("listening"), PATIENCE);
    line
}

#[test]
fn it_takes_as_many_files_as_it_may_have() {
    let line = limits("ulimit -Sn 100; ulimit -Hn 512");
    assert!(line.contains("open_files=512 connections=443"), "{line}");
    // The program also starts with few files.
    let line = limits("ulimit -Sn 64; ulimit -Hn 64");
    assert!(line.contains("open_files=64 connections="), "{line}");
}

/// Starts a server in a shell with limits of its own.
#[track_caller]
fn serve_within(ulimits: &str) -> (Process, Client) {
    let script = format!("{ulimits}; exec {} run 127.0.0.1 0", program().display());
    let process = Process::start("/bin/sh".as_ref(), &["-c", &script], &[]).expect("sh runs");
    let line = process.wait_for_line(|line| line.contains("listening"), PATIENCE);
    let (_, address) = line.split_once("addr=").expect("it says where");
    let client =
        Client::new(address.split(' ').next().and_then(|address| address.parse().ok()).expect("an address"));
    (process, client)
}

#[test]
fn more_polls_are_held_than_it_was_started_to_have_files() {
    let (_process, client) = serve_within("ulimit -Sn 64; ulimit -Hn 1024");
    let held = |n: u64| {
        let mut connection = client.connect();
        connection.post("/tasks", &Body::poll(n).with("max_wait", "300").to_string());
        connection
    };
    let _held: Vec<Connection> = (0..200).map(held).collect();
    for path in ["/healthz", "/status"] {
        let mut connection = client.connect();
        connection.get(path);
        assert_eq!(connection.answer().status, 200, "{path}");
    }
}

/// Returns the most memory that a process has had at a time, in bytes.
fn most_memory(process: &Process) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", process.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says it");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1_024
}

#[test]
fn answers_that_nobody_reads_take_little_memory() {
    // This is more than the kernel keeps for a client that does not read.
    const LARGE: usize = 12 * 1024 * 1024;
    let (afm, client) = serve_with("sqlite://", &[], &format!("MAX_CONTENT_LENGTH = {}\n", 2 * LARGE));
    client.post_task(Body::task(1).with("task_data", format!("{{\"x\":\"{}\"}}", "x".repeat(LARGE))));
    // What one such task takes to be posted and read is no matter.
    assert_eq!(client.get(&format!("/task/{}", id(1))).status, 200);
    let before = most_memory(&afm);
    let mut unread: Vec<Connection> = (0..40).map(|_| client.connect()).collect();
    for connection in &mut unread {
        connection.get(&format!("/task/{}", id(1)));
    }
    for connection in &mut unread {
        assert!(!connection.is_silent_for(PATIENCE), "it is answered");
    }
    let more = most_memory(&afm) - before;
    assert!(more < 20 * LARGE, "{} MiB for {} answers", more / 1024 / 1024, unread.len());
    client.post_task(Body::task(2).with("task_version", "2"));
}
