//! Tests how the program ends when it gets a signal.

use std::time::Duration;

use rusqlite::Connection as Sqlite;
use slamon_testbed::AfmProcess;

use super::{file_uri, folder, serve, serve_with};
use crate::test_app::{Body, Client, Connection, PATIENCE, eventually, id};

#[test]
fn either_signal_ends_it_well() {
    for signal in ["TERM", "INT"] {
        let (afm, client) = serve("sqlite://");
        let mut idle = client.connect();
        client.post_task(Body::task(1));
        afm.signal(signal);
        assert_eq!(afm.wait_exit(PATIENCE).code(), Some(0));
        idle.wait_until_closed();
        let lines = afm.log_lines();
        assert!(lines.iter().any(|line| line.contains(&format!("SIG{signal}"))), "{lines:#?}");
        assert!(lines.last().is_some_and(|line| line.ends_with("stopped")), "{lines:#?}");
    }
}

#[test]
fn two_signals_at_once_end_it_well_when_nothing_runs() {
    for _ in 0..5 {
        let (afm, _client) = serve("sqlite://");
        afm.signal("TERM");
        afm.signal("TERM");
        assert_eq!(afm.wait_exit(PATIENCE).code(), Some(0), "{:#?}", afm.log_lines());
    }
}

#[test]
fn requests_that_are_held_open_do_not_hold_it_up() {
    let (afm, client) = serve_with("sqlite://", &[], "SHUTDOWN_TIMEOUT = 30\n");
    client.post_task(Body::task(1).with("task_version", "2"));
    let mut agent = client.connect();
    agent.post("/tasks", &Body::poll(9).with("max_wait", "300").to_string());
    let mut read = client.connect();
    read.get(&format!("/task/{}?wait=300", id(1)));
    eventually("the agent has asked", || client.get("/status").json()["agents"] == 1);
    afm.signal("TERM");
    assert_eq!(agent.answer().json()["tasks"], serde_json::json!([]));
    assert_eq!(read.answer().json()["task_state"], "pending");
    assert_eq!(afm.wait_exit(PATIENCE).code(), Some(0));
    assert!(!afm.log_lines().iter().any(|line| line.contains("cut off")), "{:#?}", afm.log_lines());
}

/// A server whose database another process has locked, and a request that is under way there.
struct Stuck {
    afm: AfmProcess,
    client: Client,
    request: Connection,
    lock: Sqlite,
    uri: String,
    _folder: tempfile::TempDir,
}

/// How many more commands may wait.
fn queue_room(client: &Client) -> f64 {
    let metrics = client.get("/metrics").body;
    let line = metrics.lines().find_map(|line| line.strip_prefix("slamon_queue_room "));
    line.and_then(|room| room.parse().ok()).unwrap_or_else(|| panic!("{metrics}"))
}

#[track_caller]
fn stuck(config: &str) -> Stuck {
    let folder = folder();
    let file = folder.path().join("afm.db");
    // The longest there is; no test waits for it.
    let uri = format!("{}?timeout=60", file_uri(&file));
    let (afm, client) = serve_with(&uri, &[], config);
    let lock = Sqlite::open(&file).expect("the file is there");
    lock.execute_batch("begin immediate").expect("nobody else writes");
    // What waits in the queue already is of the server itself.
    let room = queue_room(&client);
    let mut request = client.connect();
    request.post("/task", &Body::task(1).to_string());
    eventually("the post waits to be written", || queue_room(&client) < room);
    Stuck { afm, client, request, lock, uri, _folder: folder }
}

#[test]
fn what_runs_is_finished_first() {
    let Stuck { afm, client, mut request, lock, uri, _folder } = stuck("");
    afm.signal("TERM");
    eventually("it accepts nothing more", || !client.listens());
    lock.execute_batch("commit").expect("the lock is released");
    request.answer().is_empty_and_last();
    assert_eq!(afm.wait_exit(PATIENCE).code(), Some(0));
    let (_afm, client) = serve(&uri);
    assert_eq!(client.get(&format!("/task/{}", id(1))).status, 200);
}

#[test]
fn the_second_signal_ends_it_at_once() {
    let Stuck { afm, client, mut request, lock, .. } = stuck("");
    afm.signal("TERM");
    eventually("it accepts nothing more", || !client.listens());
    afm.signal("INT");
    assert_eq!(afm.wait_exit(PATIENCE).code(), Some(1));
    request.wait_until_closed();
    drop(lock);
}

#[test]
fn it_does_not_wait_for_ever() {
    let Stuck { afm, mut request, lock, .. } = stuck("SHUTDOWN_TIMEOUT = 0.2");
    afm.signal("TERM");
    assert_eq!(afm.wait_exit(PATIENCE).code(), Some(1));
    request.wait_until_closed();
    drop(lock);
}

#[test]
fn what_is_held_is_answered_at_once_and_not_called_cut_off() {
    let Stuck { afm, client, mut request, lock, .. } = stuck("SHUTDOWN_TIMEOUT = 3");
    let poll = |agent: u64| Body::poll(agent).with("max_wait", "300").to_string();
    // They ask a database that does not answer.
    let mut agents: Vec<Connection> = (8..12)
        .map(|agent| {
            let mut connection = client.connect();
            connection.get("/healthz");
            connection.post("/tasks", &poll(agent));
            assert_eq!(connection.answer().status, 200);
            assert!(connection.is_silent_for(Duration::from_millis(200)));
            connection
        })
        .collect();
    // Nobody waits for an answer to this.
    let mut silent = client.connect();
    silent.write("GET /status HTTP/1.1\r\n");
    afm.signal("TERM");
    for agent in &mut agents {
        assert_eq!(agent.answer().json()["tasks"], serde_json::json!([]));
    }
    assert_eq!(afm.wait_exit(PATIENCE).code(), Some(1));
    request.wait_until_closed();
    let lines = afm.log_lines();
    let cut_off = lines.iter().find(|line| line.contains("cut off")).expect("the post is");
    assert!(cut_off.contains("requests=1"), "{cut_off}");
    drop(lock);
}
