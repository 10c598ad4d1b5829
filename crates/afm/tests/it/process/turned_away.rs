//! Tests clients that are answered 503 and come back at once.

use std::time::{Duration, Instant};

use rusqlite::Connection as Sqlite;

use super::{file_uri, folder, serve_with};
use crate::test_app::{Body, Client, eventually, id};

/// As agents of the first protocol do: on a connection of its own each time.
#[track_caller]
fn is_turned_away(client: &Client, path: &str, body: &Body) {
    let mut connection = client.connect();
    connection.post(path, &body.to_string());
    connection.answer().is_try_again();
}

#[test]
fn an_agent_is_held_back_and_the_log_counts_instead_of_repeating() {
    let folder = folder();
    let file = folder.path().join("afm.db");
    let uri = format!("{}?timeout=0", file_uri(&file));
    let (afm, client) = serve_with(&uri, &[], "");
    client.post_task(Body::task(1));
    assert_eq!(client.poll(Body::poll(9)), [id(1)]);
    let lock = Sqlite::open(&file).expect("the file is there");
    lock.execute_batch("begin immediate").expect("nobody else writes");

    // Nobody can be polled for who is new, nor any result be stored.
    let began = Instant::now();
    for _ in 0..2 {
        is_turned_away(&client, "/tasks/response", &Body::result(1));
        is_turned_away(&client, "/tasks/", &Body::poll(10));
    }
    assert!(began.elapsed() >= Duration::from_secs(4), "a second each: {:?}", began.elapsed());

    // BPMS clients know what Retry-After says; those who do not are still no reason for a line each time.
    let began = Instant::now();
    let mut posts = 0;
    while began.elapsed() < Duration::from_secs(2) {
        is_turned_away(&client, "/task", &Body::task(2));
        posts += 1;
    }
    assert!(posts > 20, "these are answered at once: {posts}");
    let lines = || {
        let lines = afm.log_lines();
        let of_posts = |line: &&String| line.contains("route=\"/task\"") && line.contains("status=503");
        lines.iter().filter(of_posts).cloned().collect::<Vec<_>>()
    };
    // All of them are accounted for.
    let counted = || -> u64 {
        let count = |line: &String| {
            line.split_once("repeats=").map_or(1, |(_, rest)| {
                let number = rest.split(' ').next().unwrap_or_default();
                number.parse().unwrap_or_else(|_| panic!("{line}"))
            })
        };
        lines().iter().map(count).sum()
    };
    eventually("the rest is counted", || counted() == posts);
    assert!(lines().len() <= 6, "{:#?}", lines());
    assert!(lines()[0].contains(&id(2)), "the first says what it was: {:#?}", lines());
    lock.execute_batch("commit").expect("the lock is released");
    client.post("/tasks/response", Body::result(1)).is_empty();
}

#[test]
fn an_answer_that_waits_leaves_at_the_stop() {
    let folder = folder();
    let file = folder.path().join("afm.db");
    let (afm, client) = serve_with(&format!("{}?timeout=0", file_uri(&file)), &[], "");
    client.post_task(Body::task(1));
    let lock = Sqlite::open(&file).expect("the file is there");
    lock.execute_batch("begin immediate").expect("nobody else writes");
    let ended = || afm.log_lines().iter().any(|line| line.contains("/tasks/response"));
    let mut connection = client.connect();
    connection.post("/tasks/response", &Body::result(1).to_string());
    eventually("it waits for its answer to leave", ended);
    afm.signal("TERM");
    connection.answer().is_try_again();
    assert!(!afm.log_lines().iter().any(|line| line.contains("cut off")), "{:#?}", afm.log_lines());
    drop(lock);
}
