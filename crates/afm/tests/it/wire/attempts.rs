//! Tests attempts that end without finishing their task, and results that come late.

use std::time::Duration;

use slamon_domain::AttemptEnd;
use slamon_protocol::TaskOutcome;

use super::terms::DUE;
use crate::test_app::{Body, Place, Setup, TestApp, id};

const LATE: &str =
    "task_id: the result came too late, attempt 1 had ended; it is kept for the operator to read";

/// Returns a result for the attempt that was handed out under `alias`.
fn result(alias: &str, data: &str) -> Body {
    Body::result(0).with("task_id", format!("\"{alias}\"")).with("task_data", data)
}

/// Starts an AFM with task 1 of two attempts: the first, by agent 8, has timed out; agent 9 has the second,
/// under the id that this returns.
fn with_second_attempt() -> (TestApp, String) {
    let app = TestApp::start();
    app.post_task(Body::task(1).with("task_max_attempts", "2").with("task_timeout", "30"));
    assert_eq!(app.poll(Body::poll(8)), [id(1)]);
    app.clock.advance(Duration::from_secs(30));
    let mut sweeper = app.sweeper(DUE);
    assert_eq!(app.sweep(&mut sweeper).settled, 1);
    let task = app.task(1);
    assert_eq!((task["task_state"].as_str(), task["task_attempt"].as_u64()), (Some("pending"), Some(1)));
    let answer = app.post("/tasks", Body::poll(9)).json();
    assert_eq!(answer["tasks"][0]["task_attempt"], 2);
    let alias = answer["tasks"][0]["task_id"].as_str().expect("an id").to_owned();
    (app, alias)
}

