//! The original agent, slamon-agent 1.1.0 as it comes from PyPI, works for our AFM.

mod web_site;

use serde_json::{Value, json};
use slamon_testbed::{AfmProcess, OriginalAfm, OriginalAgent, free_port};

use crate::client::AfmClient;
use crate::test_app::{PATIENCE, Place};
use web_site::WebSite;

/// Agents poll every second.
const CONFIG: &str = "AGENT_RETURN_TIME = 1\n";

const WEB: &str = "00000000-0000-4000-8000-000000000001";
const WAIT: &str = "00000000-0000-4000-8000-000000000002";
const REFUSED: &str = "00000000-0000-4000-8000-000000000003";
/// An agent that claims and is not heard of again.
const SILENT: &str = "00000000-0000-4000-8000-00000000000a";
const UNREADABLE: &str = "00000000-0000-4000-8000-000000000004";

fn start(database: &Place) -> AfmProcess {
    AfmProcess::start(
        env!("CARGO_BIN_EXE_slamon-afm").as_ref(),
        &["--database-uri", &database.uri()],
        &[],
        Some(CONFIG),
    )
}

fn start_at(port: u16, database: &Place) -> AfmProcess {
    AfmProcess::start_at(
        port,
        env!("CARGO_BIN_EXE_slamon-afm").as_ref(),
        &["--database-uri", &database.uri()],
        &[],
        Some(CONFIG),
    )
}

fn stop(afm: &AfmProcess) {
    afm.signal("TERM");
    assert!(afm.wait_exit(PATIENCE).success(), "{:?}", afm.log_lines());
}

#[track_caller]
fn assert_waited(task: &Value) {
    assert!(task["task_result"]["time"].is_number(), "{task}");
    assert_eq!(task["task_error"], Value::Null, "{task}");
}

/// Tasks that succeed and tasks that fail.
#[track_caller]
fn tasks_are_executed(database: &Place) {
    let afm = start(database);
    let _agent = OriginalAgent::start(&afm.url(), 2, 1).expect("the agent runs");
    let client = AfmClient::of(&afm.url());
    let site = WebSite::start();
    // No server of any test has so low a port.
    let nowhere = "http://127.0.0.1:1/";
    client.post_task(WEB, "url_http_status", &json!({"url": site.url()}));
    client.post_task(WAIT, "wait", &json!({"time": 0.6}));
    client.post_task(REFUSED, "url_http_status", &json!({"url": nowhere}));
    client.post_task(UNREADABLE, "wait", &json!({"minutes": 1}));

    assert_eq!(client.finished(WEB)["task_result"], json!({"status": 418}));
    assert_waited(&client.finished(WAIT));
    let error = client.finished(REFUSED)["task_error"].to_string();
    assert!(error.contains("Max retries exceeded"), "{error}");
    // What Python says of a key that is not there.
    assert_eq!(client.finished(UNREADABLE)["task_error"], "'time'");
    assert_eq!(client.get("/status"), json!({"agents": 1, "tasks_waiting": 0}));
}

#[test]
fn tasks_are_executed_on_sqlite() {
    tasks_are_executed(&Place::file());
}

#[test]
fn tasks_are_executed_on_postgresql() {
    tasks_are_executed(&Place::postgres());
}

/// The AFM is stopped while the agent works, and comes back: the agent delivers what it made, and goes on.
#[track_caller]
fn the_agent_outlives_a_restart(database: &Place) {
    let port = free_port();
    let afm = start_at(port, database);
    let agent = OriginalAgent::start(&afm.url(), 2, 1).expect("the agent runs");
    let client = AfmClient::of(&afm.url());
    client.post_task(WAIT, "wait", &json!({"time": 3}));
    client.until_all_are_claimed();
    stop(&afm);
    // It polls beside its work.
    agent.wait_for_line(|line| line.contains("An error occurred while claiming tasks"), PATIENCE);

    let _afm = start_at(port, database);
    assert_waited(&client.finished(WAIT));
    client.post_task(WEB, "wait", &json!({"time": 0.5}));
    assert_waited(&client.finished(WEB));
}

#[test]
fn the_agent_outlives_a_restart_on_sqlite() {
    the_agent_outlives_a_restart(&Place::file());
}

#[test]
fn the_agent_outlives_a_restart_on_postgresql() {
    the_agent_outlives_a_restart(&Place::postgres());
}

/// A task is posted to the original, and executed through ours.
#[track_caller]
fn a_task_of_the_original_is_executed(database: &Place) {
    let original = OriginalAfm::start(&database.uri(), &[]).expect("the original runs");
    AfmClient::of(&original.url()).post_task(WAIT, "wait", &json!({"time": 0.5}));
    drop(original);

    let afm = start(database);
    let client = AfmClient::of(&afm.url());
    assert_eq!(client.get("/status"), json!({"agents": 0, "tasks_waiting": 1}));
    let _agent = OriginalAgent::start(&afm.url(), 1, 1).expect("the agent runs");
    assert_waited(&client.finished(WAIT));
}

