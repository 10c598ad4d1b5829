//! Tests AUTO_CLEANUP, TASK_TIMEOUT_DEFAULT and TASK_RETENTION.

use super::serve_with;
use crate::test_app::{Body, Place, eventually, id};

/// Agents are lost after a second.
const SHORT: &str = "AGENT_ACTIVE_THRESHOLD = 1\nAGENT_DROP_THRESHOLD = 1\n";

#[test]
fn lost_agents_are_noticed_unless_nobody_is_to_look() {
    for (auto_cleanup, state, agents) in [("True", "failed", 0), ("False", "claimed", 1)] {
        let place = Place::file();
        let (_afm, client) =
            serve_with(&place.uri(), &[], &format!("{SHORT}AUTO_CLEANUP = {auto_cleanup}\n"));
        client.post_task(Body::task(1));
        assert_eq!(client.poll(Body::poll(9)), [id(1)]);
        // This is long after the agent could have been lost.
        client.post_task(Body::task(2).with("task_ttl", "6").with("task_type", "\"other\""));
        let expired = client.get(&format!("/task/{}?wait=60", id(2))).json();
        assert_eq!(expired["task_state"], "expired");
        assert_eq!(client.task(1)["task_state"], state);
        assert_eq!(client.get("/dashboard/status").json()["agents_total"], agents);
    }
}

#[test]
fn finished_tasks_are_deleted_when_they_are_old_enough() {
    let place = Place::file();
    let (afm, client) = serve_with(&place.uri(), &[], &format!("{SHORT}TASK_RETENTION = 1\n"));
    client.post_task(Body::task(1));
    client.post_task(Body::task(2));
    client.delete(&format!("/task/{}", id(1))).json();
    eventually("it is deleted", || client.get(&format!("/task/{}", id(1))).status == 404);
    assert_eq!(client.task(2)["task_state"], "pending");
    afm.wait_for_line(|line| line.contains("deleted_tasks=1"), crate::test_app::PATIENCE);
}

#[test]
fn attempts_of_tasks_that_say_no_timeout_end_after_the_default() {
    for place in [Place::file(), Place::postgres()] {
        let (_afm, client) = serve_with(&place.uri(), &[], "TASK_TIMEOUT_DEFAULT = 1\n");
        client.post_task(Body::task(1));
        client.post_task(Body::task(2).with("task_timeout", "600"));
        let answer = client.post("/tasks", Body::poll(9)).json();
        assert!(answer["tasks"][0]["task_deadline"].is_string(), "{answer}");
        let task = client.get(&format!("/task/{}?wait=60", id(1))).json();
        let error = task["task_error"].as_str().expect("an error");
        assert!(error.starts_with("Task timeout of 1 s passed: agent \"agent 9\""), "{error}");
        assert_eq!(client.task(2)["task_state"], "claimed");
    }
}
