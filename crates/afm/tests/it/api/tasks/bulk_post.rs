//! Many tasks in one post.

use std::time::Duration;

use serde_json::{Value, json};

use super::{everywhere, list};
use crate::test_app::{Body, Setup, TestApp, eventually, id};

fn post(app: &TestApp, tasks: &[String]) -> Vec<Value> {
    let answer = app.post("/api/v1/tasks", format!(r#"{{"tasks": [{}]}}"#, tasks.join(", "))).json();
    answer["results"].as_array().expect("results").clone()
}

fn stored(n: u64) -> Value {
    json!({"task_id": id(n), "status": 200})
}

#[test]
fn one_bad_task_does_not_refuse_the_others() {
    everywhere(|app| {
        app.post_task(Body::task(5));
        let tasks = [
            Body::task(1).to_string(),
            Body::task(2).with("task_version", "\"1\"").to_string(),
            Body::task(3).without("test_id").to_string(),
            "null".to_owned(),
            "[]".to_owned(),
            Body::task(4).with("task_id", "7").to_string(),
            Body::task(5).to_string(),
            Body::task(5).with("task_version", "2").to_string(),
            Body::task(6).with("task_id", format!("\"{}\"", id(6).to_uppercase())).to_string(),
            Body::task(7).with("oops", "1").to_string(),
            Body::task(8).with("task_data", r#"{"a": "\ud800"}"#).to_string(),
        ];
        let results = post(app, &tasks);
        let known = "task_id, test_id, task_type, task_version, task_data, task_ttl, task_timeout, \
                     task_max_attempts, task_retry_errors, task_retry_delay, task_priority, task_delay, \
                     agent_filter";
        assert_eq!(
            results,
            [
                stored(1),
                json!({"task_id": id(2), "status": 400, "field": "task_version",
                    "detail": "task_version: must be an integer, is \"1\""}),
                json!({"task_id": id(3), "status": 400, "field": "test_id", "detail": "test_id: is required"}),
                json!({"task_id": null, "status": 400, "field": "tasks",
                    "detail": "tasks: must be a JSON object, is null"}),
                json!({"task_id": null, "status": 400, "field": "tasks",
                    "detail": "tasks: must be a JSON object, is an array"}),
                json!({"task_id": null, "status": 400, "field": "task_id",
                    "detail": "task_id: must be a UUID of 8-4-4-4-12 hexadecimal digits, is 7"}),
                stored(5),
                json!({"task_id": id(5), "status": 400, "field": "task_id", "detail": results[7]["detail"]}),
                stored(6),
                json!({"task_id": id(7), "status": 400, "field": "oops",
                    "detail": format!("oops: is not a known field; known are {known}")}),
                stored(8),
            ]
        );
        let detail = results[7]["detail"].as_str().expect("a detail");
        assert!(detail.starts_with("task_id: ") && detail.contains("task_version"), "{detail}");
        assert_eq!(list(app, "order=oldest"), [5, 1, 6, 8].map(id));
    });
}

#[test]
fn an_id_that_comes_twice_is_as_two_posts() {
    everywhere(|app| {
        let mut tasks = Vec::new();
        for n in 1..=100 {
            tasks.push(Body::task(n).to_string());
            tasks.push(Body::task(n).with("task_version", "2").to_string());
            tasks.push(Body::task(n).to_string());
        }
        let statuses: Vec<_> = post(app, &tasks).iter().map(|result| result["status"].as_u64()).collect();
        assert_eq!(statuses, [Some(200), Some(400), Some(200)].repeat(100));
        assert_eq!(
            list(app, "order=oldest&limit=1000&task_version=1"),
            (1..=100).map(id).collect::<Vec<_>>()
        );
    });
}

#[test]
fn a_thousand_tasks_arrive_in_their_order() {
    everywhere(|app| {
        let tasks = |count: u64| (1..=count).map(|n| Body::task(n).to_string()).collect::<Vec<_>>();
        let answer = app.post("/api/v1/tasks", format!(r#"{{"tasks": [{}]}}"#, tasks(1_001).join(",")));
        answer.is_problem(400, "tasks: must be an array of 1 to 1000 elements, has 1001");
        let results = post(app, &tasks(1_000));
        assert!(results.iter().all(|result| result["status"] == 200));
        assert_eq!(list(app, "order=oldest&limit=1000"), (1..=1_000).map(id).collect::<Vec<_>>());
        assert_eq!(app.get("/status").json()["tasks_waiting"], 1_000);
    });
}

#[test]
fn a_body_that_is_no_list_of_tasks_is_refused_by_name() {
    let app = TestApp::start();
    let post = |body: &str| app.post("/api/v1/tasks", body);
    let expected = "tasks: must be an array of 1 to 1000 elements,";
    post("{}").is_problem(400, "tasks: is required");
    post(r#"{"tasks": []}"#).is_problem(400, &format!("{expected} has 0"));
    post(r#"{"tasks": {}}"#).is_problem(400, &format!("{expected} is an object"));
    post(r#"{"tasks": null}"#).is_problem(400, &format!("{expected} is null"));
    post(r#"{"tasks": [1], "task": 2}"#).is_problem(400, "task: is not a known field; known are tasks");
    post("[]").is_problem(400, "request body: must be a JSON object, is an array");
    post(&Body::task(1).to_string()).is_problem(400, "tasks: is required");
    for body in ["", "{", "nope", r#"{"tasks": [}"#] {
        let problem = post(body).problem(400);
        assert!(problem["detail"].as_str().expect("a detail").starts_with("request body: is not valid JSON"));
    }
    app.send("POST", "/api/v1/tasks", &[("Content-Type", "text/plain")], "{}").problem(400);
    assert!(list(&app, "").is_empty());
}

#[test]
fn a_post_that_is_too_large_is_refused_whole() {
    let mut setup = Setup::default();
    setup.settings.max_content_length = 100_000;
    let app = setup.start();
    let large = Body::task(1).with("task_data", format!(r#"{{"x": "{}"}}"#, "x".repeat(60_000))).to_string();
    let tasks = format!(r#"{{"tasks": [{large}, {large}]}}"#);
    app.post("/api/v1/tasks", tasks).problem(413);
    assert_eq!(post(&app, &[large]), [stored(1)]);
}

#[test]
fn while_the_database_is_away_each_task_is_to_be_tried_again() {
    let app = TestApp::start();
    app.gate.take_database_away();
    let tasks = [Body::task(1).to_string(), "{}".to_owned(), Body::task(2).to_string()];
    let statuses: Vec<_> = post(&app, &tasks).iter().map(|result| result["status"].as_u64()).collect();
    assert_eq!(statuses, [Some(503), Some(400), Some(503)]);
}

/// Twenty requests with 300 tasks each are more than the queue takes, and a single post finds room beside them.
#[test]
fn many_tasks_do_not_fill_the_queue() {
    let (app, gate) = Setup::default().start_gated();
    gate.close();
    let mut bulk: Vec<_> = (0..20).map(|_| app.connect()).collect();
    for (n, connection) in (0..).zip(&mut bulk) {
        let tasks: Vec<_> = (1..=300).map(|task| Body::task(n * 1_000 + task).to_string()).collect();
        connection.post("/api/v1/tasks", &format!(r#"{{"tasks": [{}]}}"#, tasks.join(",")));
    }
    gate.wait_until_reached();
    app.running.wait_for(20);
    let mut single = app.connect();
    single.post("/task", &Body::task(99_999).to_string());
    app.running.wait_for(21);
    gate.open();
    assert_eq!(single.answer_without_body().status, 200);
    for connection in &mut bulk {
        let answer = connection.answer().json();
        let results = answer["results"].as_array().expect("results");
        assert!(results.len() == 300 && results.iter().all(|result| result["status"] == 200), "{answer}");
    }
    assert_eq!(app.get("/status").json()["tasks_waiting"], 6_001);
}

#[test]
fn what_takes_too_long_is_to_be_tried_again() {
    let mut setup = Setup::default();
    setup.settings.request_timeout = Duration::from_millis(300);
    let (app, gate) = setup.start_gated();
    gate.close();
    let tasks = [Body::task(1).to_string(), "{}".to_owned(), Body::task(2).to_string()];
    let results = post(&app, &tasks);
    let late = |n| json!({"task_id": id(n), "status": 503, "detail": "the request took too long; try again"});
    assert_eq!((&results[0], &results[2]), (&late(1), &late(2)));
    assert_eq!(results[1]["status"], 400);
    gate.open();
    eventually("they are stored", || {
        post(&app, &tasks).iter().map(|result| result["status"].as_u64()).eq([
            Some(200),
            Some(400),
            Some(200),
        ])
    });
}
