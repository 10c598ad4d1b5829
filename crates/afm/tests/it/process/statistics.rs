//! Tests that statistics outlive the program.

use serde_json::{Value, json};

use super::serve;
use crate::test_app::{Body, Client, PATIENCE, Place, eventually, id};

/// How often something happened in the last hour.
fn happened(overview: &Value, what: &str) -> u64 {
    let minutes = overview["minutes"].as_array().expect("a list");
    minutes.iter().map(|minute| minute[what].as_u64().expect("a number")).sum()
}

fn overview(client: &Client) -> Value {
    client.get("/api/v1/overview").json()
}

#[test]
fn a_clean_stop_saves_all_of_them() {
    for place in [Place::file(), Place::postgres()] {
        let (afm, client) = serve(&place.uri());
        client.post_task(Body::task(1));
        client.post_task(Body::task(2));
        assert_eq!(client.poll(Body::poll(9).with("max_tasks", "1")), [id(1)]);
        client.post("/tasks/response", Body::result(1)).is_empty();
        afm.signal("TERM");
        assert_eq!(afm.wait_exit(PATIENCE).code(), Some(0));
        let (_afm, client) = serve(&place.uri());
        let overview = overview(&client);
        let figures = ["posted", "claimed", "completed"].map(|what| happened(&overview, what));
        assert_eq!(figures, [2, 1, 1], "{overview}");
        assert_eq!(overview["tasks"], json!({ "delayed": 0, "waiting": 1, "running": 0 }));
        let agent = client.get(&format!("/api/v1/agents/{}", id(9))).json();
        assert_eq!(agent["last_hour"], json!({ "completed": 1, "failed": 0, "error_share": 0.0 }));
    }
}

#[test]
fn after_a_crash_the_tasks_are_counted_anew() {
    for place in [Place::file(), Place::postgres()] {
        let (afm, client) = serve(&place.uri());
        // Whatever of this is saved.
        for n in 1..=20 {
            client.post_task(Body::task(n));
        }
        assert_eq!(client.poll(Body::poll(9).with("max_tasks", "3")).len(), 3);
        afm.kill9();
        let (_afm, client) = serve(&place.uri());
        let expected = json!({ "delayed": 0, "waiting": 17, "running": 3 });
        eventually("tasks are counted", || overview(&client)["tasks"] == expected);
        client.post_task(Body::task(21));
        let expected = json!({ "delayed": 0, "waiting": 18, "running": 3 });
        eventually("the next one is added", || overview(&client)["tasks"] == expected);
    }
}
