//! Tests more requests than the queue has room for.

use std::time::{Duration, Instant};

use crate::test_app::{Body, Setup};

/// The queue of the committer holds this many bytes.
const ALL_ROOM: usize = 64 * 1024 * 1024;

/// The time that `Retry-After` names.
const PAUSE: Duration = Duration::from_secs(1);

#[test]
fn who_was_turned_away_is_served_again_after_a_while_and_others_at_once() {
    let mut setup = Setup::default();
    setup.settings.max_content_length = 2 * ALL_ROOM;
    let (app, gate) = setup.start_gated();
    gate.close();
    let mut large = app.connect();
    let data = format!("{{\"text\":\"{}\"}}", "x".repeat(ALL_ROOM));
    large.post("/task", &Body::task(1).with("task_data", data).to_string());
    gate.wait_until_reached();

    let mut eager = app.connect();
    let began = Instant::now();
    eager.post("/task", &Body::task(2).to_string());
    let answer = eager.answer();
    answer.is_try_again();
    answer.is_problem(503, "too many requests are waiting; try again");
    // Reads go past the queue, and other connections have not been turned away.
    assert_eq!(app.get("/healthz").status, 200);

    gate.open();
    large.answer().is_empty();
    eager.post("/task", &Body::task(2).to_string());
    app.post("/task", Body::task(3)).is_empty();
    eager.answer().is_empty();
    assert!(began.elapsed() >= PAUSE);
    // Only one post had to wait.
    eager.post("/tasks/response", &Body::result(9).to_string());
    assert_eq!(eager.answer().status, 400);
}
