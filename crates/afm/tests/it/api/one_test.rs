//! Tests the tasks of one test.

use serde_json::{Value, json};

use crate::test_app::{Body, Place, Setup, TestApp, id};

fn post(app: &TestApp, n: u64) {
    app.post_task(Body::task(n).with("test_id", format!("\"{}\"", id(77))));
}

#[track_caller]
fn read(app: &TestApp, query: &str) -> Value {
    app.get(&format!("/api/v1/tests/{}{query}", id(77))).json()
}

#[test]
fn the_tasks_of_a_test_are_shown_with_a_verdict() {
    for place in [Place::Memory, Place::file(), Place::postgres()] {
        let app = Setup { place, ..Setup::default() }.start();
        let path = format!("/api/v1/tests/{}", id(77));
        app.get(&path).is_problem(404, "test_id: no task is of this test");
        app.post_task(Body::task(9));
        for n in 1..=3 {
            post(&app, n);
        }
        app.poll(Body::poll(5));
        app.post("/tasks/response", Body::result(1)).is_empty();
        let test = read(&app, "");
        assert_eq!((&test["verdict"], &test["has_more"]), (&json!("running"), &json!(false)));
        assert_eq!((&test["counts"]["completed"], &test["counts"]["claimed"]), (&json!(1), &json!(2)));
        assert_eq!(test["counts"].as_object().map(serde_json::Map::len), Some(9));
        let ids: Vec<&Value> = (0..3).map(|n| &test["tasks"][n]["task_id"]).collect();
        assert_eq!(ids, [&json!(id(1)), &json!(id(2)), &json!(id(3))]);

        let first = read(&app, "?limit=1");
        assert_eq!((&first["verdict"], &first["has_more"]), (&json!("completed"), &json!(true)));
        let cursor = first["next_cursor"].as_str().expect("more");
        let rest = read(&app, &format!("?cursor={cursor}"));
        assert_eq!((&rest["tasks"][0]["task_id"], &rest["next_cursor"]), (&json!(id(2)), &json!(null)));

        app.post("/tasks/response", Body::failure(2, r#""no""#)).is_empty();
        assert_eq!(read(&app, "")["verdict"], "failed");
        app.post("/tasks/response", Body::result(3)).is_empty();
        let test = read(&app, "");
        assert_eq!((&test["verdict"], &test["counts"]["failed"]), (&json!("failed"), &json!(1)));
    }
}

#[test]
fn what_is_wrong_is_named() {
    let app = TestApp::start();
    post(&app, 1);
    let path = format!("/api/v1/tests/{}", id(77));
    for query in ["?limit=0", "?limit=1001", "?cursor=x", "?state=pending"] {
        app.get(&format!("{path}{query}")).problem(400);
    }
    for path in ["x", "%FF", &id(78)] {
        app.get(&format!("/api/v1/tests/{path}")).is_problem(404, "test_id: no task is of this test");
    }
}
