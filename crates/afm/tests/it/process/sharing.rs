//! Tests two servers on one database.

use std::collections::HashSet;
use std::thread;

use super::serve;
use crate::test_app::{Body, Client, Place, id};

const TASKS: u64 = 200;

/// Polls until there are no more tasks, and completes what it gets.
fn work(client: &Client, agent: u64) -> Vec<String> {
    let mut mine = Vec::new();
    loop {
        let tasks = client.poll(Body::poll(agent).with("max_tasks", "3"));
        if tasks.is_empty() {
            return mine;
        }
        for task in &tasks {
            let result = Body::result(0).with("task_id", format!("\"{task}\""));
            client
                .post("/tasks/response", result.with("task_data", format!(r#"{{"agent":{agent}}}"#)))
                .is_empty();
        }
        mine.extend(tasks);
    }
}

fn each_task_is_handed_out_once(place: &Place) {
    let servers = [serve(&place.uri()), serve(&place.uri())];
    let clients = servers.each_ref().map(|(_, client)| client);
    for n in 0..TASKS {
        clients[(n % 2) as usize].post_task(Body::task(n));
    }
    let handed_out: Vec<String> = thread::scope(|scope| {
        let agents: Vec<_> = (0..4)
            .map(|agent| scope.spawn(move || work(clients[(agent % 2) as usize], 1000 + agent)))
            .collect();
        agents.into_iter().flat_map(|agent| agent.join().expect("it worked to the end")).collect()
    });
    assert_eq!(handed_out.len() as u64, TASKS);
    assert_eq!(handed_out.iter().cloned().collect::<HashSet<_>>(), (0..TASKS).map(id).collect());
    for client in clients {
        client.get("/status").is_json(r#"{"agents":4,"tasks_waiting":0}"#);
    }
    for n in 0..TASKS {
        let task = clients[((n + 1) % 2) as usize].get(&format!("/task/{}", id(n))).json();
        assert!(task["task_completed"].is_string(), "{task}");
    }
}

#[test]
fn in_a_file() {
    each_task_is_handed_out_once(&Place::file());
}

#[test]
fn in_postgres() {
    each_task_is_handed_out_once(&Place::postgres());
}
