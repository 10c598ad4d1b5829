//! Tests that no parameter is passed over.

use crate::test_app::{Body, TestApp, id};

#[test]
fn a_path_without_parameters_refuses_them() {
    let app = TestApp::start();
    app.post_task(Body::task(1));
    app.poll(Body::poll(9));
    let (task, agent) = (format!("/api/v1/tasks/{}", id(1)), format!("/api/v1/agents/{}", id(9)));
    let problem = "version: is no parameter of this path, which has none";
    let types = "/api/v1/types/wait".to_owned();
    let gets = [
        task.clone(),
        agent.clone(),
        format!("{types}/1"),
        "/api/v1/overview".to_owned(),
        "/api/v1/locations".to_owned(),
    ];
    for path in gets {
        app.get(&format!("{path}?version=1")).is_problem(400, problem);
        app.get(&format!("{path}/?version")).is_problem(400, problem);
        assert_eq!(app.get(&format!("{path}?")).status, 200, "{path}");
    }
    let posts = [
        format!("{types}/pause"),
        format!("{types}/1/pause"),
        format!("{types}/resume"),
        format!("{agent}/pause"),
        format!("{agent}/resume"),
        format!("{task}/cancel"),
        format!("{task}/retry"),
        "/api/v1/tasks".to_owned(),
        "/api/v1/tasks/cancel".to_owned(),
        "/api/v1/tasks/retry".to_owned(),
    ];
    for path in posts {
        app.post(&format!("{path}?version=1"), "").is_problem(400, problem);
    }
    app.delete(&format!("{agent}?version=1")).is_problem(400, problem);
    app.send("PUT", &format!("{task}?version=1"), &[], "").problem(405);
    let of_type = app.get("/api/v1/types/wait/1").json();
    assert!(of_type["paused_since"].is_null(), "nothing was paused: {of_type}");
    assert_eq!(app.task(1)["task_state"], "claimed", "nothing was cancelled");
}
