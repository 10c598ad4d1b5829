//! Tests whole lives of tasks, on every store.

use std::collections::HashSet;
use std::thread;
use std::time::Duration;

use slamon_afm::maintenance::sweeper::SweepPolicy;

use crate::test_app::{Body, Place, Setup, TestApp, eventually, id};

/// Runs each of these tests once on every store.
macro_rules! on_every_store {
    ($($test:ident),* $(,)?) => {
        mod memory {
            $(#[test] fn $test() { super::$test(crate::test_app::Place::Memory); })*
        }
        mod file {
            $(#[test] fn $test() { super::$test(crate::test_app::Place::file()); })*
        }
        mod postgres {
            $(#[test] fn $test() { super::$test(crate::test_app::Place::postgres()); })*
        }
    };
}

on_every_store!(
    a_task_that_is_done,
    a_task_that_fails,
    everything_verbatim,
    repeats_and_contradictions,
    the_oldest_of_what_an_agent_can_do,
    agents_that_race_share_the_tasks,
    clients_that_race_post_a_task_once,
    a_poll_that_nobody_waits_for_takes_nothing,
    a_lost_attempt_is_repeated_and_its_result_kept,
    terms_decide_who_comes_when,
    a_task_is_cancelled_and_its_agent_told,
    held_requests_are_answered_once_there_is_something_to_say,
    time_ends_what_it_must,
);

fn on(place: Place) -> TestApp {
    Setup { place, ..Setup::default() }.start()
}

fn a_task_that_is_done(place: Place) {
    let app = on(place);
    let task = format!("/task/{}", id(1));
    app.get(&task).problem(404);
    app.post_task(Body::task(1).with("task_data", r#"{"time":5}"#));
    let posted = format!(
        r#"{{"task_id":"{}","test_id":"{}","task_type":"wait","task_version":1,"task_data":{{"time":5}}"#,
        id(1),
        id(0)
    );
    let created = r#""task_created":"2026-11-22 19:23:01.621614""#;
    app.get(&task).is_json(&format!(
        r#"{posted},"task_state":"pending",{created},"task_waiting":{{"code":"no_agent","reason":"no agent offers wait"}}}}"#
    ));
    app.get("/status").is_json(r#"{"agents":0,"tasks_waiting":1}"#);
    assert_eq!(app.poll(Body::poll(9)), [id(1)]);
    let claimed = format!(
        r#"{created},"task_attempt":1,"task_claimed":"2026-11-22 19:23:01.621614","agent_id":"{}","agent_name":"agent 9""#,
        id(9)
    );
    app.get(&task).is_json(&format!(r#"{posted},"task_state":"claimed",{claimed}}}"#));
    app.get("/status").is_json(r#"{"agents":1,"tasks_waiting":0}"#);
    app.post("/tasks/response", Body::result(1).with("task_data", r#"{"slept":5.0}"#)).is_empty();
    app.get(&task).is_json(&format!(
        r#"{posted},"task_completed":"2026-11-22 19:23:01.621614","task_result":{{"slept":5.0}},"task_state":"completed",{claimed}}}"#
    ));
    assert_eq!(app.poll(Body::poll(9)), [] as [String; 0]);
}

fn a_task_that_fails(place: Place) {
    let app = on(place);
    app.post_task(Body::task(1));
    assert_eq!(app.poll(Body::poll(9)), [id(1)]);
    app.post("/tasks/response", Body::failure(1, r#""no\u0000 😀""#)).is_empty();
    app.get(&format!("/task/{}", id(1))).is_json(&format!(
        r#"{{"task_id":"{}","test_id":"{}","task_type":"wait","task_version":1,"task_failed":"2026-11-22 19:23:01.621614","task_error":"no\u0000 😀","task_state":"failed","task_created":"2026-11-22 19:23:01.621614","task_attempt":1,"task_claimed":"2026-11-22 19:23:01.621614","agent_id":"{}","agent_name":"agent 9"}}"#,
        id(1),
        id(0),
        id(9)
    ));
}

fn everything_verbatim(place: Place) {
    let app = on(place);
    let value = r#"{"z":123456789012345678901234567890,"a":1.0,"\u0000":"\u0000 \ud800 😀","e":1E400}"#;
    app.post_task(Body::task(1).with("task_data", value).with("task_version", "-9223372036854775808"));
    let capable = r#"{"wait":{"version":-9223372036854775808}}"#;
    let polled = app.post("/tasks", Body::poll(9).with("agent_capabilities", capable));
    assert!(polled.body.contains(value), "{polled:?}");
    app.post("/tasks/response", Body::result(1).with("task_data", value)).is_empty();
    let task = app.get(&format!("/task/{}", id(1)));
    assert_eq!(task.body.matches(value).count(), 2, "{task:?}");
}

fn repeats_and_contradictions(place: Place) {
    let app = on(place);
    app.post("/tasks/response", Body::result(1)).is_problem(400, "task_id: no task has this id");
    app.post_task(Body::task(1));
    app.post_task(Body::task(1));
    let answer = app.post("/task", Body::task(1).with("task_data", "{}"));
    answer.is_problem(400, "task_id: is taken by a task that differs in task_data");
    let answer = app.post("/tasks/response", Body::result(1));
    answer.is_problem(400, "task_id: the task has not been claimed by an agent");
    assert_eq!(app.poll(Body::poll(9)), [id(1)]);
    app.post("/tasks/response", Body::result(1)).is_empty();
    app.post("/tasks/response", Body::result(1)).is_empty();
    let answer = app.post("/tasks/response", Body::failure(1, "\"\""));
    answer.is_problem(400, "task_id: the task is finished already, with another result");
}

fn the_oldest_of_what_an_agent_can_do(place: Place) {
    let app = on(place);
    for n in [4, 2, 6, 1, 5, 3] {
        app.post_task(Body::task(n).with("task_type", format!("\"{}\"", n % 3)));
    }
    let capable = r#"{"0":{"version":1},"1":{"version":1},"2":{"version":2}}"#;
    let poll = Body::poll(9).with("agent_capabilities", capable).with("max_tasks", "3");
    assert_eq!(app.poll(&poll), [4, 6, 1].map(id));
    assert_eq!(app.poll(&poll), [3].map(id));
    app.get("/status").is_json(r#"{"agents":1,"tasks_waiting":2}"#);
}

/// This many clients race.
const RACERS: u64 = 4;

fn agents_that_race_share_the_tasks(place: Place) {
    const TASKS: u64 = 100;
    let app = on(place);
    for n in 0..TASKS {
        app.post_task(Body::task(n));
    }
    let race = |agent: u64| {
        let mut mine = Vec::new();
        loop {
            let tasks = app.poll(Body::poll(1000 + agent).with("max_tasks", "3"));
            if tasks.is_empty() {
                return mine;
            }
            mine.extend(tasks);
        }
    };
    let handed_out: Vec<String> = thread::scope(|scope| {
        let agents: Vec<_> = (0..RACERS).map(|agent| scope.spawn(move || race(agent))).collect();
        agents.into_iter().flat_map(|agent| agent.join().expect("it polled to the end")).collect()
    });
    assert_eq!(handed_out.len() as u64, TASKS);
    assert_eq!(handed_out.into_iter().collect::<HashSet<_>>(), (0..TASKS).map(id).collect());
}

fn clients_that_race_post_a_task_once(place: Place) {
    let app = on(place);
    let taken: usize = thread::scope(|scope| {
        let post = |n: u64| app.post("/task", Body::task(1).with("task_version", n.to_string())).status;
        let clients: Vec<_> = (0..RACERS).map(|n| scope.spawn(move || post(n))).collect();
        let statuses = clients.into_iter().map(|client| client.join().expect("it got an answer"));
        statuses.filter(|status| *status == 200).count()
    });
    assert_eq!(taken, 1);
    app.get("/status").is_json(r#"{"agents":0,"tasks_waiting":1}"#);
}

fn a_poll_that_nobody_waits_for_takes_nothing(place: Place) {
    let (app, gate) = Setup { place, ..Setup::default() }.start_gated();
    app.post_task(Body::task(1));
    gate.close();
    let mut agent = app.connect();
    agent.post("/tasks", &Body::poll(8).to_string());
    gate.wait_until_reached();
    agent.reset();
    app.running.wait_for(0);
    gate.open();
    // The claim was under way and is taken back, which may come after this poll.
    eventually("the task waits again", || app.poll(Body::poll(9)) == [id(1)]);
}

const ACTIVE: Duration = Duration::from_secs(300);
const POLICY: SweepPolicy = SweepPolicy {
    lost_after: Some(ACTIVE),
    forget_after: Some(ACTIVE),
    delete_after: Some(Duration::from_secs(3_600)),
};

fn a_lost_attempt_is_repeated_and_its_result_kept(place: Place) {
    let app = on(place);
    let mut sweeper = app.sweeper(POLICY);
    app.post_task(Body::task(1).with("task_max_attempts", "2"));
    assert_eq!(app.poll(Body::poll(8)), [id(1)]);
    app.clock.advance(ACTIVE + Duration::from_micros(1));
    let swept = app.sweep(&mut sweeper);
    assert_eq!((swept.lost, swept.forgotten), (1, 1));
    let alias = app.poll(Body::poll(9)).remove(0);
    assert_ne!(alias, id(1));
    let late = app.post("/tasks/response", Body::result(1).with("task_data", r#"{"n": 1.0}"#));
    late.problem(400);
    let result = Body::result(0).with("task_id", format!("\"{alias}\""));
    for _ in 0..2 {
        app.post("/tasks/response", &result).is_empty();
    }
    app.post("/tasks/response", result.with("task_data", r#"{"n":2}"#)).problem(400);
    let task = app.task(1);
    assert_eq!((&task["task_state"], &task["task_attempt"]), (&"completed".into(), &2.into()));
    let (ended, late) = app.attempts(1).remove(0);
    assert_eq!((ended.attempt.agent_id.to_string(), ended.attempt.agent_name), (id(8), "agent 8".to_owned()));
    assert_eq!(format!("{:?}", late.expect("it is kept").outcome), r#"Completed({"n": 1.0})"#);
}

fn terms_decide_who_comes_when(place: Place) {
    let app = on(place);
    app.post_task(Body::task(1));
    app.post_task(Body::task(2).with("task_priority", "1").with("agent_filter", r#"{"country":"FI"}"#));
    app.post_task(Body::task(3).with("task_priority", "1"));
    app.post_task(Body::task(4).with("task_priority", "100").with("task_delay", "60"));
    assert_eq!(app.poll(Body::poll(8)), [3, 1].map(id));
    assert_eq!(app.task(2)["task_waiting"]["code"], "filter");
    assert_eq!(app.task(4)["task_waiting"]["code"], "delayed");
    app.clock.advance(Duration::from_secs(60));
    assert_eq!(app.sweep(&mut app.sweeper(POLICY)).settled, 1);
    let at_home = Body::poll(9).with("agent_location", r#"{"country":"FI","region":"18"}"#);
    assert_eq!(app.poll(at_home), [4, 2].map(id));
}

fn a_task_is_cancelled_and_its_agent_told(place: Place) {
    let app = on(place);
    let path = format!("/task/{}", id(1));
    app.delete(&path).problem(404);
    app.post_task(Body::task(1));
    assert_eq!(app.poll(Body::poll(9)), [id(1)]);
    let answer = app.delete(&path);
    assert_eq!(answer.json()["task_state"], "cancelled");
    app.delete(&path).is_json(&answer.body);
    app.post("/tasks/response", Body::result(1)).problem(400);
    assert_eq!(app.post("/tasks", Body::poll(9)).json()["cancelled"], serde_json::json!([id(1)]));
    assert_eq!(app.post("/tasks", Body::poll(9)).json().get("cancelled"), None);
    app.post_task(Body::task(2));
    app.poll(Body::poll(9));
    app.post("/tasks/response", Body::result(2)).is_empty();
    app.delete(&format!("/task/{}", id(2))).problem(409);
}

fn held_requests_are_answered_once_there_is_something_to_say(place: Place) {
    let app = on(place);
    let mut agent = app.hold(&Body::poll(9).with("max_wait", "300"));
    app.post_task(Body::task(1));
    assert_eq!(agent.answer().json()["tasks"][0]["task_id"], id(1));
    let mut client = app.wait_for(&format!("/task/{}?wait=300", id(1)));
    app.post("/tasks/response", Body::result(1)).is_empty();
    assert_eq!(client.answer().json()["task_state"], "completed");
}

fn time_ends_what_it_must(place: Place) {
    let app = on(place);
    let mut sweeper = app.sweeper(POLICY);
    app.post_task(Body::task(1).with("task_ttl", "30").with("task_type", "\"other\""));
    app.post_task(Body::task(2).with("task_timeout", "20"));
    assert_eq!(app.poll(Body::poll(9)), [id(2)]);
    app.clock.advance(Duration::from_secs(30));
    assert_eq!(app.sweep(&mut sweeper).settled, 2);
    assert_eq!(
        app.task(1)["task_error"],
        "Task TTL of 30 s expired: waited 30.0 s, no agent offering other version 1 polled in that time"
    );
    assert_eq!(
        app.task(2)["task_error"],
        format!("Task timeout of 20 s passed: agent \"agent 9\" ({}) sent no result, attempt 1 of 1", id(9))
    );
    app.clock.advance(Duration::from_secs(3_601));
    assert_eq!(app.sweep(&mut sweeper).deleted, 2);
    app.get(&format!("/task/{}", id(1))).problem(404);
}
