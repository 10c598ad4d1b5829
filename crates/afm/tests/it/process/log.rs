//! Tests what the program logs.

use serde_json::Value;

use super::{folder, run, serve, serve_with};
use crate::test_app::{Body, PATIENCE, Place, eventually, id};

#[test]
fn one_line_a_request_with_what_it_was_about() {
    let (afm, client) = serve("sqlite://");
    client.post_task(Body::task(1).with("task_data", r#"{"password":"s3cret"}"#));
    assert_eq!(client.poll(Body::poll(9)), [id(1)]);
    client.get("/s3cret");
    client.get("/healthz");
    // Polls that bring nothing are not logged at INFO, since a fleet would fill the log.
    assert_eq!(client.poll(Body::poll(9)), [] as [String; 0]);
    client.post("/tasks/response", Body::failure(1, r#""s3cret""#)).is_empty();
    client.get(&format!("/task/{}?s3cret", id(1))).json();
    afm.signal("TERM");
    assert!(afm.wait_exit(PATIENCE).success());
    let lines = afm.log_lines();
    let answered: Vec<&String> = lines.iter().filter(|line| line.contains("answered")).collect();
    let expected = [
        vec!["method=POST", "route=\"/task\"", "status=200", &id(1)],
        vec!["method=POST", "route=\"/tasks\"", "status=200", &id(9), &id(1)],
        vec!["method=GET", "route=\"-\"", "status=404"],
        vec!["method=POST", "route=\"/tasks/response\"", "status=200", &id(1)],
        vec!["method=GET", "route=\"/task/{task_id}\"", "status=200", &id(1)],
    ]
    .map(|words| words.into_iter().map(str::to_owned).collect::<Vec<String>>());
    assert_eq!(answered.len(), expected.len(), "{lines:#?}");
    for (line, words) in answered.iter().zip(expected) {
        assert!(words.iter().all(|word| line.contains(word)), "{words:?}: {line}");
        assert!(line.contains("elapsed_us="), "{line}");
    }
    // The log has neither bodies nor paths that clients choose.
    assert!(!lines.iter().any(|line| line.contains("s3cret")), "{lines:#?}");
}

#[test]
fn json_lines_in_a_file() {
    let folder = folder();
    let file = folder.path().join("afm.log");
    // Otherwise the port is read from standard error.
    let port = slamon_testbed::free_port();
    let afm = slamon_testbed::Process::start(
        super::program(),
        &["run", "127.0.0.1", &port.to_string()],
        &[("LOG_FILE", &file.display().to_string()), ("LOG_FORMAT", "json")],
    )
    .expect("the program starts");
    let lines = || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let lines = text.lines().map(|line| line.parse::<Value>().unwrap_or_else(|e| panic!("{e}: {line}")));
        lines.collect::<Vec<_>>()
    };
    let client = crate::test_app::Client::new(([127, 0, 0, 1], port).into());
    eventually("it is ready", || client.listens() && client.get("/readyz").status == 200);
    client.post_task(Body::task(1));
    assert_eq!(client.poll(Body::poll(9)), [id(1)]);
    client.get("/status").json();
    afm.signal("TERM");
    assert!(afm.wait_exit(PATIENCE).success());
    // Whoever started the program is told where the log is.
    assert_eq!(afm.log_lines(), [format!("slamon-afm: log lines go to {}", file.display())]);
    let lines = lines();
    for line in &lines {
        assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
        assert!(line["message"].is_string(), "{line}");
    }
    let answered: Vec<&Value> = lines.iter().filter(|line| line["message"] == "answered").collect();
    let [post, poll, status] = answered.as_slice() else { panic!("{lines:#?}") };
    assert_eq!((&post["method"], &post["route"]), (&"POST".into(), &"/task".into()));
    assert_eq!((&post["status"], &post["task_id"]), (&200.into(), &id(1).into()));
    assert_eq!(poll["agent_id"], id(9));
    assert_eq!(poll["tasks"], id(1));
    assert_eq!((&status["method"], &status["route"]), (&"GET".into(), &"/status".into()));
    assert!(status["elapsed_us"].is_u64(), "{status}");
}

#[test]
fn levels() {
    let (afm, client) = serve_with("sqlite://", &[], "LOG_LEVEL = 'DEBUG'\n");
    client.get("/healthz");
    afm.wait_for_line(|line| line.contains("DEBUG") && line.contains("/healthz"), PATIENCE);
    client.poll(Body::poll(9));
    afm.wait_for_line(|line| line.contains("DEBUG") && line.contains(&id(9)), PATIENCE);
    client.post("/task", "{}").problem(400);
    afm.wait_for_line(|line| line.contains("DEBUG") && line.contains("task_id: is required"), PATIENCE);
}

#[test]
fn lines_quote_little_of_what_was_wrong() {
    let (afm, client) = serve_with("sqlite://", &[], "LOG_LEVEL = 'DEBUG'\n");
    let long: &'static str = "x".repeat(20_000).leak();
    let quoted = format!("\"{long}\"");
    client.post("/task", &*quoted).problem(400);
    for field in ["task_id", "task_version", "task_type", "task_ttl", long] {
        client.post("/task", Body::task(1).with(field, &*quoted)).problem(400);
    }
    client.post("/tasks/response", Body::failure(1, &quoted)).problem(400);
    let mut connection = client.connect();
    connection.write(format!("{long} /task HTTP/1.1\r\nhost: afm\r\n\r\n"));
    connection.answer().problem(405);
    client.get(&format!("/{long}")).problem(404);
    afm.signal("TERM");
    assert!(afm.wait_exit(PATIENCE).success());
    let longest = afm.log_lines().into_iter().max_by_key(String::len).expect("there are lines");
    assert!(longest.len() < 600, "{longest}");
    assert!(afm.log_lines().iter().any(|line| line.contains("xxx")), "some of it is there");
}

#[test]
fn a_log_file_that_cannot_be_written_is_named() {
    let ended = run(folder().path(), &["run"], &[("LOG_FILE", "gone/afm.log")]);
    assert_eq!((ended.status, ended.stderr.lines().count()), (Some(2), 1), "{ended:?}");
    assert!(ended.stderr.contains("LOG_FILE gone/afm.log"), "{ended:?}");
}

#[test]
fn a_log_that_is_full_stops_nothing() {
    let port = slamon_testbed::free_port();
    let _afm = slamon_testbed::Process::start(
        super::program(),
        &["run", "127.0.0.1", &port.to_string()],
        &[("LOG_FILE", "/dev/full")],
    )
    .expect("the program starts");
    let client = crate::test_app::Client::new(([127, 0, 0, 1], port).into());
    eventually("it is ready", || client.listens() && client.get("/readyz").status == 200);
    client.post_task(Body::task(1));
    assert_eq!(client.poll(Body::poll(9)), [id(1)]);
}

#[test]
fn a_log_file_that_was_moved_away_is_opened_again_at_sighup() {
    let folder = folder();
    let (file, moved) = (folder.path().join("afm.log"), folder.path().join("afm.log.1"));
    let port = slamon_testbed::free_port();
    let afm = slamon_testbed::Process::start(
        super::program(),
        &["run", "127.0.0.1", &port.to_string()],
        &[("LOG_FILE", &file.display().to_string())],
    )
    .expect("the program starts");
    let client = crate::test_app::Client::new(([127, 0, 0, 1], port).into());
    eventually("it is ready", || client.listens() && client.get("/readyz").status == 200);
    let text = |path: &std::path::Path| std::fs::read_to_string(path).unwrap_or_default();
    std::fs::rename(&file, &moved).expect("the file is there");
    client.post_task(Body::task(1));
    eventually("lines go on to the moved file", || text(&moved).contains(&id(1)));
    afm.signal("HUP");
    eventually("the file is opened again", || text(&file).contains("opened again"));
    client.post_task(Body::task(2));
    eventually("lines go to the new file", || text(&file).contains(&id(2)));
    assert!(!text(&moved).contains(&id(2)));
    afm.signal("TERM");
    assert_eq!(afm.wait_exit(PATIENCE).code(), Some(0));
}

#[test]
fn each_reason_why_reads_fail_is_logged_once() {
    let place = Place::postgres();
    let (afm, client) = serve(&place.uri());
    for column in ["test_id", "result"] {
        place.sql(&format!("alter table task rename column {column} to gone"));
        for n in 0..5 {
            client.get(&format!("/task/{}", id(n))).problem(500);
        }
        place.sql(&format!("alter table task rename column gone to {column}"));
    }
    assert_eq!(client.get(&format!("/task/{}", id(1))).status, 404);
    let failed = |line: &String| line.contains("could not read from the database");
    let failed: Vec<_> = afm.log_lines().into_iter().filter(failed).collect();
    assert_eq!(failed.len(), 2, "{failed:#?}");
    assert!(failed[0].contains("test_id") && failed[1].contains("result"), "{failed:#?}");
}
