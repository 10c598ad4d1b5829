//! Agents that poll and find nothing.

use std::time::Instant;

use anyhow::{Result, ensure};
use hyper::StatusCode;
use uuid::Uuid;

use crate::client::Client;
use crate::{Latencies, Options};

/// One agent that polls until `end`.
pub(crate) async fn worker(options: Options, end: Instant) -> Result<Latencies> {
    let mut client = Client::new(options.address, options.close);
    let body = request(Uuid::new_v4(), "nothing-of-this-type", 2);
    let mut latencies = Vec::new();
    while Instant::now() < end {
        let began = Instant::now();
        let (status, answer) = client.post("/tasks", body.clone()).await?;
        ensure!(status == StatusCode::OK, "poll: {status} {answer:?}");
        latencies.push(began.elapsed());
    }
    Ok(latencies)
}

/// The body of a poll, as the Python agent sends it.
pub(crate) fn request(agent_id: Uuid, task_type: &str, max_tasks: u32) -> String {
    serde_json::json!({
        "protocol": 1,
        "agent_id": agent_id,
        "agent_name": "Python Agent 1.0",
        "agent_time": "2026-11-22T19:23:01.000581+0200",
        "agent_capabilities": {task_type: {"version": 1}, "wait": {"version": 1}},
        "max_tasks": max_tasks,
    })
    .to_string()
}
