//! The original AFM and the original agent run here, and understand each other.

use std::time::Duration;

use serde_json::{Value, json};
use slamon_testbed::{OriginalAfm, OriginalAgent, PgCluster};

const PATIENCE: Duration = Duration::from_secs(60);
const TASK: &str = "de305d54-75b4-431b-adb2-eb6b9e546013";

fn post_task(afm: &OriginalAfm, task_type: &str, task_data: &Value) {
    let task = json!({
        "task_id": TASK,
        "test_id": "de305d54-75b4-431b-adb2-eb6b9e546014",
        "task_type": task_type,
        "task_version": 1,
        "task_data": task_data,
    });
    ureq::post(format!("{}/task", afm.url())).send_json(task).expect("200");
}

/// Waits for the original's word that it has stored a result, then asks for the task.
fn finished_task(afm: &OriginalAfm) -> Value {
    afm.wait_for_line(|line| line.contains("An agent returned task with results"), PATIENCE);
    let mut answer = ureq::get(format!("{}/task/{TASK}", afm.url())).call().expect("200");
    answer.body_mut().read_json().expect("JSON")
}

#[test]
fn a_task_lives_and_succeeds_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let uri = format!("sqlite:///{}", folder.path().join("afm.db").display());
    let afm = OriginalAfm::start(&uri, &[("AGENT_RETURN_TIME", "1")]).unwrap();
    post_task(&afm, "wait", &json!({"time": 0.5}));
    let agent = OriginalAgent::start(&afm.url(), 2, 1).unwrap();
    let task = finished_task(&afm);
    assert!(task["task_result"]["time"].is_number(), "{task}");
    agent.wait_for_line(|line| line.contains(&format!("Posting results for task '{TASK}'")), PATIENCE);
}

#[test]
fn a_task_lives_and_fails_on_postgresql() {
    let database = PgCluster::shared().create_database();
    let afm = OriginalAfm::start(&database.uri(), &[]).unwrap();
    post_task(&afm, "url_http_status", &json!({"url": "nothing:"}));
    let _agent = OriginalAgent::start(&afm.url(), 1, 1).unwrap();
    let task = finished_task(&afm);
    assert!(task["task_error"].is_string(), "{task}");
    assert_eq!(database.sql("select count(*) from tasks where started is not null"), "1");
}

#[test]
fn a_database_that_cannot_be_opened_is_shown() {
    let error = format!("{:#}", OriginalAfm::start("sqlite:////no/such/folder/afm.db", &[]).unwrap_err());
    assert!(error.contains("unable to open database file"), "{error}");
}
