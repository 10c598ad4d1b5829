//! An AFM, and an agent by hand.

use std::time::Duration;

use serde_json::{Value, json};
use slamon_client::Client;
use slamon_testbed::{AfmProcess, PgCluster, TestDatabase, built};
use uuid::Uuid;

/// Far beyond what any machine needs; reached only when something hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn start() -> (AfmProcess, Client) {
    start_with(&[])
}

/// An AFM with settings of its own.
pub(crate) fn start_with(settings: &[(&str, &str)]) -> (AfmProcess, Client) {
    let afm = AfmProcess::start(&built("slamon-afm"), &[], settings, None);
    let client = Client::new(&afm.url()).expect("a client");
    (afm, client)
}

/// An AFM in memory, and one on a PostgreSQL, with what keeps the database of it.
pub(crate) fn start_on_each_store() -> Vec<(AfmProcess, Client, Option<TestDatabase>)> {
    let (afm, client) = start();
    let database = PgCluster::shared().create_database();
    let (on_postgres, its_client) = start_with(&[("SQLALCHEMY_DATABASE_URI", &database.uri())]);
    vec![(afm, client, None), (on_postgres, its_client, Some(database))]
}

/// Polls once as an agent that can add and wait, and returns the tasks that it is handed.
pub(crate) fn poll(url: &str, agent_id: Uuid) -> Vec<Value> {
    let body = json!({
        "protocol": 1, "agent_id": agent_id.to_string(), "agent_name": "by hand", "agent_time": "now",
        "agent_capabilities": {"add": {"version": 1}}, "max_tasks": 100, "max_wait": 20,
        "agent_location": {"country": "FI", "region": "18"},
    });
    let mut answer = ureq::post(format!("{url}/tasks")).send_json(body).expect("the poll is answered");
    let answer: Value = answer.body_mut().read_json().expect("JSON");
    answer["tasks"].as_array().expect("a list").clone()
}

pub(crate) fn report(url: &str, task: &Value, end: &Value) {
    let mut body = json!({"protocol": 1, "task_id": task["task_id"]});
    body.as_object_mut().expect("an object").extend(end.as_object().expect("an object").clone());
    ureq::post(format!("{url}/tasks/response")).send_json(body).expect("the result is taken");
}
