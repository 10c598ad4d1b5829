//! Tests that what has been acknowledged survives the death of the program.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::serve;
use crate::test_app::{Body, Client, Place, eventually, id};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

fn acknowledged(client: &Client, path: &str, body: &Body) -> bool {
    client.try_send("POST", path, &JSON, body.to_string()).is_ok_and(|answer| answer.status == 200)
}

fn nothing_acknowledged_is_lost(place: &Place) {
    const WRITERS: u64 = 3;
    let (afm, client) = serve(&place.uri());
    // The three tasks are completed, claimed and waiting.
    for n in 1..=3 {
        client.post_task(Body::task(n).with("task_type", "\"before\""));
    }
    let capable = r#"{"before":{"version":1}}"#;
    let poll = Body::poll(9).with("agent_capabilities", capable);
    assert_eq!(client.poll(poll.clone().with("max_tasks", "2")), [id(1), id(2)]);
    client.post("/tasks/response", Body::result(1).with("task_data", r#"{"n":1.0}"#)).is_empty();

    let posted: [AtomicU64; WRITERS as usize] = Default::default();
    thread::scope(|scope| {
        for (writer, posted) in (1..).zip(&posted) {
            let client = &client;
            scope.spawn(move || {
                for n in 0.. {
                    if !acknowledged(client, "/task", &Body::task(writer * 1_000_000 + n)) {
                        break;
                    }
                    posted.store(n + 1, Ordering::SeqCst);
                }
            });
        }
        eventually("tasks are posted", || posted.iter().all(|n| n.load(Ordering::SeqCst) > 20));
        afm.kill9();
    });

    let (_afm, client) = serve(&place.uri());
    for (writer, posted) in (1..).zip(&posted) {
        for n in 0..posted.load(Ordering::SeqCst) {
            let task = client.get(&format!("/task/{}", id(writer * 1_000_000 + n)));
            assert_eq!(task.status, 200, "{task:?}");
        }
    }
    assert_eq!(client.get(&format!("/task/{}", id(1))).json()["task_result"].to_string(), r#"{"n":1.0}"#);
    assert_eq!(client.poll(poll), [id(3)]);
    client.post("/tasks/response", Body::result(2)).is_empty();
    client.post("/tasks/response", Body::result(1).with("task_data", r#"{"n":1.0}"#)).is_empty();
}

#[test]
fn in_a_file() {
    nothing_acknowledged_is_lost(&Place::file());
}

#[test]
fn in_postgres() {
    nothing_acknowledged_is_lost(&Place::postgres());
}
