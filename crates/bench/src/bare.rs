//! The yardstick: what axum alone does with the same requests.
//!
//! Each route reads its body as JSON into a plain struct and answers with a constant of the shape and size of ours. There
//! is no middleware, no check, no state: what is slower than this is ours, what is not is axum, hyper and the machine.

use std::collections::HashMap;
use std::hint::black_box;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::TcpListener;
use uuid::Uuid;

/// Where to listen
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Where to listen; port 0 takes any that is free
    address: SocketAddr,
}

/// Serves until the process is killed.
///
/// # Errors
/// When the address is taken.
pub fn run(options: &Options) -> Result<()> {
    // As many threads as tokio would take on the machine this is compared on, and not more on a larger one.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let address = options.address;
        let listener =
            TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        eprintln!("listening addr={}", listener.local_addr()?);
        axum::serve(listener, router()).await.context("the server ended")
    })
}

/// The routes that a task's life takes.
pub fn router() -> Router {
    Router::new()
        .route("/tasks", post(poll))
        .route("/task", post(submit))
        .route("/tasks/response", post(report))
        .route("/task/{task_id}", get(read))
}

/// A poll of protocol 1.
#[derive(Debug, Deserialize)]
struct Poll {
    protocol: i64,
    agent_id: Uuid,
    agent_name: String,
    agent_time: String,
    agent_capabilities: HashMap<String, Capability>,
    max_tasks: u32,
}

#[derive(Debug, Deserialize)]
struct Capability {
    version: i64,
}

/// A task.
#[derive(Debug, Deserialize)]
struct Task {
    task_id: Uuid,
    test_id: Uuid,
    task_type: String,
    task_version: i64,
    task_data: Option<Box<RawValue>>,
}

/// A result.
#[derive(Debug, Deserialize)]
struct Report {
    protocol: i64,
    task_id: Uuid,
    task_data: Option<Box<RawValue>>,
    task_error: Option<String>,
}

/// What an idle poll is answered.
const NOTHING: &str = r#"{"tasks":[],"return_time":"2026-11-22T19:24:01.581577+00:00"}"#;

/// What is known of a finished task.
const TASK: &str = r#"{"task_id":"de305d54-75b4-431b-adb2-eb6b9e546013","test_id":"de305d54-75b4-431b-adb2-eb6b9e546014","task_type":"url_http_status","task_version":1,"task_data":{"url": "http://127.0.0.1/"},"task_completed":"2026-11-22 19:23:01.621614","task_result":{"status":200}}"#;

async fn poll(Json(poll): Json<Poll>) -> impl IntoResponse {
    let Poll { protocol, agent_id, agent_name, agent_time, agent_capabilities, max_tasks } = poll;
    let versions = agent_capabilities.values().map(|capability| capability.version).sum::<i64>();
    black_box((protocol, agent_id, agent_name, agent_time, versions, max_tasks));
    ([(CONTENT_TYPE, "application/json")], NOTHING)
}

async fn submit(Json(task): Json<Task>) {
    let Task { task_id, test_id, task_type, task_version, task_data } = task;
    black_box((task_id, test_id, task_type, task_version, task_data));
}

async fn report(Json(report): Json<Report>) {
    let Report { protocol, task_id, task_data, task_error } = report;
    black_box((protocol, task_id, task_data, task_error));
}

async fn read() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], TASK)
}