#[test]
fn a_task_of_the_original_is_executed_on_sqlite() {
    a_task_of_the_original_is_executed(&Place::file());
}

#[test]
fn a_task_of_the_original_is_executed_on_postgresql() {
    a_task_of_the_original_is_executed(&Place::postgres());
}

/// A task is handed to an agent that never answers in time, and then to the original one, which knows nothing
/// of attempts.
#[track_caller]
fn the_agent_takes_over(database: &Place, config: &str, terms: &Value) {
    let afm = AfmProcess::start(
        env!("CARGO_BIN_EXE_slamon-afm").as_ref(),
        &["--database-uri", &database.uri()],
        &[],
        Some(&format!("{CONFIG}{config}")),
    );
    let client = AfmClient::of(&afm.url());
    let mut task = json!({
        "task_id": WAIT, "test_id": WAIT, "task_type": "wait", "task_version": 1,
        "task_data": {"time": 0.5}, "task_max_attempts": 2,
    });
    task.as_object_mut().expect("an object").extend(terms.as_object().expect("an object").clone());
    assert_eq!(client.post("/task", &task), 200, "{task}");
    assert_eq!(client.poll(SILENT, "wait", 1).len(), 1);
    let _agent = OriginalAgent::start(&afm.url(), 1, 1).expect("the agent runs");
    let done = client.finished(WAIT);
    assert_waited(&done);
    assert_eq!((&done["task_id"], &done["task_attempt"]), (&json!(WAIT), &json!(2)), "{done}");
    assert_ne!(done["agent_id"], SILENT, "{done}");
    // The first agent comes back with its own result.
    let late = json!({"protocol": 1, "task_id": WAIT, "task_data": {"late": true}});
    assert_eq!(client.post("/tasks/response", &late), 400);
    let after = client.task(WAIT);
    assert_eq!(after["attempts"][0]["late_result"], json!({"late": true}), "{after}");
    assert_eq!(without_late_results(after), done);
}

/// A task as it was before results came too late, which are all that may change of it once it has ended.
fn without_late_results(mut task: Value) -> Value {
    for attempt in task["attempts"].as_array_mut().expect("a list") {
        attempt.as_object_mut().expect("an object").retain(|name, _| !name.starts_with("late"));
    }
    task
}

/// Time enough for the second attempt on a slow machine.
fn timed_out(database: &Place) {
    the_agent_takes_over(database, "", &json!({"task_timeout": 6}));
}

fn lost(database: &Place) {
    the_agent_takes_over(database, "AGENT_ACTIVE_THRESHOLD = 4\n", &json!({}));
}

#[test]
fn it_takes_over_what_another_let_time_out_on_sqlite() {
    timed_out(&Place::file());
}

#[test]
fn it_takes_over_what_another_let_time_out_on_postgresql() {
    timed_out(&Place::postgres());
}

#[test]
fn it_takes_over_from_an_agent_that_is_lost_on_sqlite() {
    lost(&Place::file());
}

#[test]
fn it_takes_over_from_an_agent_that_is_lost_on_postgresql() {
    lost(&Place::postgres());
}

/// The agent appends `/tasks` to whatever URL it was started with.
#[test]
fn a_url_with_a_slash_at_its_end() {
    let database = Place::file();
    let afm = start(&database);
    let _agent = OriginalAgent::start(&format!("{}/", afm.url()), 1, 1).expect("the agent runs");
    let client = AfmClient::of(&afm.url());
    client.post_task(WAIT, "wait", &json!({"time": 0.5}));
    assert_waited(&client.finished(WAIT));
}

/// The agent itself is too late, twice: what it posts then is refused, and it goes on with what comes next.
#[track_caller]
fn the_agent_is_too_late(database: &Place) {
    let afm = start(database);
    let client = AfmClient::of(&afm.url());
    let task = json!({
        "task_id": WAIT, "test_id": WAIT, "task_type": "wait", "task_version": 1,
        "task_data": {"time": 4}, "task_timeout": 1, "task_max_attempts": 2,
    });
    assert_eq!(client.post("/task", &task), 200);
    let _agent = OriginalAgent::start(&afm.url(), 2, 1).expect("the agent runs");
    let ended = client.finished(WAIT);
    assert_eq!((&ended["task_state"], &ended["task_attempt"]), (&json!("failed"), &json!(2)), "{ended}");
    assert!(ended["task_error"].as_str().is_some_and(|error| error.contains("timeout of 1 s")), "{ended}");
    let refused = |line: &str| line.contains("/tasks/response") && line.contains("status=400");
    afm.wait_for_line(refused, PATIENCE);

    client.post_task(REFUSED, "wait", &json!({"time": 0.5}));
    assert_waited(&client.finished(REFUSED));
    // How many of its late results are there when the task is read depends on how fast the agent is.
    assert_eq!(without_late_results(client.task(WAIT)), without_late_results(ended));
}

#[test]
fn it_goes_on_when_it_was_too_late_on_sqlite() {
    the_agent_is_too_late(&Place::file());
}

#[test]
fn it_goes_on_when_it_was_too_late_on_postgresql() {
    the_agent_is_too_late(&Place::postgres());
}
