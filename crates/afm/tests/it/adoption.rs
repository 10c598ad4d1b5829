//! The server goes on where the original stopped: on its database, with its command line and its
//! configuration file.

use std::process::Command;

use serde_json::{Value, json};
use slamon_testbed::{AfmProcess, OriginalAfm};

use crate::client::AfmClient;
use crate::test_app::Place;

/// The configuration file of both servers.
const CONFIG: &[(&str, &str)] = &[("AGENT_RETURN_TIME", "60 * 2"), ("LOG_LEVEL", "'DEBUG'")];

const AGENT: &str = "00000000-0000-4000-8000-00000000000a";
const OTHER_AGENT: &str = "00000000-0000-4000-8000-00000000000b";
const CLAIMED: &str = "00000000-0000-4000-8000-000000000002";
const COMPLETED: &str = "00000000-0000-4000-8000-000000000003";
const FAILED: &str = "00000000-0000-4000-8000-000000000004";
const WITHOUT_DATA: &str = "00000000-0000-4000-8000-000000000005";
/// The pending tasks in the order in which they are posted, which is neither that of their ids nor its
/// opposite.
const PENDING: [&str; 4] = [
    "00000000-0000-4000-8000-000000000011",
    "00000000-0000-4000-8000-000000000013",
    "00000000-0000-4000-8000-000000000010",
    "00000000-0000-4000-8000-000000000012",
];

/// The members of a task that the original does not have.
const ADDED: [&str; 7] =
    ["task_state", "task_created", "task_claimed", "task_attempt", "agent_id", "agent_name", "task_waiting"];

/// Returns everything that can be read by id, in the form of the original.
fn tasks(client: &AfmClient) -> Vec<Value> {
    let ids = [CLAIMED, COMPLETED, FAILED, WITHOUT_DATA];
    let mut tasks: Vec<Value> = ids.into_iter().chain(PENDING).map(|id| client.task(id)).collect();
    for task in tasks.iter_mut().filter_map(Value::as_object_mut) {
        task.retain(|name, _| !ADDED.contains(&name.as_str()));
    }
    tasks
}

/// Has the original make a database with a task of every kind, and returns what it answers about them.
#[track_caller]
fn fill(database: &Place) -> Vec<Value> {
    let original = OriginalAfm::start(&database.uri(), CONFIG).expect("the original runs");
    let client = AfmClient::of(&original.url());
    for (id, task_type) in [(CLAIMED, "claimed"), (COMPLETED, "completed"), (FAILED, "failed")] {
        client.post_task(
            id,
            task_type,
            &json!({"text": "äö 日本 😀 \u{0}", "n": [1, 1.0, 12345678901234567890_u64]}),
        );
        assert_eq!(client.poll(AGENT, task_type, 1).len(), 1);
    }
    client.complete(COMPLETED, &json!({"status": 200, "text": "<b>ä</b>"}));
    client.fail(FAILED, "no route to \"høst\"\n");
    for id in PENDING {
        client.post_task(id, "pending", &json!({"id": id}));
    }
    let without_data =
        json!({"task_id": WITHOUT_DATA, "test_id": AGENT, "task_type": "pending", "task_version": 1});
    assert_eq!(client.post("/task", &without_data), 200);
    tasks(&client)
}

#[track_caller]
fn start(database: &Place) -> AfmProcess {
    let config: String = CONFIG.iter().map(|(key, literal)| format!("{key} = {literal}\n")).collect();
    AfmProcess::start(
        env!("CARGO_BIN_EXE_slamon-afm").as_ref(),
        &["--database-uri", &database.uri()],
        &[],
        Some(&config),
    )
}

#[track_caller]
fn goes_on_where_the_original_stopped(database: &Place) {
    let before = fill(database);
    let afm = start(database);
    let client = AfmClient::of(&afm.url());
    assert_eq!(tasks(&client), before);
    assert_eq!(client.get("/status"), json!({"agents": 1, "tasks_waiting": 5}));

    // Pending tasks come oldest first.
    let claimed = client.poll(OTHER_AGENT, "pending", 3);
    let ids: Vec<&Value> = claimed.iter().map(|task| &task["task_id"]).collect();
    assert_eq!(ids, PENDING[..3]);
    assert_eq!(claimed[0]["task_data"], json!({"id": PENDING[0]}));
    let claimed = client.poll(OTHER_AGENT, "pending", 3);
    let ids: Vec<&Value> = claimed.iter().map(|task| &task["task_id"]).collect();
    assert_eq!(ids, [PENDING[3], WITHOUT_DATA]);
    assert_eq!(claimed[1]["task_data"], json!({}));
    assert_eq!(client.get("/status"), json!({"agents": 2, "tasks_waiting": 0}));

    // What was claimed from the original is finished here; what was finished stays as it is.
    assert_eq!(client.poll(OTHER_AGENT, "claimed", 1), [] as [Value; 0]);
    client.complete(CLAIMED, &json!({"done": true}));
    assert_eq!(client.task(CLAIMED)["task_result"], json!({"done": true}));
    let other = json!({"protocol": 1, "task_id": COMPLETED, "task_data": {"status": 404}});
    assert_eq!(client.post("/tasks/response", &other), 400);
    let error = json!({"protocol": 1, "task_id": FAILED, "task_error": "again"});
    assert_eq!(client.post("/tasks/response", &error), 400);
    assert_eq!(tasks(&client)[1..3], before[1..3]);

    // A second start finds its own tables.
    let now = tasks(&client);
    drop(afm);
    let afm = start(database);
    assert_eq!(tasks(&AfmClient::of(&afm.url())), now);
}

#[test]
fn goes_on_on_sqlite() {
    goes_on_where_the_original_stopped(&Place::file());
}

#[test]
fn goes_on_on_postgresql() {
    goes_on_where_the_original_stopped(&Place::postgres());
}

#[test]
fn while_the_original_has_the_port_its_tables_are_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let uri = format!("sqlite:///{}", folder.path().join("afm.db").display());
    let original = OriginalAfm::start(&uri, CONFIG).expect("the original runs");
    let client = AfmClient::of(&original.url());
    client.post_task(CLAIMED, "t", &json!({}));
    let url = original.url();
    let port = url.rsplit(':').next().expect("it has a port");
    let ours = Command::new(env!("CARGO_BIN_EXE_slamon-afm"))
        .args(["--database-uri", &uri, "run", "127.0.0.1", port])
        .output()
        .expect("ours runs");
    let said = String::from_utf8_lossy(&ours.stderr);
    assert_eq!(ours.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot listen"), "{said}");
    assert_eq!(client.task(CLAIMED)["task_id"], CLAIMED);
}
