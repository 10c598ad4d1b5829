//! What is done to many tasks.

use std::time::Duration;

use serde_json::{Value, json};

use super::{everywhere, fill, list};
use crate::test_app::{Body, TestApp, id};

fn change(app: &TestApp, action: &str, body: &Value) -> Value {
    app.post(&format!("/api/v1/tasks/{action}"), body.to_string()).json()
}

fn statuses(answer: &Value) -> Vec<u64> {
    let results = answer["results"].as_array().unwrap_or_else(|| panic!("no results: {answer}"));
    results.iter().map(|result| result["status"].as_u64().expect("a status")).collect()
}

#[test]
fn tasks_are_cancelled_by_their_ids() {
    everywhere(|app| {
        fill(app);
        let named = [1, 2, 3, 4, 5, 6, 7].map(id).to_vec();
        let answer = change(app, "cancel", &json!({"task_ids": named}));
        assert_eq!(statuses(&answer), [409, 409, 200, 200, 200, 200, 404]);
        assert_eq!(answer["results"][4], json!({"task_id": id(5), "status": 200}));
        assert_eq!(
            answer["results"][6],
            json!({"task_id": id(7), "status": 404, "detail": "task_id: no task has this id"})
        );
        assert_eq!(list(app, "state=cancelled&order=oldest"), [3, 4, 5, 6].map(id));
        let again = change(app, "cancel", &json!({"task_ids": [id(4).to_uppercase(), id(4)]}));
        assert_eq!(statuses(&again), [200, 200]);
    });
}

#[test]
fn tasks_are_posted_again_by_their_ids() {
    everywhere(|app| {
        fill(app);
        let answer = change(app, "retry", &json!({"task_ids": [id(1), id(2), id(3), id(4), id(2), id(9)]}));
        assert_eq!(statuses(&answer), [409, 200, 200, 409, 409, 404]);
        let new: Vec<_> =
            (1..=2).map(|n| answer["results"][n]["new_task_id"].as_str().expect("an id")).collect();
        let waiting = list(app, "state=pending");
        assert!(new.iter().all(|id| waiting.contains(&(*id).to_owned())), "{answer} {waiting:?}");
        assert_eq!(waiting.len(), 3);
    });
}

