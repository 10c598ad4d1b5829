//! Tests `task cancel` and `task retry`.

use serde_json::json;
use slamon_testbed::PgCluster;

use super::{Asked, documents};
use crate::test_app::{Body, id};

#[test]
fn tasks_are_cancelled_and_posted_again_by_their_ids() {
    let asked = Asked::new();
    for n in [1, 2] {
        asked.client.post_task(Body::task(n));
    }
    let (one, two, unknown) = (id(1), id(2), id(3));
    let done = asked.done(&["task", "cancel", &one, &two]);
    assert_eq!(done.matches("200").count(), 2, "{done}");
    // One that is cancelled stays so.
    asked.done(&["task", "cancel", &one]);
    let refused = asked.run(&["task", "cancel", &two, &unknown]);
    assert_eq!(refused.status, Some(3), "{refused:?}");
    assert!(refused.stdout.contains("404") && refused.stdout.contains("no task has this id"), "{refused:?}");

    let again = asked.json(&["task", "retry", &one]);
    assert_eq!((&again[0]["task_id"], &again[0]["status"]), (&json!(one), &json!(200)));
    let copy = again[0]["new_task_id"].as_str().expect("an id").to_owned();
    assert!(asked.done(&["task", "get", &copy]).contains("pending"));
    let refused = asked.run(&["task", "retry", &copy]);
    assert_eq!(refused.status, Some(3), "{refused:?}");
    assert!(refused.stdout.contains("409"), "{refused:?}");
}

#[test]
fn all_tasks_of_a_filter_are_changed_only_when_that_is_confirmed() {
    change_all_tasks_of_a_filter(&Asked::new());
}

#[test]
fn all_tasks_of_a_filter_are_changed_on_postgresql() {
    let database = PgCluster::shared().create_database();
    change_all_tasks_of_a_filter(&Asked::on(&database.uri()));
}

#[track_caller]
fn change_all_tasks_of_a_filter(asked: &Asked) {
    for n in 1..=3 {
        asked.client.post_task(Body::task(n));
    }
    asked.client.post_task(Body::task(4).with("task_type", r#""other""#));
    // Nobody can be asked where there is no terminal.
    let asks = asked.run(&["task", "cancel", "--all"]);
    assert_eq!((asks.status, asks.stdout.as_str()), (Some(2), ""), "{asks:?}");
    assert!(asks.stderr.contains("--yes"), "{asks:?}");
    // A variable that is not set must not mean all tasks, and ids are no filter.
    for args in [
        &["task", "cancel", "--all", "--yes", "--type", ""][..],
        &["task", "cancel", &id(1), "--type", "wait"],
        &["task", "cancel", &id(1), "--all", "--yes"],
        &["task", "cancel"],
        &["task", "retry", "--type", "wait"],
    ] {
        let ended = asked.run(args);
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(2), ""), "{args:?}: {ended:?}");
    }
    for args in [&["task", "cancel", "--state", "pending"][..], &["task", "retry"]] {
        let ended = asked.run(args);
        assert!(ended.stderr.contains("--all for all tasks that the filters choose"), "{ended:?}");
    }
    assert_eq!(
        asked.json(&["task", "list", "--state", "pending"])[0]["tasks"].as_array().map(Vec::len),
        Some(4)
    );

    let done = asked.done(&["task", "cancel", "--all", "--yes", "--type", "wait"]);
    assert_eq!(done, "3 tasks cancelled\n");
    let ended =
        asked.run(&["task", "retry", "--all", "--yes", "--json", "--type", "wait", "--state", "cancelled"]);
    assert_eq!(documents(&ended), [json!({"changed": 3, "refused": 0})], "{ended:?}");
    assert_eq!(asked.done(&["task", "cancel", "--all", "--yes", "--type", "none"]), "0 tasks cancelled\n");
    let pending = &asked.json(&["task", "list", "--state", "pending"])[0];
    assert_eq!(pending["tasks"].as_array().map(Vec::len), Some(4), "{pending}");
}
