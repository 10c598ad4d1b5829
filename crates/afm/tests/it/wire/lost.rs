//! Tests agents that fall silent, and tasks that are too old to be kept.

use std::time::Duration;

use slamon_afm::maintenance::sweeper::SweepPolicy;
use slamon_domain::{AttemptEnd, Swept};

use super::terms::DUE;
use crate::test_app::{Body, TestApp, id};

/// The thresholds of the default configuration.
const POLICY: SweepPolicy =
    SweepPolicy { lost_after: Some(ACTIVE), forget_after: Some(DROP), delete_after: None };
const ACTIVE: Duration = Duration::from_secs(300);
const DROP: Duration = Duration::from_secs(3_600);
const MOMENT: Duration = Duration::from_micros(1);
const SECOND: Duration = Duration::from_secs(1);

/// Starts an AFM in which task 1 was just claimed by agent 9, "Helsinki 3".
fn with_claim(attempts: u32) -> TestApp {
    let app = TestApp::start();
    app.post_task(Body::task(1).with("task_max_attempts", attempts.to_string()));
    assert_eq!(app.poll(Body::poll(9).with("agent_name", "\"Helsinki 3\"")), [id(1)]);
    app
}

fn lost(n: u64) -> Swept {
    Swept { lost: n, ..Swept::default() }
}

#[test]
fn a_silent_agent_is_lost_once_the_threshold_is_exceeded() {
    let app = with_claim(1);
    let mut sweeper = app.sweeper(POLICY);
    app.clock.advance(ACTIVE);
    assert_eq!(app.sweep(&mut sweeper), lost(0));
    assert_eq!(app.task(1)["task_state"], "claimed");
    // The next search for lost agents comes later.
    app.clock.advance(10 * SECOND);
    assert_eq!(app.sweep(&mut sweeper), lost(1));
    let task = app.task(1);
    assert_eq!(task["task_state"], "failed");
    assert_eq!(task["task_failed"], "2026-11-22 19:28:11.621614");
    assert_eq!(
        task["task_error"],
        format!("Agent \"Helsinki 3\" ({}) was lost: silent for 310 s, attempt 1 of 1", id(9))
    );
    app.clock.advance(10 * SECOND);
    assert_eq!(app.sweep(&mut sweeper), lost(0));
}

#[test]
fn a_lost_attempt_is_repeated_while_attempts_remain() {
    let app = with_claim(2);
    let mut sweeper = app.sweeper(POLICY);
    app.clock.advance(ACTIVE + MOMENT);
    assert_eq!(app.sweep(&mut sweeper), lost(1));
    assert_eq!(app.task(1)["task_state"], "pending");
    let alias = app.poll(Body::poll(8)).remove(0);
    let late = app.post("/tasks/response", Body::result(1));
    let detail =
        "task_id: the result came too late, attempt 1 had ended; it is kept for the operator to read";
    late.is_problem(400, detail);
    let (ended, late) = app.attempts(1).remove(0);
    assert_eq!(ended.end, AttemptEnd::Lost);
    assert!(late.is_some());
    app.post("/tasks/response", Body::result(0).with("task_id", format!("\"{alias}\""))).is_empty();
    assert_eq!(app.task(1)["task_state"], "completed");
}

#[test]
fn an_agent_that_polls_or_posts_a_result_is_alive() {
    let app = with_claim(1);
    app.post_task(Body::task(2));
    app.poll(Body::poll(9).with("max_tasks", "1"));
    let mut sweeper = app.sweeper(POLICY);
    // The agent is busy, but alive.
    app.clock.advance(ACTIVE);
    app.poll(Body::poll(9).with("max_tasks", "0"));
    app.clock.advance(ACTIVE);
    assert_eq!(app.sweep(&mut sweeper), lost(0));
    app.post("/tasks/response", Body::result(2)).is_empty();
    app.clock.advance(ACTIVE);
    assert_eq!(app.sweep(&mut sweeper), lost(0));
    app.clock.advance(10 * SECOND);
    assert_eq!(app.sweep(&mut sweeper), lost(1));
}

#[test]
fn nobody_is_lost_within_a_threshold_of_a_start() {
    let app = with_claim(1);
    // Nobody could reach the AFM for a week.
    app.clock.advance(Duration::from_secs(7 * 86_400));
    let mut sweeper = app.sweeper(POLICY);
    for _ in 0..29 {
        assert_eq!(app.sweep(&mut sweeper), lost(0));
        app.clock.advance(10 * SECOND);
    }
    app.clock.advance(10 * SECOND - MOMENT);
    assert_eq!(app.sweep(&mut sweeper), lost(0));
    app.clock.advance(10 * SECOND);
    assert_eq!(app.sweep(&mut sweeper).lost, 1);
}

