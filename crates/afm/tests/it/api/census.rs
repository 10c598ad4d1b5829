//! Tests what is told of agents where there are too many to count them at each request.

use std::time::Duration;

use serde_json::{Value, json};

use crate::test_app::{Body, Place, Setup, TestApp, eventually};

/// Has `count` agents poll which offer types.
fn fleet(app: &TestApp, first: u64, count: u64, offers: &str) {
    for part in (first..first + count).collect::<Vec<_>>().chunks(250) {
        let poll = |n: &u64| Body::poll(*n).with("agent_capabilities", offers).with("max_tasks", "0");
        app.store_agents(part.iter().map(poll));
    }
}

fn agents_of(app: &TestApp, path: &str) -> Value {
    app.get(&format!("/api/v1/types/{path}")).json()["agents"].clone()
}

fn counts(active: u64, silent: u64, counted_at: Option<&str>) -> Value {
    json!({ "active": active, "silent": silent, "is_complete": true, "counted_at": counted_at })
}

#[test]
fn the_agents_of_a_large_fleet_are_all_counted() {
    for place in [Place::Memory, Place::file(), Place::postgres()] {
        let app = Setup { place, ..Setup::default() }.start();
        fleet(&app, 1, 400, r#"{"wait":{"version":1}}"#);
        app.clock.advance(Duration::from_secs(301));
        fleet(&app, 10_000, 1_100, r#"{"wait":{"version":1},"other":{"version":2}}"#);
        fleet(&app, 20_000, 3, r#"{"few":{"version":3}}"#);
        // Before the first census, it is said that there may be more.
        assert_eq!(agents_of(&app, "wait/1")["is_complete"], false);
        app.take_census();
        let now = "2026-11-22T19:28:02.621614+00:00";
        assert_eq!(agents_of(&app, "wait/1"), counts(1_100, 400, Some(now)));
        assert_eq!(agents_of(&app, "other/2"), counts(1_100, 0, Some(now)));
        assert_eq!(agents_of(&app, "few/3"), counts(3, 0, None));
        let listed = app.get("/api/v1/types").json();
        assert_eq!(listed["next_cursor"], Value::Null);
        for of_type in listed["types"].as_array().expect("a list") {
            let expected = match of_type["task_type"].as_str() {
                Some("wait") => counts(1_100, 400, Some(now)),
                Some("other") => counts(1_100, 0, Some(now)),
                _ => counts(3, 0, None),
            };
            assert_eq!(of_type["agents"], expected);
        }
        let expected =
            json!({ "active": 1_103, "lost": 400, "paused": 0, "is_complete": true, "counted_at": now });
        eventually("the overview has it", || app.get("/api/v1/overview").json()["agents"] == expected);
        eventually("the metrics have it", || {
            let metrics = app.get("/metrics").body;
            metrics.contains("slamon_agents{state=\"active\",scope=\"database\"} 1103\n")
                && metrics.contains("slamon_agents{state=\"lost\",scope=\"database\"} 400\n")
        });
        let page = app.get("/dashboard/types").body;
        assert!(page.contains("1,100, 400 lost") && page.contains(&format!("datetime=\"{now}")), "{page}");

        // The census is of the time at which it was taken, and what is few is counted now.
        app.clock.advance(Duration::from_secs(301));
        fleet(&app, 20_000, 1, r#"{"few":{"version":3}}"#);
        assert_eq!(agents_of(&app, "few/3"), counts(1, 2, None));
        assert_eq!(agents_of(&app, "wait/1"), counts(1_100, 400, Some(now)));
        app.take_census();
        let later = "2026-11-22T19:33:03.621614+00:00";
        assert_eq!(agents_of(&app, "wait/1"), counts(0, 1_500, Some(later)));
    }
}
