//! Tests the list of types, and single ones.

use std::time::Duration;

use serde_json::{Value, json};

use crate::test_app::{Body, Place, Setup, TestApp, id};

/// The types of all parts of the list, as `type version`, in the order of names.
#[track_caller]
fn listed(app: &TestApp, limit: u32) -> Vec<Value> {
    let mut types = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = app.get(&format!("/api/v1/types?limit={limit}{cursor}")).json();
        let part = page["types"].as_array().expect("a list of types");
        assert!(part.len() <= limit as usize);
        types.extend(part.iter().cloned());
        match &page["next_cursor"] {
            Value::Null => break,
            next => cursor = format!("&cursor={}", next.as_str().expect("a text")),
        }
    }
    types.sort_by_key(|of| (of["task_type"].as_str().map(str::to_owned), of["task_version"].as_i64()));
    types
}

fn of(task_type: &str, version: Option<i64>, agents: [u64; 2], tasks: Option<[i64; 3]>) -> Value {
    let [active, silent] = agents;
    json!({
        "task_type": task_type, "task_version": version, "offered": active + silent > 0,
        "agents": { "active": active, "silent": silent, "is_complete": true, "counted_at": null },
        "tasks": tasks.map(|[delayed, waiting, running]| {
            json!({ "delayed": delayed, "waiting": waiting, "running": running })
        }),
        "last_hour": version.map(|_| json!({ "completed": 0, "failed": 0, "error_share": null })),
        "paused_since": null,
    })
}

fn paused(mut of: Value, since: &str) -> Value {
    of["paused_since"] = json!(since);
    of
}

#[test]
fn types_are_listed_with_their_agents_and_tasks() {
    for place in [Place::Memory, Place::file(), Place::postgres()] {
        let app = Setup { place, ..Setup::default() }.start();
        assert_eq!(app.get("/api/v1/types").json(), json!({ "types": [], "next_cursor": null }));
        let long = "ä/%".repeat(200);
        let offers = |offers: &[(&str, i64)]| {
            let offers = offers.iter().map(|(name, version)| (*name, json!({ "version": version })));
            Value::Object(offers.map(|(name, offer)| (name.to_owned(), offer)).collect()).to_string()
        };
        let long_too = format!("{long}2");
        app.poll(Body::poll(1).with("agent_capabilities", offers(&[("wait", 1), (&long, 1), ("", 0)])));
        app.clock.advance(Duration::from_secs(301));
        app.poll(Body::poll(2).with("agent_capabilities", offers(&[("wait", 1), (&long_too, 1)])));
        app.poll(Body::poll(3).with("agent_capabilities", offers(&[("wait", 2)])).with("max_tasks", "1"));
        let task = |n, version: &str| Body::task(n).with("task_version", version);
        app.post_task(task(1, "1"));
        app.post_task(task(2, "1").with("task_delay", "60"));
        for n in 3..=5 {
            app.post_task(task(n, "2"));
        }
        assert_eq!(
            app.poll(Body::poll(3).with("agent_capabilities", offers(&[("wait", 2)])).with("max_tasks", "1")),
            [id(3)]
        );
        app.post_task(task(6, "-3"));
        app.post_task(task(7, "-3").with("task_type", r#""log/in""#));
        for path in ["wait/1", "log%2Fin", "nobody/7"] {
            app.post(&format!("/api/v1/types/{path}/pause"), "").json();
        }
        let now = "2026-11-22T19:28:02.621614+00:00";
        let none = Some([0, 0, 0]);
        let expected = vec![
            of("", Some(0), [0, 1], none),
            paused(of("log/in", None, [0, 0], None), now),
            paused(of("log/in", Some(-3), [0, 0], Some([0, 1, 0])), now),
            paused(of("nobody", Some(7), [0, 0], none), now),
            of("wait", Some(-3), [0, 0], Some([0, 1, 0])),
            paused(of("wait", Some(1), [1, 1], Some([1, 1, 0])), now),
            of("wait", Some(2), [1, 0], Some([0, 2, 1])),
            of(&long, Some(1), [0, 1], none),
            of(&long_too, Some(1), [1, 0], none),
        ];
        for limit in [2, 3, 50, 1_000] {
            assert_eq!(listed(&app, limit), expected, "{limit}");
        }
        for of_type in &expected {
            let Some(version) = of_type["task_version"].as_i64() else { continue };
            let name = of_type["task_type"].as_str().expect("a text");
            let name: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
            assert_eq!(&app.get(&format!("/api/v1/types/{name}/{version}")).json(), of_type);
        }
        assert_eq!(app.get("/api/v1/types/unknown/1").json(), of("unknown", Some(1), [0, 0], none));
        // What nobody offers any more is not offered.
        app.delete(&format!("/api/v1/agents/{}", id(1))).json();
        assert_eq!(app.get("/api/v1/types//0").json(), of("", Some(0), [0, 0], none));
        assert!(listed(&app, 50).iter().all(|of| of["task_type"] != ""));
    }
}

#[test]
fn a_wrong_parameter_is_named() {
    let app = TestApp::start();
    let none = "cursor: is none that this list, with these filters, has given: begin again without it";
    for (path, detail) in [
        ("?limit=0", "limit: must be an integer from 1 to 1000"),
        ("?cursor=6f.0", none),
        ("?q=x", "q: is no parameter of this list, which has limit, cursor"),
        ("/a/x", "task_version: must be an integer of at most 64 bits"),
        ("//x", "task_version: must be an integer of at most 64 bits"),
        ("/%FF/1", "task_type: is not valid UTF-8"),
        ("/a%00/1", "task_type: must not contain U+0000"),
    ] {
        app.get(&format!("/api/v1/types{path}")).is_problem(400, detail);
    }
}

#[test]
fn while_the_database_is_away_there_is_no_list() {
    let (app, gate) = Setup::default().start_gated();
    gate.take_database_away();
    app.get("/api/v1/types").is_try_again();
    app.get("/api/v1/types/wait/1").is_try_again();
}
