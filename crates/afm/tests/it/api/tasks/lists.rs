//! Lists of tasks.

use std::time::Duration;

use serde_json::{Value, json};

use super::{everywhere, fill, ids, list};
use crate::test_app::{Body, Setup, TestApp, id};

#[track_caller]
fn numbers(app: &TestApp, query: &str) -> Vec<u64> {
    let listed = list(app, query);
    listed.iter().map(|listed| (0..100).find(|n| id(*n) == *listed).expect("a number")).collect()
}

#[test]
fn tasks_are_listed_by_filter_and_page_by_page() {
    everywhere(|app| {
        fill(app);
        let other = Body::task(7).with("task_type", r#""other""#).with("task_version", "-2");
        let other = other.with("agent_filter", r#"{"region": "18", "country": "FI"}"#);
        app.post_task(other.with("test_id", format!("\"{}\"", id(50))));
        let test = id(0).to_uppercase();
        for (query, expected) in [
            ("", vec![7, 6, 5, 4, 3, 2, 1]),
            ("limit=2", vec![7, 6, 5, 4, 3, 2, 1]),
            ("order=newest&limit=1", vec![7, 6, 5, 4, 3, 2, 1]),
            ("order=oldest&limit=3", vec![1, 2, 3, 4, 5, 6, 7]),
            ("state=completed", vec![1]),
            ("state=failed", vec![2]),
            ("state=lost", vec![]),
            ("state=cancelled", vec![3]),
            ("state=claimed", vec![4]),
            ("state=pending", vec![7, 5]),
            ("state=delayed", vec![6]),
            ("state=timed_out", vec![]),
            ("state=expired", vec![]),
            ("task_type=other", vec![7]),
            ("task_type=Other", vec![]),
            ("task_version=-2", vec![7]),
            ("task_version=1&task_type=wait&limit=4", vec![6, 5, 4, 3, 2, 1]),
            (&*format!("test_id={test}"), vec![6, 5, 4, 3, 2, 1]),
            (&*format!("test_id={}", id(50)), vec![7]),
            (&*format!("test_id={}", id(51)), vec![]),
            (&*format!("task_id={}", id(3).to_uppercase()), vec![3]),
            (&*format!("task_id={}&state=failed", id(3)), vec![]),
            (&*format!("agent_id={}&limit=2", id(9)), vec![4, 3, 2, 1]),
            (&*format!("agent_id={}&state=claimed", id(9)), vec![4]),
            (&*format!("agent_id={}", id(8)), vec![]),
            ("from=2026-11-22T19:23:03.621614Z&to=2026-11-22T20:23:05.621614%2B01:00", vec![4, 3]),
            ("from=9999-12-30T00:00:00Z", vec![]),
            ("from=9999-12-31T23:59:59Z", vec![]),
            ("to=9999-12-31T23:59:59.999999999-23:59", vec![7, 6, 5, 4, 3, 2, 1]),
            ("to=-009999-01-03T00:00:00Z", vec![]),
            ("from=-009999-01-03T00:00:00Z&to=9999-12-30T00:00:00Z", vec![7, 6, 5, 4, 3, 2, 1]),
            ("q=no+%22ROUTE", vec![2]),
            ("q=%25", vec![]),
            ("q=_", vec![]),
            ("q=%27;drop+table+task", vec![]),
            ("q=cancel", vec![3]),
            ("q=route&state=completed", vec![]),
            ("country=FI", vec![7]),
            ("country=FI&state=pending&task_type=other", vec![7]),
            ("country=FI&state=completed", vec![]),
            ("country=fi", vec![]),
            ("country=F", vec![]),
            ("country=18", vec![]),
            ("country=FI%22%2C%22region%22%3A%2218", vec![]),
            ("country=", vec![7, 6, 5, 4, 3, 2, 1]),
        ] {
            assert_eq!(numbers(app, query), expected, "{query}");
        }
    });
}

#[test]
fn a_listed_task_has_no_data() {
    everywhere(|app| {
        fill(app);
        let page = app.get("/api/v1/tasks?order=oldest&limit=4").json();
        let claimed = |second: u32| format!("2026-11-22T19:23:0{second}.621614+00:00");
        let common = |n: u64, second: u32| {
            json!({"task_id": id(n), "test_id": id(0), "task_type": "wait", "task_version": 1, "task_priority": 0,
                "task_created": claimed(second), "task_claimed": claimed(second), "task_attempt": 1, "agent_id": id(9),
                "agent_name": "agent 9"})
        };
        let with = |mut task: Value, rest: Value| {
            task.as_object_mut().expect("an object").extend(rest.as_object().expect("an object").clone());
            task
        };
        let ended = claimed(7);
        let tasks = json!([
            with(
                common(1, 1),
                json!({"task_state": "completed", "task_end": "completed", "task_completed": ended,
                "task_result": {}})
            ),
            with(
                common(2, 2),
                json!({"task_state": "failed", "task_end": "failed", "task_failed": ended,
                "task_error": "No \"route\""})
            ),
            with(
                common(3, 3),
                json!({"task_state": "cancelled", "task_end": "cancelled", "task_failed": ended,
                "task_error": page["tasks"][2]["task_error"]})
            ),
            with(common(4, 4), json!({"task_state": "claimed"})),
        ]);
        assert_eq!(page["tasks"], tasks);
        assert!(page["next_cursor"].is_string());
    });
}

#[test]
fn what_is_wrong_in_a_query_is_named() {
    let app = TestApp::start();
    for n in 1..=3 {
        app.post_task(Body::task(n));
    }
    let page = |query: &str| app.get(&format!("/api/v1/tasks?{query}"));
    let words = "delayed, pending, claimed, completed, failed, lost, timed_out, expired, cancelled";
    let known = "state, task_type, task_version, test_id, task_id, agent_id, country, from, to, q, order, limit, cursor";
    page("state=done").is_problem(400, &format!("state: must be one of {words}"));
    page("limit=0").is_problem(400, "limit: must be an integer from 1 to 1000");
    page("limit=1001").is_problem(400, "limit: must be an integer from 1 to 1000");
    page("order=random").is_problem(400, "order: must be one of newest, oldest");
    page("test_id=1").is_problem(400, "test_id: must be a UUID");
    page("state=lost&state=lost").is_problem(400, "state: is given more than once");
    page("staet=lost").is_problem(400, &format!("staet: is no parameter of this list, which has {known}"));
    page("staet=").is_problem(400, &format!("staet: is no parameter of this list, which has {known}"));
    page("limit=&limit=2").is_problem(400, "limit: is given more than once");
    for name in ["task_type", "country", "q", "cursor", "state", "test_id", "limit", "from"] {
        page(&format!("{name}=a%00")).is_problem(400, &format!("{name}: must not contain U+0000"));
        page(&format!("{name}=a%FF")).is_problem(400, &format!("{name}: is not valid UTF-8"));
    }
    for time in ["from=yesterday", "to=2026-11-22", "from=99999-01-01T00:00:00Z", "to=2026-13-01T00:00:00Z"] {
        assert_eq!(page(time).problem(400)["field"], time.split_once('=').expect("a name").0);
    }
    let cursor = page("limit=1").json()["next_cursor"].as_str().expect("a cursor").to_owned();
    page(&format!("limit=3&cursor={cursor}")).json();
    let wrong = "cursor: is none that this list, with this order and these filters, has given: begin again without it";
    let damaged = format!("{}0", &cursor[..cursor.len() - 1]);
    let damaged = if damaged == cursor { format!("{}1", &cursor[..cursor.len() - 1]) } else { damaged };
    for query in [
        format!("cursor={damaged}"),
        "cursor=x".to_owned(),
        format!("cursor={}", "9".repeat(10_000)),
        format!("cursor={cursor}&order=oldest"),
        format!("cursor={cursor}&state=pending"),
        format!("cursor={cursor}&country=FI"),
    ] {
        page(&query).is_problem(400, wrong);
    }
    app.send("PUT", "/api/v1/tasks", &[], "").problem(405);
}

#[test]
fn pages_fit_together_while_tasks_are_posted_and_finished() {
    everywhere(|app| {
        for n in 1..=40 {
            app.post_task(Body::task(n));
        }
        for order in ["newest", "oldest"] {
            let (mut all, mut cursor) = (Vec::new(), String::new());
            for round in 0.. {
                let page = app.get(&format!("/api/v1/tasks?order={order}&limit=7{cursor}")).json();
                all.extend(ids(&page));
                let Some(next) = page["next_cursor"].as_str() else { break };
                cursor = format!("&cursor={next}");
                if round < 10 {
                    let n = if order == "newest" { 100 } else { 200 } + round;
                    app.post_task(Body::task(n));
                    let claimed = app.poll(Body::poll(9).with("max_tasks", "2"));
                    let result = Body::result(0).with("task_id", format!("\"{}\"", claimed[0]));
                    app.post("/tasks/response", result).is_empty();
                    app.clock.advance(Duration::from_secs(1));
                }
            }
            let mut once = all.clone();
            once.sort_unstable();
            once.dedup();
            assert_eq!(once.len(), all.len(), "a task is listed twice");
            assert!((1..=40).all(|n| once.contains(&id(n))), "a task is missed");
        }
    });
}

#[test]
fn lists_need_the_database() {
    let app = TestApp::start();
    app.gate.take_database_away();
    app.get("/api/v1/tasks").is_try_again();
    app.get(&format!("/api/v1/tasks/{}", id(1))).is_try_again();
}

/// What is listed is on the first page, although a page of the store passes over fewer tasks than wait.
#[test]
fn what_is_rare_is_on_the_first_page() {
    everywhere(|app| {
        app.post_task(Body::task(1));
        assert_eq!(app.poll(Body::poll(9)), [id(1)]);
        app.post("/tasks/response", Body::result(1)).is_empty();
        app.post_task(Body::task(2).with("task_type", r#""rare""#));
        let others: Vec<String> =
            (10..8_010).map(|n| Body::task(n).with("task_type", r#""other""#).to_string()).collect();
        for others in others.chunks(1_000) {
            app.post("/api/v1/tasks", format!(r#"{{"tasks": [{}]}}"#, others.join(","))).json();
        }
        let test = format!("test_id={}&task_type=rare", id(0));
        for (query, number) in [
            ("state=completed", 1),
            ("task_type=rare", 2),
            ("to=2026-11-22T23:59:59Z&task_type=rare", 2),
            (&test, 2),
        ] {
            let page = app.get(&format!("/api/v1/tasks?{query}")).json();
            assert_eq!(super::ids(&page), [id(number)], "{query}");
            let shown = app.get(&format!("/dashboard/tasks?{query}")).body;
            assert!(shown.contains(&id(number)), "{query}");
        }
        let found = app.get("/dashboard/search?q=rare");
        assert!(found.body.contains(&id(2)), "{found:?}");
        // Nothing is found by looking through all.
        let none = app.get("/api/v1/tasks?task_type=none").json();
        assert_eq!((super::ids(&none).len(), &none["next_cursor"]), (0, &Value::Null));
    });
}

/// However long it looks, a page ends where there may be more.
#[test]
fn a_page_looks_on_for_a_bounded_time() {
    let mut setup = Setup::default();
    setup.settings.list_looks_for = Duration::ZERO;
    let app = setup.start();
    let others: Vec<String> = (10..5_110).map(|n| Body::task(n).to_string()).collect();
    for others in others.chunks(1_000) {
        app.post("/api/v1/tasks", format!(r#"{{"tasks": [{}]}}"#, others.join(","))).json();
    }
    let page = app.get("/api/v1/tasks?task_type=none").json();
    assert!(super::ids(&page).is_empty() && page["next_cursor"].is_string(), "{page}");
    let shown = app.get("/dashboard/tasks?task_type=none").body;
    assert!(shown.contains("None of the tasks that were looked through here match; there are more."));
    assert!(list(&app, "task_type=none").is_empty());
}
