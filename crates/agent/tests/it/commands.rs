//! Commands that the operator of an agent has listed.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use slamon_testbed::Process;
use uuid::Uuid;

use crate::fleet::{Fleet, PATIENCE, Task};

/// An agent that has a shell with this script as its command "run".
fn agent(fleet: &Fleet, script: &str, args: &[&str]) -> Process {
    let file = fleet.state_folder("agent.toml");
    let table = format!("[commands.run]\nprogram = '/bin/sh'\narguments = ['-c', '''{script}''']\n");
    std::fs::write(&file, table).expect("the configuration is written");
    let file = file.to_string_lossy();
    fleet.agent("first", &[&["--config", &file], args].concat())
}

fn post(fleet: &Fleet, data: Value) -> Uuid {
    fleet.post(&Task { task_type: "process", data, terms: json!({}) })
}

/// The process that a command has written to a file.
fn process_in(file: &Path) -> String {
    let end = Instant::now() + PATIENCE;
    loop {
        match std::fs::read_to_string(file) {
            Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
            _ => assert!(Instant::now() < end, "the command has not begun"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn wait_until_gone(process: &str) {
    let end = Instant::now() + PATIENCE;
    while std::fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| !stat.contains(") Z")) {
        assert!(Instant::now() < end, "the process is still there");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_listed_command_gets_the_data_and_its_object_is_the_result() {
    let fleet = Fleet::start();
    let _agent = agent(&fleet, "read input; echo \"{\\\"got\\\": $input}\"", &[]);
    let task = fleet.wait_for(post(&fleet, json!({"command": "run", "input": {"a": "$(id)"}})));
    assert_eq!(task["task_result"]["result"], json!({"got": {"a": "$(id)"}}), "{task}");
    let task = fleet.wait_for(post(&fleet, json!({"command": "rm", "arguments": ["-rf", "/"]})));
    let error = task["task_error"].as_str().unwrap();
    assert!(error.starts_with("task_data.arguments: unknown field `arguments`"), "{error}");
    let task = fleet.wait_for(post(&fleet, json!({"command": "rm"})));
    assert_eq!(task["task_error"], "task_data.command: this agent has no command \"rm\": there are \"run\"");
}

#[test]
fn neither_a_task_that_is_cancelled_nor_an_agent_that_ends_leaves_a_process_behind() {
    let fleet = Fleet::start();
    let file = fleet.state_folder("process");
    let script = format!("trap \"\" TERM; sleep 600 & echo $! > {}; wait; sleep 600", file.display());
    let agent = agent(&fleet, &script, &["--shutdown-limit", "1"]);
    let cancelled = post(&fleet, json!({"command": "run"}));
    let process = process_in(&file);
    std::fs::remove_file(&file).expect("the file is there");
    ureq::delete(format!("{}/task/{cancelled}", fleet.url())).call().expect("the task can be cancelled");
    wait_until_gone(&process);
    post(&fleet, json!({"command": "run"}));
    let process = process_in(&file);
    agent.signal("TERM");
    assert!(agent.wait_exit(PATIENCE).success());
    wait_until_gone(&process);
}