#[test]
fn by_filter_tasks_are_counted_first() {
    everywhere(|app| {
        for n in 1..=700 {
            app.post_task(Body::task(n));
        }
        app.post_task(Body::task(701).with("task_type", r#""other""#));
        let filter = json!({"task_type": "wait", "state": "pending"});
        let counted = change(app, "cancel", &json!({"filter": filter}));
        assert_eq!((&counted["count"], &counted["more"]), (&json!(700), &json!(false)));
        assert!(list(app, "state=cancelled").is_empty(), "counting changes nothing");
        // It binds the moment: what is posted later is not touched.
        app.post_task(Body::task(702));
        assert_eq!(app.poll(Body::poll(9).with("max_tasks", "3")), [1, 2, 3].map(id));
        let body = json!({"filter": filter, "token": counted["token"]});
        let done = change(app, "cancel", &body);
        assert_eq!(done, json!({"changed": 697, "refused": 0, "more": false, "token": null}));
        assert_eq!(list(app, "state=pending"), [702, 701].map(id));
        // Repeated, it finds nothing left.
        assert_eq!(change(app, "cancel", &body)["changed"], 0);
    });
}

#[test]
fn what_can_be_changed_is_counted_only() {
    everywhere(|app| {
        fill(app);
        for (action, filter, count) in [
            ("cancel", json!({}), 3),
            ("cancel", json!({"state": "completed"}), 0),
            ("cancel", json!({"q": "route"}), 0),
            ("cancel", json!({"test_id": id(0).to_uppercase()}), 3),
            ("cancel", json!({"test_id": id(1)}), 0),
            ("retry", json!({}), 2),
            ("retry", json!({"state": "failed"}), 1),
            ("retry", json!({"q": "ROUTE", "task_version": 1}), 1),
            ("retry", json!({"task_version": 2}), 0),
            ("retry", json!({"country": "FI"}), 0),
            ("retry", json!({"state": "pending"}), 0),
            ("retry", json!({"from": "2026-11-22T19:23:03Z"}), 1),
        ] {
            let counted = change(app, action, &json!({"filter": filter}));
            assert_eq!(counted["count"], count, "{action} {filter}");
            let done = change(app, action, &json!({"filter": filter, "token": counted["token"]}));
            if action == "cancel" && count == 3 && filter == json!({}) {
                assert_eq!(done["changed"], 3);
                // They are waiting again, so that the next case finds them.
                return;
            }
            assert_eq!(done["changed"], count, "{action} {filter}");
        }
    });
}

#[test]
fn retrying_by_filter_again_posts_nothing_twice() {
    everywhere(|app| {
        for n in 1..=5 {
            app.post_task(Body::task(n));
        }
        let all = [1, 2, 3, 4, 5].map(id).to_vec();
        change(app, "cancel", &json!({"task_ids": all}));
        let filter = json!({"state": "cancelled"});
        let counted = change(app, "retry", &json!({"filter": filter}));
        assert_eq!(counted["count"], 5);
        let body = json!({"filter": filter, "token": counted["token"]});
        for _ in 0..2 {
            let done = change(app, "retry", &body);
            assert_eq!(done, json!({"changed": 5, "refused": 0, "more": false, "token": null}));
            assert_eq!(list(app, "state=pending").len(), 5);
        }
        assert_eq!(list(app, "state=cancelled").len(), 5);
    });
}

#[test]
fn many_are_changed_in_bounded_steps() {
    everywhere(|app| {
        let tasks: Vec<String> = (1..=1_300).map(|n| Body::task(n).to_string()).collect();
        for tasks in tasks.chunks(650) {
            app.post("/api/v1/tasks", format!(r#"{{"tasks": [{}]}}"#, tasks.join(","))).json();
        }
        let filter = json!({"task_type": "wait"});
        let counted = change(app, "cancel", &json!({"filter": filter}));
        assert_eq!(counted["count"], 1_300);
        let first = change(app, "cancel", &json!({"filter": filter, "token": counted["token"]}));
        assert_eq!((&first["changed"], &first["more"]), (&json!(1_000), &json!(true)));
        let second = change(app, "cancel", &json!({"filter": filter, "token": first["token"]}));
        assert_eq!(second, json!({"changed": 300, "refused": 0, "more": false, "token": null}));
    });
}

#[test]
fn a_token_is_of_one_request_and_of_ten_minutes() {
    let app = TestApp::start();
    app.post_task(Body::task(1));
    let filter = json!({"state": "pending"});
    let token = change(&app, "cancel", &json!({"filter": filter}))["token"].clone();
    let post = |action: &str, filter: &Value, token: &Value| {
        let body = json!({"filter": filter, "token": token});
        app.post(&format!("/api/v1/tasks/{action}"), body.to_string())
    };
    let another = "token: was given for another request: its filter and its path must be the same";
    post("retry", &filter, &token).is_problem(400, another);
    post("cancel", &json!({}), &token).is_problem(400, another);
    post("cancel", &json!({"state": "pending", "country": "FI"}), &token).is_problem(400, another);
    let unknown = "token: is not known here: it was given more than ten minutes ago, or by another AFM, or before \
                   a restart; count the tasks again";
    for token in [json!(id(1)), json!("x"), json!(1), json!(null), json!([])] {
        post("cancel", &filter, &token).is_problem(400, unknown);
    }
    app.clock.advance(Duration::from_secs(600));
    post("cancel", &filter, &token).is_problem(400, unknown);
    assert_eq!(list(&app, "state=pending"), [id(1)]);
}

#[test]
fn what_is_wrong_in_a_change_is_named() {
    let app = TestApp::start();
    app.post_task(Body::task(1));
    for action in ["cancel", "retry"] {
        let post = |body: &str| app.post(&format!("/api/v1/tasks/{action}"), body);
        let known = "state, task_type, task_version, test_id, task_id, agent_id, country, from, to, q";
        for (body, problem) in [
            ("{}", "task_ids: is required, or else filter".to_owned()),
            (
                r#"{"task_ids": [], "x": 1}"#,
                "task_ids: must be an array of 1 to 1000 elements, has 0".to_owned(),
            ),
            (
                r#"{"x": 1}"#,
                "x: is not a known field; known are task_ids, new_task_ids, filter, token".to_owned(),
            ),
            (r#"{"task_ids": ["x"]}"#, "task_ids.0: must be a UUID, is \"x\"".to_owned()),
            (r#"{"task_ids": [{}]}"#, "task_ids.0: must be a UUID, is an object".to_owned()),
            (r#"{"filter": []}"#, "filter: must be an object, is an array".to_owned()),
            (r#"{"filter": null}"#, "filter: must be an object, is null".to_owned()),
            (
                r#"{"filter": {"test_id": ""}}"#,
                "filter.test_id: must not be empty; leave it out if it says nothing".to_owned(),
            ),
            (
                r#"{"filter": {"state": null}}"#,
                "filter.state: must be a string or a number, is null".to_owned(),
            ),
            (
                r#"{"filter": {"state": ["failed"]}}"#,
                "filter.state: must be a string or a number, is an array".to_owned(),
            ),
            (
                r#"{"filter": {"task_version": 1.5}}"#,
                "filter.task_version: must be an integer from -9223372036854775808 to 9223372036854775807"
                    .to_owned(),
            ),
            (
                r#"{"filter": {"limit": 5}}"#,
                format!("filter.limit: is no parameter of this list, which has {known}"),
            ),
            (r#"{"filter": {"test_id": "1"}}"#, "filter.test_id: must be a UUID".to_owned()),
            (r#"{"filter": {"q": "a\u0000"}}"#, "filter.q: must not contain U+0000".to_owned()),
        ] {
            post(body).is_problem(400, &problem);
        }
        let both = format!(r#"{{"task_ids": ["{}"], "filter": {{}}}}"#, id(1));
        post(&both).is_problem(400, "filter: cannot be given together with task_ids");
        let with_token = format!(r#"{{"task_ids": ["{0}"], "token": "{0}"}}"#, id(1));
        post(&with_token).is_problem(400, "token: goes with a filter only");
        let many = vec![format!("\"{}\"", id(1)); 1_001].join(",");
        post(&format!(r#"{{"task_ids": [{many}]}}"#))
            .is_problem(400, "task_ids: must be an array of 1 to 1000 elements, has 1001");
    }
    assert_eq!(list(&app, "state=pending"), [id(1)], "nothing was changed");
}

#[test]
fn tasks_of_a_country_are_changed_by_filter() {
    everywhere(|app| {
        for (n, country) in [(1, "FI"), (2, "SE"), (3, "FI")] {
            app.post_task(Body::task(n).with("agent_filter", format!(r#"{{"country": "{country}"}}"#)));
        }
        let filter = json!({"country": "FI"});
        let counted = change(app, "cancel", &json!({"filter": filter}));
        assert_eq!(counted["count"], 2);
        change(app, "cancel", &json!({"filter": filter, "token": counted["token"]}));
        assert_eq!(list(app, "state=cancelled&order=oldest"), [1, 3].map(id));
        assert_eq!(list(app, "state=pending"), [id(2)]);
    });
}

#[test]
fn posting_again_under_new_ids_posts_nothing_twice() {
    everywhere(|app| {
        for n in 1..=3 {
            app.post_task(Body::task(n));
        }
        let all = [1, 2, 3].map(id).to_vec();
        change(app, "cancel", &json!({"task_ids": all}));
        let body = json!({"task_ids": [id(1), id(2)], "new_task_ids": [id(11), id(12).to_uppercase()]});
        for _ in 0..2 {
            let answer = change(app, "retry", &body);
            assert_eq!(statuses(&answer), [200, 200]);
            assert_eq!(answer["results"][1]["new_task_id"], id(12));
            assert_eq!(list(app, "state=pending&order=oldest"), [11, 12].map(id));
        }
        let post = |action: &str, body: Value| app.post(&format!("/api/v1/tasks/{action}"), body.to_string());
        let [one, two, new] = [1, 2, 11].map(id);
        for (action, body, problem) in [
            (
                "cancel",
                json!({"task_ids": [one], "new_task_ids": [new]}),
                "new_task_ids: goes with posting again only",
            ),
            (
                "retry",
                json!({"task_ids": [one, two], "new_task_ids": [new]}),
                "new_task_ids: must have one id for each of task_ids, has 1",
            ),
            (
                "retry",
                json!({"task_ids": [one, two], "new_task_ids": [new, new]}),
                "new_task_ids.1: was named before: each must be another",
            ),
            (
                "retry",
                json!({"task_ids": [one], "new_task_ids": ["x"]}),
                "new_task_ids.0: must be a UUID, is \"x\"",
            ),
            ("retry", json!({"filter": {}, "new_task_ids": [new]}), "new_task_ids: goes with task_ids only"),
        ] {
            post(action, body).is_problem(400, problem);
        }
        // Each by itself: the id of the task itself is not new.
        let answer = change(app, "retry", &json!({"task_ids": [one, two], "new_task_ids": [id(13), two]}));
        assert_eq!(statuses(&answer), [200, 400]);
    });
}
