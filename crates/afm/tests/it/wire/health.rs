//! Tests `/healthz` and `/readyz`.

use crate::test_app::{Answer, Body, Setup, TestApp, eventually, id};

#[track_caller]
fn is_ok(answer: &Answer) {
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"), "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"), "{answer:?}");
}

#[test]
fn alive_and_ready() {
    let app = TestApp::start();
    is_ok(&app.get("/healthz"));
    is_ok(&app.get("/readyz"));
}

#[test]
fn without_a_database_alive_but_not_ready_and_everything_else_asks_to_try_again() {
    let (app, gate) = Setup::default().start_gated();
    gate.take_database_away();
    is_ok(&app.get("/healthz"));
    app.get("/readyz").is_try_again();
    app.get(&format!("/task/{}", id(1))).is_try_again();
    app.get("/dashboard/status").is_try_again();
    app.post("/task", Body::task(1)).is_try_again();
    app.post("/tasks", Body::poll(9)).is_try_again();
    app.post("/tasks/response", Body::result(1)).is_try_again();
    assert_eq!(app.get("/dashboard").status, 200);
    // A bad request stays bad, so its client is not told to try again.
    app.post("/task", "{}").is_problem(400, "task_id: is required");
    gate.open();
    // The last finding holds for a second.
    eventually("it is ready", || app.get("/readyz").status == 200);
    app.get(&format!("/task/{}", id(1))).problem(404);
}
