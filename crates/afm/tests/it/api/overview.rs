//! Tests `/api/v1/overview`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::test_app::{Body, Place, Setup, TestApp, id};

fn typed(n: u64, task_type: &str) -> Body {
    Body::task(n).with("task_type", format!("{task_type:?}"))
}

/// The figures of the minute that runs.
fn last_minute(overview: &Value) -> &Value {
    &overview["minutes"][59]
}

#[test]
fn what_waits_and_runs_and_what_happened() {
    let app = TestApp::start();
    app.post_task(Body::task(1));
    app.post_task(Body::task(2));
    app.post_task(Body::task(3).with("task_delay", "60"));
    app.post_task(typed(4, "other"));
    app.clock.advance(Duration::from_secs(3));
    assert_eq!(app.poll(Body::poll(9).with("max_tasks", "2")), [id(1), id(2)]);
    app.clock.advance(Duration::from_secs(5));
    app.post("/tasks/response", Body::result(1)).is_empty();
    let overview = app.get("/api/v1/overview").json();
    assert_eq!(overview["tasks"], json!({ "delayed": 1, "waiting": 1, "running": 1 }));
    assert_eq!(
        overview["agents"],
        json!({ "active": 1, "lost": 0, "paused": 0, "is_complete": true, "counted_at": null })
    );
    assert_eq!(overview["minutes"].as_array().map(Vec::len), Some(60));
    assert_eq!(
        last_minute(&overview),
        &json!({
            "minute": "2026-11-22T19:23:00.000000+00:00", "posted": 4, "claimed": 2, "finished": 1, "completed": 1,
            "failed": 0, "expired": 0, "cancelled": 0, "retried": 0,
        })
    );
    let types = overview["types"].as_array().expect("a list");
    assert_eq!(
        (types.len(), &types[0]["task_type"], &types[1]["task_type"]),
        (2, &json!("wait"), &json!("other"))
    );
    let near = |value: &Value, seconds: f64| {
        value.as_f64().is_some_and(|found| (found / seconds - 1.0).abs() < 0.25)
    };
    for percentile in ["p50", "p95", "p99"] {
        assert!(near(&types[0]["queue_seconds"][percentile], 3.0), "{types:?}");
        assert!(near(&types[0]["run_seconds"][percentile], 5.0), "{types:?}");
    }
    assert_eq!((&types[1]["queue_seconds"], &types[1]["run_seconds"]), (&Value::Null, &Value::Null));
    app.get("/api/v1/overview?odd=1").problem(400);
}

#[test]
fn an_error_that_is_tried_again_is_no_failure() {
    let app = TestApp::start();
    let retried = Body::task(1).with("task_max_attempts", "2").with("task_retry_errors", "true");
    app.post_task(retried);
    assert_eq!(app.poll(Body::poll(9)), [id(1)]);
    app.post("/tasks/response", Body::failure(1, r#""no""#)).is_empty();
    app.post_task(Body::task(2));
    assert_eq!(app.delete(&format!("/task/{}", id(2))).status, 200);
    let overview = app.get("/api/v1/overview").json();
    let minute = last_minute(&overview);
    assert_eq!(
        (&minute["failed"], &minute["retried"], &minute["cancelled"]),
        (&json!(0), &json!(1), &json!(1))
    );
    assert_eq!((&minute["finished"], &overview["tasks"]["waiting"]), (&json!(1), &json!(1)));
}

#[test]
fn the_figures_are_those_of_all_afms() {
    let place = Place::postgres();
    let shared = Place::Shared(place.uri());
    let first = Setup { place, ..Setup::default() }.start();
    let second = Setup { place: shared, ..Setup::default() }.start();
    first.post_task(Body::task(1));
    first.post_task(Body::task(2));
    first.get("/api/v1/overview").json();
    assert_eq!(second.poll(Body::poll(9).with("max_tasks", "1")), [id(1)]);
    let overview = second.get("/api/v1/overview").json();
    let minute = last_minute(&overview);
    assert_eq!((&minute["posted"], &minute["claimed"]), (&json!(2), &json!(1)));
    assert_eq!(overview["tasks"], json!({ "delayed": 0, "waiting": 1, "running": 1 }));
}

#[test]
fn without_a_database_it_is_503_and_what_was_not_saved_is_saved_later() {
    let (app, gate) = Setup::default().start_gated();
    app.post_task(Body::task(1));
    gate.take_database_away();
    app.get("/api/v1/overview").is_try_again();
    gate.open();
    app.post_task(Body::task(2));
    let overview = app.get("/api/v1/overview").json();
    assert_eq!((&last_minute(&overview)["posted"], &overview["tasks"]["waiting"]), (&json!(2), &json!(2)));
}
