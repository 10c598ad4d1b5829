//! Tests another process that holds the lock of the SQLite file.

use rusqlite::Connection as Sqlite;

use super::{file_uri, folder, run, serve};
use crate::test_app::{Body, PATIENCE, id};

#[test]
fn writes_are_503_while_it_lasts_and_reads_are_not() {
    let folder = folder();
    let file = folder.path().join("afm.db");
    let (afm, client) = serve(&format!("{}?timeout=0.05", file_uri(&file)));
    client.post_task(Body::task(1));
    let lock = Sqlite::open(&file).expect("the file is there");
    lock.execute_batch("begin immediate").expect("nobody else writes");
    client.post("/task", Body::task(2)).is_try_again();
    client.post("/tasks", Body::poll(9)).is_try_again();
    client.post("/tasks/response", Body::result(1)).is_try_again();
    afm.wait_for_line(|line| line.contains("ERROR") && line.contains("locked"), PATIENCE);
    assert_eq!(client.get(&format!("/task/{}", id(1))).status, 200);
    client.get(&format!("/task/{}", id(2))).problem(404);
    client.get("/status").is_json(r#"{"agents":0,"tasks_waiting":1}"#);
    assert_eq!(client.get("/healthz").status, 200);

    lock.execute_batch("rollback").expect("the lock is released");
    client.post_task(Body::task(2));
    assert_eq!(client.poll(Body::poll(9)), [id(1), id(2)]);
    client.post("/tasks/response", Body::result(1)).is_empty();
}

#[test]
fn at_the_start_it_is_an_error_that_says_so() {
    let folder = folder();
    let lock = Sqlite::open(folder.path().join("afm.db")).expect("a file can be made");
    lock.execute_batch("begin exclusive").expect("nobody else is there");
    let args = ["--database-uri", "sqlite:///afm.db?timeout=0.05", "run", "127.0.0.1", "0"];
    let ended = run(folder.path(), &args, &[]);
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("locked"), "{ended:?}");
}
