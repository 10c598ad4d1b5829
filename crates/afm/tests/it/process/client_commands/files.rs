//! Tests `task post --file`.

use std::thread;

use serde_json::{Value, json};

use super::super::{folder, serve_with, write};
use super::{Asked, documents, run_at};
use crate::test_app::{Body, eventually, id};

#[test]
fn each_line_of_a_file_gets_an_answer() {
    let asked = Asked::new();
    let given = id(5);
    let lines = format!(
        "{}\nnonsense\n{}\n\n{}\n{}\n[]\n",
        r#"{"task_type":"wait","task_version":1}"#,
        r#"{"task_type":"wait"}"#,
        json!({"task_id": given, "task_type": "wait", "task_version": 2, "task_ttl": 7}),
        r#"{"task_id":7,"task_type":"wait","task_version":2}"#,
    );
    let args = ["task", "post", "--file", "-", "--ttl", "50", "--json"];
    let ended = asked.run_with(&args, &lines);
    assert_eq!(ended.status, Some(3), "{ended:?}");
    let answers = documents(&ended);
    let of_lines = answers.iter().map(|answer| (answer["line"].clone(), answer["status"].clone()));
    let expected = [(1, 200), (2, 400), (3, 400), (5, 200), (6, 400), (7, 400)];
    assert_eq!(of_lines.collect::<Vec<_>>(), expected.map(|(line, status)| (json!(line), json!(status))));
    assert_eq!(answers[2]["field"], "task_version");
    assert_eq!(answers[3]["task_id"], given);
    let ttl = |id: &Value| asked.json(&["task", "get", id.as_str().expect("an id")])[0]["task_ttl"].clone();
    assert_eq!((ttl(&answers[0]["task_id"]), ttl(&answers[3]["task_id"])), (json!(50.0), json!(7.0)));

    let folder = folder();
    let file = write(folder.path(), "tasks.jsonl", r#"{"task_type":"wait","task_version":1}"#);
    let shown = asked.done(&["task", "post", "--file", file.to_str().expect("UTF-8")]);
    assert!(shown.starts_with("LINE") && shown.contains("200"), "{shown}");
    assert_eq!(asked.done(&["task", "post", "--file", "/dev/null"]).lines().count(), 1);
    let missing = asked.run(&["task", "post", "--file", "/no/such/file"]);
    assert_eq!(missing.status, Some(2), "{missing:?}");
}

#[test]
fn a_file_of_many_tasks_is_posted_in_several_requests() {
    let asked = Asked::new();
    let line = format!(
        "{{\"task_type\":\"wait\",\"task_version\":1,\"task_data\":{{\"a\":\"{}\"}}}}\n",
        "x".repeat(600)
    );
    let ended = asked.run_with(&["task", "post", "--file", "-", "--json"], &line.repeat(2_500));
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    let answers = documents(&ended);
    assert_eq!(answers.len(), 2_500);
    assert!(answers.iter().all(|answer| answer["status"] == 200));
    assert_eq!(answers[2_499]["line"], 2_500);
}

#[test]
fn an_afm_that_takes_little_at_once_gets_little_at_once() {
    let (afm, _client) = serve_with("sqlite://", &[], "MAX_CONTENT_LENGTH = 3000\n");
    let line = |bytes: usize| {
        format!(
            "{{\"task_type\":\"wait\",\"task_version\":1,\"task_data\":{{\"a\":\"{}\"}}}}\n",
            "x".repeat(bytes)
        )
    };
    let lines = format!("{}{}{}", line(500).repeat(9), line(5_000), line(500).repeat(3));
    let ended = run_at(&afm.url(), &["task", "post", "--file", "-", "--json"], &lines);
    assert_eq!(ended.status, Some(3), "{ended:?}");
    let statuses: Vec<Value> = documents(&ended).iter().map(|answer| answer["status"].clone()).collect();
    let mut expected = vec![json!(200); 13];
    expected[9] = json!(413);
    assert_eq!(statuses, expected);
}

#[test]
fn the_tasks_of_a_file_are_waited_for() {
    let asked = Asked::new();
    let line = "{\"task_type\":\"wait\",\"task_version\":1}\n";
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut tasks = Vec::new();
            eventually("two tasks are handed out", || {
                tasks.extend(asked.client.poll(Body::poll(9)));
                tasks.len() == 2
            });
            for (task, end) in tasks.iter().zip([Body::result(0), Body::failure(0, r#""it broke""#)]) {
                let end = end.with("task_id", format!("\"{task}\""));
                assert_eq!(asked.client.post("/tasks/response", end).status, 200);
            }
        });
        let ended =
            asked.run_with(&["task", "post", "--file", "-", "--wait", "--for", "60"], &line.repeat(2));
        assert_eq!(ended.status, Some(1), "{ended:?}");
        assert!(ended.stdout.contains("completed") && ended.stdout.contains("it broke"), "{ended:?}");
    });
    let late = asked.run_with(&["task", "post", "--file", "-", "--wait", "--for", "0.1", "--json"], line);
    assert_eq!(late.status, Some(5), "{late:?}");
    assert_eq!(documents(&late)[1]["task_state"], "pending");
}
