//! Tests `task post`, `task get` and `task wait`.

use std::thread;

use serde_json::json;
use slamon_testbed::PgCluster;

use super::super::{folder, write};
use super::Asked;
use crate::test_app::{Body, Client, eventually, id};

/// Finishes the next task that comes, as an agent does.
fn finish_next(client: &Client, error: Option<&str>) {
    let mut tasks = Vec::new();
    eventually("a task is handed out", || {
        tasks = client.poll(Body::poll(9));
        !tasks.is_empty()
    });
    let end = match error {
        None => Body::result(0).with("task_data", r#"{"sum": 12345678901234567890123}"#),
        Some(error) => Body::failure(0, format!("\"{error}\"").as_str()),
    };
    let answer = client.post("/tasks/response", end.with("task_id", format!("\"{}\"", tasks[0])));
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[test]
fn the_exit_status_tells_how_a_task_ends() {
    the_exit_status_tells_the_end(&Asked::new());
}

#[test]
fn the_exit_status_tells_how_a_task_ends_on_postgresql() {
    let database = PgCluster::shared().create_database();
    the_exit_status_tells_the_end(&Asked::on(&database.uri()));
}

#[track_caller]
fn the_exit_status_tells_the_end(asked: &Asked) {
    let posted = asked.done(&["task", "post", "wait"]);
    let id = posted.trim();
    let shown = asked.done(&["task", "get", id]);
    for text in [id, "wait 1", "pending", "no agent offers wait"] {
        assert!(shown.contains(text), "{shown}");
    }
    let waited = asked.run(&["task", "wait", id, "--for", "0.2"]);
    assert_eq!(waited.status, Some(5), "{waited:?}");
    assert!(waited.stdout.contains("pending") && waited.stderr.contains("not ended in time"), "{waited:?}");

    finish_next(&asked.client, None);
    let waited = asked.done(&["task", "wait", id]);
    assert!(waited.contains("completed") && waited.contains("12345678901234567890123"), "{waited}");
    assert!(waited.contains("agent 9"), "{waited}");
    // To the letter, as a number that no double holds.
    let json = asked.done(&["task", "get", id, "--json"]);
    assert!(json.contains(r#""task_result":{"sum": 12345678901234567890123}"#), "{json}");

    let posted = asked.json(&["task", "post", "wait", "1"]);
    let id = posted[0]["task_id"].as_str().expect("an id").to_owned();
    assert_eq!(posted[0]["status"], 200);
    finish_next(&asked.client, Some("no such page"));
    for command in ["get", "wait"] {
        let failed = asked.run(&["task", command, &id]);
        assert_eq!((failed.status, failed.stderr.as_str()), (Some(1), ""), "{failed:?}");
        assert!(failed.stdout.contains("no such page"), "{failed:?}");
    }
}

#[test]
fn a_post_can_wait_for_its_task() {
    let asked = Asked::new();
    thread::scope(|scope| {
        scope.spawn(|| finish_next(&asked.client, None));
        let done = asked.done(&["task", "post", "wait", "--wait", "--json"]);
        assert!(done.contains(r#""task_state":"completed""#), "{done}");
    });
    thread::scope(|scope| {
        scope.spawn(|| finish_next(&asked.client, Some("it broke")));
        let failed = asked.run(&["task", "post", "wait", "--wait", "--for", "60"]);
        assert_eq!(failed.status, Some(1), "{failed:?}");
        assert!(failed.stdout.contains("it broke"), "{failed:?}");
    });
    let late = asked.run(&["task", "post", "nobody", "--wait", "--for", "0.1"]);
    assert_eq!(late.status, Some(5), "{late:?}");
}

#[test]
fn the_id_of_a_task_is_told_when_its_afm_goes_away_before_its_end() {
    let asked = Asked::new();
    thread::scope(|scope| {
        let posted =
            scope.spawn(|| asked.run(&["task", "post", "wait", "--wait", "--timeout", "1", "--id", &id(1)]));
        eventually("the task is posted", || asked.client.get(&format!("/task/{}", id(1))).status == 200);
        asked.afm.kill9();
        let ended = posted.join().expect("it ends");
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(4), ""), "{ended:?}");
        let lines: Vec<&str> = ended.stderr.lines().collect();
        assert_eq!(lines[0], format!("slamon-afm: task {} is posted", id(1)));
        // Where it is that cannot be reached.
        assert!(lines[1].contains(&asked.afm.url()), "{ended:?}");
    });
}

#[test]
fn several_tasks_are_shown_a_line_each_and_the_worst_counts() {
    let asked = Asked::new();
    for n in 1..=3 {
        asked.client.post_task(Body::task(n));
    }
    assert_eq!(asked.client.poll(Body::poll(9)).len(), 3);
    assert_eq!(asked.client.post("/tasks/response", Body::result(1)).status, 200);
    assert_eq!(asked.client.post("/tasks/response", Body::failure(2, r#""it broke""#)).status, 200);
    let (one, two, three, unknown) = (id(1), id(2), id(3), id(4));

    let shown = asked.done(&["task", "get", &one, &three]);
    assert_eq!(shown.lines().count(), 3, "{shown}");
    assert!(shown.contains("completed") && shown.contains("claimed"), "{shown}");
    let tasks = asked.json(&["task", "wait", &one, &two]);
    assert_eq!((&tasks[0]["task_id"], &tasks[1]["task_error"]), (&json!(one), &json!("it broke")));
    for (ids, status) in [
        (&[&one, &one][..], 0),
        (&[&one, &two], 1),
        (&[&three, &one], 5),
        (&[&two, &three], 1),
        (&[&unknown, &two, &one], 3),
    ] {
        let args: Vec<&str> =
            ["task", "wait", "--for", "0.1"].into_iter().chain(ids.iter().map(|id| id.as_str())).collect();
        let waited = asked.run(&args);
        assert_eq!(waited.status, Some(status), "{waited:?}");
        let known = ids.iter().filter(|id| ***id != unknown).count();
        assert_eq!(waited.stdout.lines().count(), known + 1, "{waited:?}");
        assert_eq!(waited.stderr.contains(&unknown), ids.contains(&&unknown), "{waited:?}");
    }
}

#[test]
fn every_term_reaches_the_afm() {
    let asked = Asked::new();
    let (task, test, agent) = (id(1), id(2), id(3));
    let terms = format!(
        "task post wait -2 --id {task} --test {test} --ttl 600 --task-timeout 60.5 --delay 0.25 \
         --max-attempts 3 --retry-errors --retry-delay 5 --priority -10 --country FI --region 18 \
         --agent-name north --agent {agent}"
    );
    let args: Vec<&str> = terms.split_whitespace().chain(["--data", r#"{"a": [1.50]}"#]).collect();
    assert_eq!(asked.done(&args).trim(), task);
    // The same again changes nothing; another one under this id is refused.
    assert_eq!(asked.done(&args).trim(), task);
    let other = asked.run(&["task", "post", "other", "--id", &task]);
    assert_eq!(other.status, Some(3), "{other:?}");
    let shown = &asked.json(&["task", "get", &task])[0];
    for (field, value) in [
        ("task_type", json!("wait")),
        ("task_version", json!(-2)),
        ("test_id", json!(test)),
        ("task_ttl", json!(600.0)),
        ("task_timeout", json!(60.5)),
        ("task_delay", json!(0.25)),
        ("task_max_attempts", json!(3)),
        ("task_retry_errors", json!(true)),
        ("task_retry_delay", json!(5.0)),
        ("task_priority", json!(-10)),
        ("task_data", json!({"a": [1.5]})),
        ("agent_filter", json!({"country": "FI", "region": "18", "agent_name": "north", "agent_id": agent})),
    ] {
        assert_eq!(shown[field], value, "{field}: {shown}");
    }
    // Each goes by the name of its field, too.
    let args = "task post wait --task-id 0b9d4f0e-5a53-4f0a-9c55-0b0e6a0c3d21 --test-id 0b9d4f0e-5a53-4f0a-9c55-0b0e6a0c3d22 \
                --task-ttl 1 --task-delay 1 --task-max-attempts 1 --task-retry-errors --task-retry-delay 1 \
                --task-priority 1 --agent-id 0b9d4f0e-5a53-4f0a-9c55-0b0e6a0c3d23";
    asked.done(&args.split_whitespace().collect::<Vec<_>>());
}

#[test]
fn data_comes_from_the_command_line_a_file_or_standard_input() {
    let asked = Asked::new();
    let folder = folder();
    let file = write(folder.path(), "data.json", "{\n  \"from\": \"file\"\n}\n");
    let at_file = format!("@{}", file.display());
    for (data, stdin, shown) in [
        (r#"{"from": "line"}"#, "", json!({"from": "line"})),
        (at_file.as_str(), "", json!({"from": "file"})),
        ("-", r#"{"from": "pipe"}"#, json!({"from": "pipe"})),
    ] {
        let posted = asked.run_with(&["task", "post", "wait", "--data", data], stdin);
        assert_eq!(posted.status, Some(0), "{posted:?}");
        let task = &asked.json(&["task", "get", posted.stdout.trim()])[0];
        assert_eq!(task["task_data"], shown);
    }
    for data in ["{", "", "@/no/such/file", "-", "{} {}"] {
        let posted = asked.run(&["task", "post", "wait", "--data", data]);
        assert_eq!((posted.status, posted.stdout.as_str()), (Some(2), ""), "{data}: {posted:?}");
        assert!(posted.stderr.starts_with("slamon-afm: data: "), "{posted:?}");
    }
    // What is JSON is the AFM's to judge.
    let posted = asked.run(&["task", "post", "wait", "--data", "[1]"]);
    assert_eq!(posted.status, Some(3), "{posted:?}");
    assert!(posted.stderr.contains("task_data"), "{posted:?}");
}

#[test]
fn what_the_afm_refuses_is_3_and_named() {
    let asked = Asked::new();
    let unknown = id(77);
    for (args, named) in [
        (&["task", "get", &unknown][..], "no task has this id"),
        (&["task", "wait", &unknown], "no task has this id"),
        (&["task", "post", "wait", "--priority", "1000"], "task_priority"),
        (&["task", "post", "wait", "--ttl", "-1"], "task_ttl"),
        (&["task", "post", "wait", "--max-attempts", "1.5"], "task_max_attempts"),
        (&["task", "list", "--state", "asleep"], "state"),
        (&["task", "list", "--from", "yesterday"], "from"),
        (&["task", "cancel", "--all", "--yes", "--state", "asleep"], "state"),
        (&["tests", &unknown], "no task is of this test"),
        (&["agents", &unknown], "no agent has this id"),
        (&["agents", &unknown, "pause"], "no agent has this id"),
    ] {
        let ended = asked.run(args);
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(3), ""), "{args:?}: {ended:?}");
        assert!(ended.stderr.contains(named), "{args:?}: {ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    }
}