#[test]
fn nobody_is_lost_within_a_threshold_of_a_sweep_that_failed() {
    let app = with_claim(1);
    let mut sweeper = app.sweeper(POLICY);
    app.clock.advance(ACTIVE - MOMENT);
    assert_eq!(app.sweep(&mut sweeper), lost(0));
    app.gate.take_database_away();
    app.clock.advance(Duration::from_secs(86_400));
    assert!(app.try_sweep(&mut sweeper).is_err());
    app.gate.open();
    app.clock.advance(ACTIVE - MOMENT);
    assert_eq!(app.sweep(&mut sweeper), lost(0));
    // The agent can reach the AFM again, and delivers its result.
    app.post("/tasks/response", Body::result(1)).is_empty();
    assert_eq!(app.task(1)["task_state"], "completed");
}

#[test]
fn after_the_second_threshold_an_agent_is_forgotten_and_its_tasks_keep_its_name() {
    let app = with_claim(2);
    app.post_task(Body::task(2));
    app.poll(Body::poll(9).with("agent_name", "\"Helsinki 3\""));
    app.post("/tasks/response", Body::result(2)).is_empty();
    let mut sweeper = app.sweeper(POLICY);
    app.clock.advance(DROP);
    assert_eq!(app.sweep(&mut sweeper), lost(1));
    assert_eq!(app.get("/dashboard/status").json()["agents_total"], 1);
    app.clock.advance(10 * SECOND);
    assert_eq!(app.sweep(&mut sweeper), Swept { forgotten: 1, ..Swept::default() });
    assert_eq!(app.get("/dashboard/status").json()["agents_total"], 0);
    assert_eq!(app.task(1)["task_waiting"]["code"], "no_agent");
    assert_eq!(app.task(2)["agent_id"], id(9));
    assert_eq!(app.attempts(1)[0].0.attempt.agent_name, "Helsinki 3");
}

#[test]
fn without_cleanup_nobody_is_lost_or_forgotten() {
    let app = with_claim(2);
    app.post_task(Body::task(2).with("task_ttl", "30"));
    let mut sweeper = app.sweeper(DUE);
    for _ in 0..3 {
        app.clock.advance(10 * DROP);
        // What is due is done all the same.
        app.sweep(&mut sweeper);
    }
    assert_eq!(app.task(1)["task_state"], "claimed");
    assert_eq!(app.task(2)["task_state"], "expired");
    assert_eq!(app.get("/dashboard/status").json()["agents_total"], 1);
    app.post("/tasks/response", Body::result(1)).is_empty();
}

#[test]
fn finished_tasks_are_kept_unless_there_is_a_retention() {
    let app = TestApp::start();
    for n in 1..=4 {
        app.post_task(Body::task(n));
    }
    assert_eq!(app.poll(Body::poll(9).with("max_tasks", "3")).len(), 3);
    app.post("/tasks/response", Body::result(1)).is_empty();
    app.delete(&format!("/task/{}", id(2))).json();
    let mut for_ever = app.sweeper(DUE);
    let mut for_a_day = app.sweeper(SweepPolicy { delete_after: Some(Duration::from_secs(86_400)), ..DUE });
    app.clock.advance(Duration::from_secs(86_400));
    assert_eq!(app.sweep(&mut for_ever), Swept::default());
    assert_eq!(app.sweep(&mut for_a_day), Swept::default());
    app.post("/tasks/response", Body::result(3)).is_empty();
    app.clock.advance(10 * SECOND);
    assert_eq!(app.sweep(&mut for_ever), Swept::default());
    assert_eq!(app.sweep(&mut for_a_day), Swept { deleted: 2, ..Swept::default() });
    for (n, status) in [(1, 404), (2, 404), (3, 200), (4, 200)] {
        assert_eq!(app.get(&format!("/task/{}", id(n))).status, status);
    }
    assert_eq!(app.attempts(2), []);
    // The id is free again.
    app.post_task(Body::task(1).with("task_version", "2"));
}

#[test]
fn many_old_tasks_go_in_batches() {
    let app = TestApp::start();
    std::thread::scope(|scope| {
        for part in 0..3 {
            let app = &app;
            scope.spawn(move || {
                for n in (0..50).map(|n| part * 50 + n) {
                    app.post_task(Body::task(n));
                    app.delete(&format!("/task/{}", id(n))).json();
                }
            });
        }
    });
    let mut sweeper = app.sweeper(SweepPolicy { delete_after: Some(SECOND), ..DUE });
    app.clock.advance(2 * SECOND);
    let swept = app.sweep(&mut sweeper);
    assert_eq!((swept.deleted, swept.more), (100, true));
    // The rest is swept at once, and not in the next round.
    let swept = app.sweep(&mut sweeper);
    assert_eq!((swept.deleted, swept.more), (50, false));
}