#[test]
fn the_id_of_an_attempt_is_no_tasks() {
    let (app, alias) = with_second_attempt();
    let theirs = Body::task(2).with("task_id", format!("\"{alias}\""));
    let taken = "task_id: is the id under which an attempt of another task was handed out";
    app.post("/task", &theirs).is_problem(400, taken);
    app.post("/tasks/response", result(&alias, r#"{"n":2}"#)).is_empty();
    assert_eq!(app.task(1)["task_result"].to_string(), r#"{"n":2}"#);
    app.post("/task", theirs).is_problem(400, taken);
}

#[test]
fn the_second_attempt_has_an_id_of_its_own() {
    let (app, alias) = with_second_attempt();
    assert_ne!(alias, id(1));
    let task = app.task(1);
    assert_eq!((task["task_state"].as_str(), task["task_attempt"].as_u64()), (Some("claimed"), Some(2)));
    assert_eq!(task["agent_id"], id(9));
    // The client only ever sees its own id.
    assert!(!task.to_string().contains(&alias), "{task}");
    app.get(&format!("/task/{alias}")).is_problem(404, "task_id: no task has this id");
    app.delete(&format!("/task/{alias}")).is_problem(404, "task_id: no task has this id");
    app.post("/tasks/response", result(&alias.to_uppercase(), r#"{"n":2}"#)).is_empty();
    let task = app.task(1);
    assert_eq!((&task["task_id"], &task["task_state"]), (&id(1).into(), &"completed".into()));
    assert_eq!(task["task_result"].to_string(), r#"{"n":2}"#);
    assert!(!task.to_string().contains(&alias), "{task}");
}

#[test]
fn a_late_result_changes_nothing_and_is_kept() {
    let (app, alias) = with_second_attempt();
    let but_for_its_past = || {
        let mut task = app.task(1);
        task["attempts"].take();
        task
    };
    let before = but_for_its_past();
    app.clock.advance(Duration::from_secs(1));
    for data in [r#"{"n":1}"#, r#"{"n":3}"#] {
        app.post("/tasks/response", result(&id(1), data)).is_problem(400, LATE);
    }
    assert_eq!(but_for_its_past(), before);
    app.post("/tasks/response", result(&alias, r#"{"n":2}"#)).is_empty();
    app.post("/tasks/response", result(&id(1), r#"{"n":4}"#)).is_problem(400, LATE);
    assert_eq!(app.task(1)["task_result"].to_string(), r#"{"n":2}"#);

    let attempts = app.attempts(1);
    assert_eq!(attempts.len(), 1);
    let (ended, late) = &attempts[0];
    assert_eq!((ended.attempt.number, &ended.end), (1, &AttemptEnd::TimedOut));
    assert_eq!(ended.attempt.agent_id.to_string(), id(8));
    let late = late.as_ref().expect("it is kept");
    assert_eq!(late.at, app.clock.now());
    let TaskOutcome::Completed(data) = &late.outcome else { panic!("{late:?}") };
    // The first of the late results is kept.
    assert_eq!(data.as_str(), r#"{"n":1}"#);
}

#[test]
fn a_task_shows_why_its_earlier_attempts_ended() {
    for place in [Place::Memory, Place::postgres()] {
        let app = Setup { place, ..Setup::default() }.start();
        let retried = Body::task(1).with("task_max_attempts", "5").with("task_retry_errors", "true");
        app.post_task(retried.with("task_timeout", "30"));
        let next = |agent: u64| {
            let answer = app.post("/tasks", Body::poll(agent).with("agent_running", "[]")).json();
            answer["tasks"][0]["task_id"].as_str().expect("an id").to_owned()
        };
        let first = next(8);
        assert_eq!(app.task(1).get("attempts"), None);
        app.clock.advance(Duration::from_secs(1));
        let long = format!("\"{}\"", "é".repeat(300));
        app.post("/tasks/response", Body::failure(1, &long)).is_empty();
        let second = next(8);
        app.clock.advance(Duration::from_secs(30));
        app.sweep(&mut app.sweeper(DUE));
        app.post("/tasks/response", result(&second, r#"{"n":2}"#)).problem(400);
        let third = next(9);
        app.clock.advance(Duration::from_secs(1));
        let fourth = next(9);
        app.post("/tasks/response", result(&third, &format!(r#"{{"x":"{}"}}"#, "x".repeat(5_000))))
            .problem(400);
        let task = app.task(1);
        assert_eq!((&task["task_state"], &task["task_attempt"]), (&"claimed".into(), &4.into()));
        let excerpt = format!("{}…", "é".repeat(199));
        let (eight, nine) = (id(8), id(9));
        assert_eq!(
            task["attempts"],
            serde_json::json!([
                {"attempt": 1, "code": "error", "reason": excerpt, "reason_bytes": 602,
                 "claimed": "2026-11-22 19:23:01.621614", "ended": "2026-11-22 19:23:02.621614",
                 "agent_id": eight, "agent_name": "agent 8"},
                {"attempt": 2, "code": "timed_out", "reason": "its agent sent no result within 30 s",
                 "claimed": "2026-11-22 19:23:02.621614", "ended": "2026-11-22 19:23:32.621614",
                 "agent_id": eight, "agent_name": "agent 8",
                 "late": "2026-11-22 19:23:32.621614", "late_result": {"n": 2}},
                {"attempt": 3, "code": "abandoned",
                 "reason": "its agent came back without it: agent_running did not name it",
                 "claimed": "2026-11-22 19:23:32.621614", "ended": "2026-11-22 19:23:33.621614",
                 "agent_id": nine, "agent_name": "agent 9",
                 "late": "2026-11-22 19:23:33.621614", "late_result_bytes": 5_008},
            ])
        );
        // The client learns none of the aliases.
        for alias in [second, third, fourth] {
            assert_ne!(alias, first);
            assert!(!task.to_string().contains(&alias), "{task}");
        }
        app.delete(&format!("/task/{}", id(1))).json();
        let last = app.task(1)["attempts"][3].clone();
        assert_eq!((&last["code"], &last["reason"]), (&"cancelled".into(), &"the task was cancelled".into()));
    }
}

#[test]
fn a_task_of_one_attempt_is_read_once() {
    let app = TestApp::start();
    app.post_task(Body::task(1));
    app.post_task(Body::task(2).with("task_version", "2"));
    assert_eq!(app.poll(Body::poll(9)), [id(1)]);
    for n in [1, 2] {
        assert_eq!(app.task(n).get("attempts"), None);
    }
    app.post("/tasks/response", Body::result(1)).is_empty();
    assert_eq!(app.task(1).get("attempts"), None);
    assert_eq!(app.gate.reads(), 3);
    // An attempt that ended without a result of its agent is shown as past.
    app.post_task(Body::task(3));
    assert_eq!(app.poll(Body::poll(9)), [id(3)]);
    app.delete(&format!("/task/{}", id(3))).json();
    app.post("/tasks/response", Body::failure(3, r#""no route""#)).problem(400);
    let attempts = app.task(3)["attempts"].clone();
    assert_eq!((&attempts[0]["code"], &attempts[0]["late_error"]), (&"cancelled".into(), &"no route".into()));
}

#[test]
fn a_late_error_is_kept_too() {
    let (app, _) = with_second_attempt();
    app.post("/tasks/response", Body::failure(1, r#""no route""#)).is_problem(400, LATE);
    let (_, late) = app.attempts(1).remove(0);
    let TaskOutcome::Failed(error) = late.expect("it is kept").outcome else { panic!("an error was sent") };
    assert_eq!(error.as_str(), r#""no route""#);
}

#[test]
fn the_first_result_of_a_live_attempt_wins() {
    let (app, alias) = with_second_attempt();
    app.post("/tasks/response", result(&alias, r#"{"n":2}"#)).is_empty();
    app.post("/tasks/response", result(&alias, r#"{ "n" : 2 }"#)).is_empty();
    let answer = app.post("/tasks/response", result(&alias, r#"{"n":3}"#));
    answer.is_problem(400, "task_id: the task is finished already, with another result");
    assert_eq!(app.task(1)["task_result"].to_string(), r#"{"n":2}"#);
}

#[test]
fn the_last_attempt_fails_the_task_and_says_so() {
    let (app, alias) = with_second_attempt();
    app.clock.advance(Duration::from_secs(30));
    // A result at the deadline is late, swept or not.
    let answer = app.post("/tasks/response", result(&alias, "{}"));
    answer.is_problem(400, &LATE.replace("attempt 1", "attempt 2"));
    let task = app.task(1);
    assert_eq!(task["task_state"], "failed");
    assert_eq!(
        task["task_error"],
        format!("Task timeout of 30 s passed: agent \"agent 9\" ({}) sent no result, attempt 2 of 2", id(9))
    );
    assert_eq!(app.attempts(1).len(), 2);
    assert_eq!(app.poll(Body::poll(7)), [] as [String; 0]);
}

#[test]
fn a_result_just_before_the_deadline_counts() {
    let (app, alias) = with_second_attempt();
    app.clock.advance(Duration::from_micros(29_999_999));
    app.post("/tasks/response", result(&alias, "{}")).is_empty();
    assert_eq!(app.task(1)["task_state"], "completed");
}

#[test]
fn only_the_agent_that_holds_the_attempt_may_answer_once_it_names_itself() {
    let (app, alias) = with_second_attempt();
    let from = |alias: &str, agent: &str| {
        app.post("/tasks/response", result(alias, "{}").with("agent_id", format!("\"{agent}\"")))
    };
    from(&alias, &id(8)).is_problem(400, "agent_id: the task is another agent's");
    from(&id(1), &id(9)).is_problem(400, "agent_id: the task is another agent's");
    assert!(app.attempts(1)[0].1.is_none());
    from(&id(1), &id(8)).is_problem(400, LATE);
    from(&alias, &id(9).to_uppercase()).is_empty();
    from(&alias, &id(9)).is_empty();
    from(&alias, &id(8)).is_problem(400, "agent_id: the task is another agent's");
    for (bad, shown) in [("\"9\"", "\"9\""), ("null", "null"), ("{}", "an object"), ("\"\"", "\"\"")] {
        let answer = app.post("/tasks/response", result(&alias, "{}").with("agent_id", bad));
        let uuid = "must be a UUID of 8-4-4-4-12 hexadecimal digits, is";
        answer.is_problem(400, &format!("agent_id: {uuid} {shown}"));
    }
}

#[test]
fn an_error_ends_the_task_unless_errors_are_repeated() {
    let app = TestApp::start();
    app.post_task(Body::task(1).with("task_max_attempts", "2"));
    app.poll(Body::poll(9));
    app.post("/tasks/response", Body::failure(1, "\"no\"")).is_empty();
    assert_eq!(app.task(1)["task_state"], "failed");
}

#[test]
fn an_error_that_is_repeated() {
    let app = TestApp::start();
    app.post_task(Body::task(1).with("task_max_attempts", "2").with("task_retry_errors", "true"));
    assert_eq!(app.poll(Body::poll(9)), [id(1)]);
    for _ in 0..2 {
        app.post("/tasks/response", Body::failure(1, "\"first\"")).is_empty();
    }
    let other = app.post("/tasks/response", Body::failure(1, "\"other\""));
    other.is_problem(400, "task_id: the task is finished already, with another result");
    let alias = app.poll(Body::poll(9)).remove(0);
    assert_ne!(alias, id(1));
    let failure = Body::failure(0, "\"second\"").with("task_id", format!("\"{alias}\""));
    app.post("/tasks/response", failure).is_empty();
    let task = app.task(1);
    assert_eq!((&task["task_state"], &task["task_error"]), (&"failed".into(), &"second".into()));
    assert_eq!(task["task_attempt"], 2);
}

#[test]
fn the_delay_between_attempts_doubles_and_varies_by_a_tenth() {
    let app = TestApp::start();
    let mut sweeper = app.sweeper(DUE);
    let task = Body::task(1).with("task_max_attempts", "20").with("task_retry_errors", "true");
    app.post_task(task.with("task_retry_delay", "100"));
    for longest in [100, 200, 400, 800, 1_600, 3_200, 3_600, 3_600] {
        let alias = app.poll(Body::poll(9)).remove(0);
        let failure = Body::failure(0, "\"\"").with("task_id", format!("\"{alias}\""));
        app.post("/tasks/response", failure).is_empty();
        let due = app.sweep(&mut sweeper).next_due.expect("it waits");
        let delay = Duration::try_from(due.duration_since(app.clock.now())).expect("not over yet");
        let longest = Duration::from_secs(longest);
        assert!(delay >= longest * 9 / 10 && delay <= longest, "{delay:?} of {longest:?}");
        app.clock.advance(delay);
        assert_eq!(app.sweep(&mut sweeper).settled, 1);
    }
}
