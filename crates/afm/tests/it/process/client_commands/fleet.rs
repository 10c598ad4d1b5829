//! Tests `agents`, `types`, `tests` and `status`.

use serde_json::json;
use slamon_testbed::PgCluster;

use super::Asked;
use crate::test_app::{Body, id};

fn with_an_agent() -> Asked {
    with_an_agent_at(Asked::new())
}

fn with_an_agent_at(asked: Asked) -> Asked {
    asked.client.post_task(Body::task(1).with("test_id", format!("\"{}\"", id(50))));
    let place = r#"{"country":"FI","region":"18"}"#;
    assert_eq!(asked.client.poll(Body::poll(9).with("agent_location", place)), [id(1)]);
    asked
}

#[test]
fn agents_are_listed_shown_paused_and_forgotten() {
    manage_an_agent(&with_an_agent());
}

#[test]
fn agents_are_listed_shown_paused_and_forgotten_on_postgresql() {
    let database = PgCluster::shared().create_database();
    manage_an_agent(&with_an_agent_at(Asked::on(&database.uri())));
}

#[track_caller]
fn manage_an_agent(asked: &Asked) {
    let agent = id(9);
    let listed = asked.done(&["agents"]);
    for text in [&agent, "agent 9", "active", "FI-18", "1/100", "wait 1"] {
        assert!(listed.contains(text), "{text}: {listed}");
    }
    for (args, found) in [
        (&["--state", "active"][..], 1),
        (&["--state", "lost"], 0),
        (&["--type", "wait", "--type-version", "1"], 1),
        (&["--country", "SE"], 0),
        (&["--region", "18"], 1),
        (&["--name", "GENT 9"], 1),
        (&["--name", "nobody"], 0),
    ] {
        let page = &asked.json(&[&["agents"], args].concat())[0];
        assert_eq!(page["agents"].as_array().map(Vec::len), Some(found), "{args:?}: {page}");
    }
    let shown = asked.done(&["agents", &agent]);
    assert!(shown.contains(&id(1)) && shown.contains("1 of 100"), "{shown}");
    assert_eq!(asked.json(&["agents", &agent])[0]["tasks"][0]["task_id"], id(1));

    asked.done(&["agents", &agent, "pause"]);
    assert!(asked.done(&["agents", &agent]).contains("paused"));
    assert_eq!(asked.json(&["agents", &agent, "resume"]), [json!({"agent_id": agent, "paused_since": null})]);
    // It executes a task.
    let forget = asked.run(&["agents", &agent, "forget"]);
    assert_eq!(forget.status, Some(3), "{forget:?}");
    assert_eq!(asked.client.post("/tasks/response", Body::result(1)).status, 200);
    asked.done(&["agents", &agent, "forget"]);
    assert_eq!(asked.run(&["agents", &agent]).status, Some(3));
    for args in
        [&["agents", "pause"][..], &["agents", &agent, "wake"], &["agents", &agent, "--state", "lost"]]
    {
        assert_eq!(asked.run(args).status, Some(2), "{args:?}");
    }
}

#[test]
fn types_are_listed_paused_and_resumed() {
    let asked = with_an_agent();
    let listed = asked.done(&["types"]);
    assert!(listed.lines().any(|line| line.starts_with("wait  1")), "{listed}");
    assert_eq!(asked.done(&["types", "pause", "wait", "1"]), "wait version 1 is paused\n");
    assert!(asked.json(&["types"])[0]["types"][0]["paused_since"].is_string());
    asked.done(&["types", "resume", "wait", "1"]);
    let paused = asked.json(&["types", "pause", "a/b c ?é"]);
    assert_eq!((&paused[0]["task_type"], &paused[0]["task_version"]), (&json!("a/b c ?é"), &json!(null)));
    assert!(asked.done(&["types"]).contains("a/b c ?é"));
    asked.done(&["types", "pause", "--", "-x", "-3"]);
    asked.done(&["types", "pause", "", "1"]);
    assert!(asked.done(&["types"]).contains("\"\""));
    // A step of a path is no name: the request would be about another type.
    for name in [".", ".."] {
        let refused = asked.run(&["types", "pause", name, "1"]);
        assert_eq!(refused.status, Some(2), "{refused:?}");
    }
    assert!(
        asked.json(&["types"])[0]["types"]
            .as_array()
            .expect("a list")
            .iter()
            .all(|of| of["task_type"] != "1")
    );
}

#[test]
fn a_test_says_what_its_tasks_say() {
    let asked = with_an_agent();
    let test = id(50);
    let shown = asked.done(&["tests", &test]);
    assert!(shown.contains(&id(1)) && shown.contains("running (1 claimed)"), "{shown}");
    assert_eq!(asked.client.post("/tasks/response", Body::failure(1, r#""it broke""#)).status, 200);
    let failed = asked.run(&["tests", &test]);
    assert_eq!((failed.status, failed.stderr.as_str()), (Some(1), ""), "{failed:?}");
    assert!(failed.stdout.contains("failed (1 failed)") && failed.stdout.contains("it broke"), "{failed:?}");
    let json = asked.run(&["tests", &test, "--json"]);
    assert_eq!(json.status, Some(1), "{json:?}");
    assert_eq!(super::documents(&json)[0]["verdict"], "failed");
    // The first page of a test need not tell how it went.
    let lines: String = (0..1_500)
        .map(|n| {
            format!(
                "{}\n",
                json!({"task_type": "wait", "task_version": 1, "test_id": id(60), "task_ttl": 3_600 + n})
            )
        })
        .collect();
    assert_eq!(asked.run_with(&["task", "post", "--file", "-"], &lines).status, Some(0));
    let shown = asked.done(&["tests", &id(60)]);
    assert!(shown.contains("running (1500 pending)"), "{shown}");
    assert_eq!(shown.lines().filter(|line| line.contains("wait 1")).count(), 1_500);
}

#[test]
fn the_status_has_the_figures_of_now_and_of_the_last_hour() {
    let asked = with_an_agent();
    let shown = asked.done(&["status"]);
    for text in [asked.afm.url().as_str(), "1 running", "1 active", "1 posted"] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    let overview = &asked.json(&["status"])[0];
    assert_eq!(overview["tasks"], json!({"delayed": 0, "waiting": 0, "running": 1}));
}
