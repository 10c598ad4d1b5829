//! Whole lives of tasks, one after the other on each connection: post, claim, report, read.
//!
//! Each worker has a task type of its own, so that it gets its own task back and can say whether it came
//! back as it was posted.

use std::time::Instant;

use anyhow::{Result, ensure};
use hyper::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::client::Client;
use crate::{Latencies, Options, poll};

/// One client and its agent, until `end`.
pub(crate) async fn worker(options: Options, end: Instant) -> Result<Latencies> {
    let mut client = Client::new(options.address, options.close);
    let agent_id = Uuid::new_v4();
    let task_type = format!("life-{agent_id}");
    let claim = poll::request(agent_id, &task_type, 2);
    let mut latencies = Vec::new();
    while Instant::now() < end {
        let began = Instant::now();
        live(&mut client, &task_type, &claim).await?;
        latencies.push(began.elapsed());
    }
    Ok(latencies)
}

async fn live(client: &mut Client, task_type: &str, claim: &str) -> Result<()> {
    let task_id = Uuid::new_v4();
    let data = json!({"url": "http://127.0.0.1/", "id": task_id});
    let result = json!({"status": 200});
    let task = json!({
        "task_id": task_id, "test_id": Uuid::new_v4(),
        "task_type": task_type, "task_version": 1, "task_data": data,
    });
    let (status, answer) = client.post("/task", task.to_string()).await?;
    ensure!(status == StatusCode::OK, "post: {status} {answer:?}");

    let (status, answer) = client.post("/tasks", claim.to_owned()).await?;
    ensure!(status == StatusCode::OK, "claim: {status} {answer:?}");
    let answer: Value = serde_json::from_slice(&answer)?;
    let tasks = answer["tasks"].as_array().map_or(&[][..], Vec::as_slice);
    ensure!(
        tasks.len() == 1 && tasks[0]["task_id"] == json!(task_id) && tasks[0]["task_data"] == data,
        "claim: posted {task_id}, was handed {tasks:?}"
    );

    let report = json!({"protocol": 1, "task_id": task_id, "task_data": result});
    let (status, answer) = client.post("/tasks/response", report.to_string()).await?;
    ensure!(status == StatusCode::OK, "report: {status} {answer:?}");

    let (status, answer) = client.get(&format!("/task/{task_id}")).await?;
    ensure!(status == StatusCode::OK, "read: {status} {answer:?}");
    let answer: Value = serde_json::from_slice(&answer)?;
    ensure!(answer["task_result"] == result, "read: {answer}");
    Ok(())
}
