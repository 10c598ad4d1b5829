//! Tests several results in one `POST /tasks/response`.

use serde_json::{Value, json};

use crate::test_app::{Body, TestApp, id};

fn list(results: &[String]) -> String {
    format!(r#"{{"results": [{}]}}"#, results.join(","))
}

#[test]
fn each_is_judged_as_if_it_had_come_alone() {
    let app = TestApp::start();
    for n in 1..=4 {
        app.post_task(Body::task(n));
    }
    app.poll(Body::poll(9).with("max_tasks", "3"));
    let results = [
        Body::result(1).to_string(),
        Body::failure(2, "\"no\"").to_string(),
        Body::result(1).to_string(),
        Body::failure(1, "\"no\"").to_string(),
        Body::result(4).to_string(),
        Body::result(77).to_string(),
        format!(r#"{{"protocol": 1, "task_id": "{}"}}"#, id(3)),
        "7".to_owned(),
    ];
    let answer = app.post("/tasks/response", list(&results)).json();
    let wrong = |n: u64, detail: &str| {
        let field = detail.split(':').next();
        json!({ "task_id": id(n), "status": 400, "detail": detail, "field": field })
    };
    assert_eq!(
        answer,
        json!({ "results": [
            { "task_id": id(1), "status": 200 },
            { "task_id": id(2), "status": 200 },
            { "task_id": id(1), "status": 200 },
            wrong(1, "task_id: the task is finished already, with another result"),
            wrong(4, "task_id: the task has not been claimed by an agent"),
            wrong(77, "task_id: no task has this id"),
            wrong(3, "task_data: is required, or else task_error"),
            { "task_id": null, "status": 400, "detail": "results: must be a JSON object, is 7", "field": "results" },
        ] })
    );
    let states = [1, 2, 3].map(|n| app.task(n)["task_state"].clone());
    assert_eq!(states, ["completed", "failed", "claimed"].map(Value::from));
}

#[test]
fn a_thousand_at_once() {
    let app = TestApp::start();
    let ids = 1..=1_000;
    app.store_tasks(ids.clone().map(Body::task));
    app.poll(Body::poll(9).with("max_tasks", "1000"));
    let results: Vec<String> = ids.map(|n| Body::result(n).to_string()).collect();
    let answer = app.post("/tasks/response", list(&results)).json();
    let answers = answer["results"].as_array().expect("a list");
    assert_eq!(answers.len(), 1_000);
    assert!(answers.iter().all(|answer| answer["status"] == 200), "{answer}");
    assert_eq!(app.get("/status").json()["tasks_waiting"], 0);
    let again: Vec<String> = results.iter().chain([&results[0]]).cloned().collect();
    app.post("/tasks/response", list(&again))
        .is_problem(400, "results: must be an array of 1 to 1000 elements, has 1001");
}

#[test]
fn a_list_that_is_wrong_as_a_whole() {
    let app = TestApp::start();
    for (body, detail) in [
        (r#"{"results": []}"#, "results: must be an array of 1 to 1000 elements, has 0"),
        (r#"{"results": {}}"#, "results: must be an array of 1 to 1000 elements, is an object"),
        (r#"{"results": [1], "protocol": 1}"#, "protocol: is not a known field; known are results"),
        ("{}", "protocol: is required"),
    ] {
        app.post("/tasks/response", body).is_problem(400, detail);
    }
}
