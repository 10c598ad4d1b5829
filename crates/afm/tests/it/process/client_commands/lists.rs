//! Tests `task list`.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::super::program;
use super::{Asked, documents};
use crate::test_app::{Body, id};

fn post_many(asked: &Asked, count: usize) {
    let line = "{\"task_type\":\"wait\",\"task_version\":1}\n";
    let posted = asked.run_with(&["task", "post", "--file", "-"], &line.repeat(count));
    assert_eq!(posted.status, Some(0), "{}", posted.stderr);
}

#[test]
fn every_filter_chooses() {
    let asked = Asked::new();
    asked.client.post_task(Body::task(1).with("test_id", format!("\"{}\"", id(50))));
    asked
        .client
        .post_task(Body::task(2).with("task_version", "2").with("agent_filter", r#"{"country":"FI"}"#));
    assert_eq!(asked.client.poll(Body::poll(9)), [id(1)]);
    assert_eq!(asked.client.post("/tasks/response", Body::failure(1, r#""it Broke""#)).status, 200);
    let (first, second) = (vec![id(1)], vec![id(2)]);
    let (test, agent, task) = (id(50), id(9), id(2));
    for (args, expected) in [
        (&["--state", "failed"][..], &first),
        (&["--type", "wait", "--type-version", "2"], &second),
        (&["--task-type", "wait", "--task-version", "1"], &first),
        (&["--test", &test], &first),
        (&["--agent", &agent], &first),
        (&["--id", &task], &second),
        (&["--country", "FI"], &second),
        (&["--error", "broke"], &first),
        (&["--from", "2100-01-01T00:00:00Z"], &vec![]),
        (&["--to", "2000-01-01T00:00:00Z"], &vec![]),
        (&["--from", "2000-01-01T00:00:00Z", "--to", "2100-01-01T00:00:00Z"], &vec![id(2), id(1)]),
        (&["--order", "oldest"], &vec![id(1), id(2)]),
        (&["--order", "oldest", "--limit", "1"], &first),
    ] {
        let pages = asked.json(&[&["task", "list"], args].concat());
        let tasks = pages.iter().flat_map(|page| page["tasks"].as_array().expect("a list"));
        let found: Vec<_> = tasks.map(|task| task["task_id"].as_str().expect("an id").to_owned()).collect();
        assert_eq!(found, *expected, "{args:?}");
        let shown = asked.run(&[&["task", "list"], args].concat());
        assert_eq!(shown.stdout.lines().count(), 1 + expected.len(), "{args:?}: {shown:?}");
    }
}

#[test]
fn a_list_goes_on_to_its_end_only_when_it_is_asked_to() {
    let asked = Asked::new();
    post_many(&asked, 2_300);
    let part = asked.run(&["task", "list", "--limit", "1200"]);
    assert_eq!((part.status, part.stdout.lines().count()), (Some(0), 1_201), "{}", part.stderr);
    let cursor = part.stderr.trim().rsplit(' ').next().expect("a cursor").to_owned();
    let rest = asked.done(&["task", "list", "--cursor", &cursor, "--limit", "5000"]);
    assert_eq!(rest.lines().count(), 1_101);
    let all = asked.done(&["task", "list", "--all"]);
    assert_eq!(all.lines().count(), 2_301);
    assert_eq!(all.lines().filter(|line| line.starts_with("POSTED")).count(), 1);
    let pages = documents(&asked.run(&["task", "list", "--all", "--json"]));
    let tasks: usize = pages.iter().filter_map(|page| page["tasks"].as_array()).map(Vec::len).sum();
    assert_eq!((tasks, pages.len() > 2), (2_300, true));
}

#[test]
fn whoever_reads_no_more_ends_the_list_without_a_complaint() {
    let asked = Asked::new();
    post_many(&asked, 2_000);
    for args in [
        &["task", "list", "--all"][..],
        &["task", "list", "--all", "--json"],
        &["completions", "bash"],
        &["man"],
        &["task", "list", "--help"],
    ] {
        let mut child = Command::new(program())
            .args(args)
            .env_clear()
            .env("SLAMON_AFM_URL", asked.afm.url())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut first = String::new();
        let mut reader = BufReader::with_capacity(16, child.stdout.take().expect("a pipe"));
        reader.read_line(&mut first).expect("a line");
        drop(reader);
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), said.as_str()), (Some(0), ""), "{args:?}");
    }
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("a device");
    let output = Command::new(program())
        .args(["task", "list"])
        .env_clear()
        .env("SLAMON_AFM_URL", asked.afm.url())
        .stdout(full)
        .output()
        .expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("could not write the answer"), "{said}");
}
