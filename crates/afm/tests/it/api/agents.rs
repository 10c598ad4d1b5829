//! Tests the list of agents, and single ones.

use std::time::Duration;

use serde_json::{Value, json};

use crate::test_app::{Body, Place, Setup, TestApp, id};

fn poll(n: u64) -> Body {
    Body::poll(n).with("max_tasks", "1")
}

/// The ids of all agents that a query lists, over all pages.
#[track_caller]
fn listed(app: &TestApp, query: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = app.get(&format!("/api/v1/agents?{query}{cursor}")).json();
        let agents = page["agents"].as_array().expect("a list of agents");
        ids.extend(agents.iter().map(|agent| agent["agent_id"].as_str().expect("an id").to_owned()));
        match &page["next_cursor"] {
            Value::Null => break,
            next => cursor = format!("&cursor={}", next.as_str().expect("a text")),
        }
    }
    ids.sort_unstable();
    ids
}

#[test]
fn an_agent_is_listed_as_it_is_now() {
    for place in [Place::Memory, Place::file(), Place::postgres()] {
        let app = Setup { place, ..Setup::default() }.start();
        app.post_task(Body::task(1).with("task_timeout", "60"));
        let location = r#"{"country":"FI","region":"18","latitude":60.5}"#;
        app.poll(poll(9).with("agent_location", location).with("agent_name", r#""Helsinki 3""#));
        app.refresh_cache();
        // This poll brings nothing, and is not saved yet when agents are listed.
        app.clock.advance(Duration::from_secs(30));
        app.poll(poll(9).with("agent_location", location).with("agent_name", r#""Helsinki 3""#));
        let agents = app.get("/api/v1/agents").json();
        let due = agents["agents"][0]["next_poll_due"].as_str().expect("a time").to_owned();
        assert!(("2026-11-22T19:24:24"..="2026-11-22T19:24:32").contains(&due.as_str()), "{due}");
        let agent = json!({
            "agent_id": id(9), "agent_name": "Helsinki 3", "state": "active",
            "last_seen": "2026-11-22T19:23:31.621614+00:00", "next_poll_due": due, "poll_held": false,
            "agent_capabilities": { "wait": { "version": 1 } },
            "agent_location": { "country": "FI", "region": "18", "latitude": 60.5 },
            "max_tasks": 1, "tasks_running": 1, "paused_since": null,
            "last_hour": { "completed": 0, "failed": 0, "error_share": null },
        });
        assert_eq!(agents, json!({ "agents": [agent], "next_cursor": null }));
        let mut with_tasks = agent;
        with_tasks["tasks"] = json!([{
            "task_id": id(1), "test_id": id(0), "task_type": "wait", "task_version": 1, "task_attempt": 1,
            "task_created": "2026-11-22T19:23:01.621614+00:00", "task_claimed": "2026-11-22T19:23:01.621614+00:00",
            "task_deadline": "2026-11-22T19:24:01.621614+00:00",
        }]);
        with_tasks["more_tasks"] = json!(false);
        assert_eq!(app.get(&format!("/api/v1/agents/{}", id(9))).json(), with_tasks);
        assert_eq!(app.get(&format!("/api/v1/agents/{}", id(9).to_uppercase())).json(), with_tasks);
        app.clock.advance(Duration::from_secs(301));
        assert_eq!(app.get("/api/v1/agents").json()["agents"][0]["state"], "lost");
        app.post(&format!("/api/v1/agents/{}/pause", id(9)), "").json();
        let agent = &app.get("/api/v1/agents").json()["agents"][0];
        assert_eq!(
            (&agent["state"], &agent["paused_since"]),
            (&json!("paused"), &json!("2026-11-22T19:28:32.621614+00:00"))
        );
    }
}

#[test]
fn filters_choose_which_agents_are_listed() {
    let app = TestApp::start();
    for n in 1..=5 {
        app.poll(poll(n));
    }
    app.clock.advance(Duration::from_secs(301));
    let slash = r#"{"log/in":{"version":-2}}"#;
    app.poll(poll(2).with("agent_capabilities", slash).with("agent_name", r#""100% é""#));
    app.poll(poll(3).with("agent_location", r#"{"country":"FI","region":"18"}"#));
    app.post(&format!("/api/v1/agents/{}/pause", id(1)), "").json();
    let ids = |numbers: &[u64]| numbers.iter().map(|n| id(*n)).collect::<Vec<_>>();
    for (query, expected) in [
        ("", &[1, 2, 3, 4, 5][..]),
        ("limit=1", &[1, 2, 3, 4, 5]),
        ("limit=2&state=active", &[2, 3]),
        ("state=lost&limit=1", &[4, 5]),
        ("state=paused", &[1]),
        ("task_type=log%2Fin", &[2]),
        ("task_type=log%2Fin&task_version=-2", &[2]),
        ("task_type=log%2Fin&task_version=2", &[]),
        ("task_type=wait&limit=3", &[1, 3, 4, 5]),
        ("country=FI&region=18", &[3]),
        ("country=FI&region=19", &[]),
        ("q=100%25+%C3%89", &[2]),
        (&format!("q={}", id(4)), &[4]),
        (&format!("q={}&state=active", id(4)), &[]),
    ] {
        assert_eq!(listed(&app, query), ids(expected), "{query}");
    }
}

#[test]
fn a_wrong_filter_is_named() {
    let app = TestApp::start();
    app.poll(poll(1));
    app.poll(poll(2));
    let cursor = app.get("/api/v1/agents?limit=1").json()["next_cursor"].as_str().expect("more").to_owned();
    let none = "cursor: is none that this list, with these filters, has given: begin again without it";
    for (query, detail) in [
        ("state=gone", "state: must be one of active, lost, paused"),
        ("limit=0", "limit: must be an integer from 1 to 1000"),
        ("limit=1001", "limit: must be an integer from 1 to 1000"),
        ("task_version=1", "task_version: needs a task_type"),
        (
            "task_type=a&task_version=x",
            "task_version: must be an integer from -9223372036854775808 to 9223372036854775807",
        ),
        ("task_type=a%00", "task_type: must not contain U+0000"),
        ("q=%00", "q: must not contain U+0000"),
        ("country=F%00", "country: must not contain U+0000"),
        ("cursor=x", none),
        (&format!("cursor={cursor}0"), none),
        (&format!("cursor={cursor}&state=active"), none),
        (
            "name=x",
            "name: is no parameter of this list, which has state, task_type, task_version, country, region, q, limit, cursor",
        ),
    ] {
        app.get(&format!("/api/v1/agents?{query}")).is_problem(400, detail);
    }
    assert_eq!(
        app.get(&format!("/api/v1/agents?limit=5&cursor={cursor}")).json()["agents"][0]["agent_id"],
        id(2)
    );
    for path in [id(3), "x".to_owned(), "%FF".to_owned()] {
        app.get(&format!("/api/v1/agents/{path}")).is_problem(404, "agent_id: no agent has this id");
    }
}

#[test]
fn what_is_long_is_left_out_of_lists() {
    let app = TestApp::start();
    let offers: Vec<String> =
        (0..200).map(|n| format!(r#""a type with a number, {n}":{{"version":{n}}}"#)).collect();
    app.poll(poll(1).with("agent_capabilities", format!("{{{}}}", offers.join(","))));
    let listed = &app.get("/api/v1/agents").json()["agents"][0];
    assert!(
        listed["agent_capabilities"].is_null() && listed["agent_capabilities_bytes"].as_u64() > Some(4_096)
    );
    let agent = app.get(&format!("/api/v1/agents/{}", id(1))).json();
    assert_eq!(agent["agent_capabilities"]["a type with a number, 199"], json!({ "version": 199 }));
}

#[test]
fn while_the_database_is_away_there_is_no_list() {
    let (app, gate) = Setup::default().start_gated();
    gate.take_database_away();
    app.get("/api/v1/agents").is_try_again();
    app.get(&format!("/api/v1/agents/{}", id(1))).is_try_again();
}
