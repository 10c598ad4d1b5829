//! Files that reach the limit on their size, `ulimit -f`: a signal comes with the error, and ends who does
//! not expect it.

use std::fs;
use std::path::Path;
use std::process::Command;

use slamon_testbed::Process;

use super::{file_uri, folder, program, run, write};
use crate::test_app::{Body, Client, eventually, id};

/// In KiB: room for the tables and some tasks, and for some lines of a log.
const DATABASE: u32 = 400;
const LOG: u32 = 4;

const SCRIPT: &str = r#"ulimit -f "$1" && shift && exec "$@""#;

/// The program whose files may have `limit` KiB.
#[track_caller]
fn start(limit: u32, args: &[&str], env: &[(&str, &str)]) -> (Process, Client) {
    let (limit, program) = (limit.to_string(), program().to_str().expect("the path is UTF-8"));
    let port = slamon_testbed::free_port();
    let address = ["run", "127.0.0.1", &port.to_string()];
    let args = [&["-c", SCRIPT, "bash", &limit, program], args, &address].concat();
    let process = Process::start(Path::new("bash"), &args, env).expect("bash runs");
    let client = Client::new(([127, 0, 0, 1], port).into());
    eventually("it is ready", || {
        assert!(!process.has_ended());
        client.listens() && client.get("/readyz").status == 200
    });
    (process, client)
}

#[test]
fn a_database_that_may_not_grow_is_a_full_disk() {
    let folder = folder();
    let uri = file_uri(&folder.path().join("afm.db"));
    let (afm, client) = start(DATABASE, &["--database-uri", &uri], &[]);
    let task = |n: u64| Body::task(n).with("task_data", format!(r#"{{"a":"{}"}}"#, "x".repeat(50_000)));
    let is_taken = |n: &u64| {
        let answer = client.post("/task", task(*n));
        if answer.status != 200 {
            answer.is_try_again();
        }
        answer.status == 200
    };
    let taken = (0..100).take_while(is_taken).count() as u64;
    assert!((1..100).contains(&taken), "{taken}");
    client.post("/task", task(taken)).is_try_again();
    client.get(&format!("/task/{}", id(taken))).problem(404);
    for n in 0..taken {
        assert_eq!(client.get(&format!("/task/{}", id(n))).status, 200);
    }
    assert_eq!(client.get("/healthz").status, 200);
    assert!(!afm.has_ended());
}

#[test]
fn a_log_that_may_not_grow_stops_nothing() {
    let folder = folder();
    let log = folder.path().join("afm.log");
    let path = log.display().to_string();
    let (afm, client) = start(LOG, &[], &[("LOG_FILE", &path), ("LOG_FORMAT", "json")]);
    for n in 0..100 {
        client.post_task(Body::task(n));
    }
    let size = || fs::metadata(&log).expect("it is there").len();
    eventually("it is full", || size() == 1_024 * u64::from(LOG));
    assert_eq!(client.get("/healthz").status, 200);
    // With room again, the loss is told.
    fs::rename(&log, folder.path().join("old.log")).expect("it can be renamed");
    afm.signal("HUP");
    let text = || fs::read_to_string(&log).unwrap_or_default();
    eventually("the loss is logged", || text().contains("log lines were lost"));
}

#[test]
fn a_log_that_is_full_at_the_start_stops_nothing() {
    let folder = folder();
    let log = write(folder.path(), "afm.log", &"x".repeat(1_024 * LOG as usize));
    // Which settings were read is written first of all.
    let config = write(folder.path(), "afm.cfg", "");
    let (log, config) = (log.display().to_string(), config.display().to_string());
    let (_afm, client) = start(LOG, &["--config", &config], &[("LOG_FILE", &log)]);
    client.post_task(Body::task(1));
}

#[test]
fn tables_that_cannot_be_made_are_one_line() {
    let folder = folder();
    let uri = file_uri(&folder.path().join("afm.db"));
    let program = program().to_str().expect("the path is UTF-8");
    let mut command = Command::new("bash");
    command.args(["-c", SCRIPT, "bash", "8", program, "--database-uri", &uri, "create-tables"]);
    let output = command.output().expect("bash runs");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("ERROR"), "{output:?}");
    // With room, they can.
    let ended = run(folder.path(), &["--database-uri", &uri, "create-tables"], &[]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
}
