//! Whole lives of tasks in batches: many are posted in one request, claimed in one, reported in one and listed in one.
//! Each task must be handed out once, and come back completed.

use std::collections::HashSet;

use anyhow::{Result, ensure};
use clap::Args;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::client::{Client, Request};
use crate::drive::drive;
use crate::ids::Ids;
use crate::load::Load;
use crate::options::{Defaults, Shared};
use crate::report::Report;
use crate::stop::Stop;
use crate::tally::Tally;
use crate::tasks::{Polled, poll_body};
use crate::unit::{GaveUp, Took, Worker, ask};

/// `slamon-bench batches`.
#[derive(Debug, Clone, Args)]
pub struct Batches {
    #[command(flatten)]
    options: Shared,
    /// How many tasks a request brings
    #[arg(long, value_name = "TASKS", default_value_t = 100)]
    size: usize,
}

impl Load for Batches {
    fn shared(&self) -> &Shared {
        &self.options
    }

    async fn run(&self, stop: &Stop) -> Result<Report> {
        ensure!((1..=1_000).contains(&self.size), "--size: must be from 1 to 1,000");
        let plan = self.options.plan(Defaults::default())?;
        self.options.reach().await?;
        let run = Uuid::new_v4();
        let workers = (0..plan.connections).map(|place| {
            let task_type = format!("batch-{run}-{place}");
            Batch::new(&self.options, task_type, self.size)
        });
        let measured = drive("batches", &self.options, plan, workers.collect(), stop).await?;
        Ok(Report::new("batches", &self.options, plan.connections as u64, measured))
    }
}

/// Lives of tasks of one type, a batch after the other.
struct Batch {
    client: Client,
    shared: Shared,
    ids: Ids,
    task_type: String,
    size: usize,
    claim: Request,
}

impl Batch {
    fn new(shared: &Shared, task_type: String, size: usize) -> Self {
        let claim = poll_body(&Uuid::new_v4().to_string(), "Python Agent 1.0", &task_type, size);
        Self {
            client: shared.client(),
            shared: shared.clone(),
            ids: Ids::new(),
            claim: Request::post(shared.address, shared.close, "/tasks", &claim.to_string()),
            task_type,
            size,
        }
    }

    /// Sends a body, and gives the answer to each of the tasks in it.
    async fn send(&mut self, path: &str, body: &Value, step: usize, tally: &mut Tally) -> Result<(), GaveUp> {
        let request = Request::post(self.shared.address, self.shared.close, path, &body.to_string());
        let answer = ask(&mut self.client, &request, step, tally).await?;
        let answers: Answers = serde_json::from_slice(answer)
            .map_err(|_| GaveUp::Failed(format!("{path}: no list of answers")))?;
        match answers.results.iter().find(|answer| answer.status != 200) {
            None if answers.results.len() == self.size => Ok(()),
            None => Err(GaveUp::Failed(format!("{path}: {} answers", answers.results.len()))),
            Some(Answer { status: 503 }) => Err(GaveUp::Refused),
            Some(Answer { status }) => Err(GaveUp::Failed(format!("{path}: status {status} of a task"))),
        }
    }
}

/// The answers to the tasks of a request.
#[derive(Deserialize)]
struct Answers {
    results: Vec<Answer>,
}

#[derive(Deserialize)]
struct Answer {
    status: u16,
}

/// The tasks of a test.
#[derive(Deserialize)]
struct Listed<'a> {
    #[serde(borrow)]
    tasks: Vec<Task<'a>>,
}

#[derive(Deserialize)]
struct Task<'a> {
    task_id: Uuid,
    #[serde(borrow)]
    task_state: &'a RawValue,
}

impl Worker for Batch {
    const STEPS: &'static [&'static str] = &["post", "claim", "report", "list"];

    async fn unit(&mut self, _n: u64, tally: &mut Tally) -> Result<Took, GaveUp> {
        let test_id = self.ids.next();
        let posted: HashSet<Uuid> = (0..self.size).map(|_| self.ids.next()).collect();
        let task = |id: &Uuid| {
            json!({
                "task_id": id, "test_id": test_id, "task_type": self.task_type, "task_version": 1,
                "task_data": {"url": "http://127.0.0.1/", "id": id},
            })
        };
        let tasks: Vec<Value> = posted.iter().map(task).collect();
        self.send("/api/v1/tasks", &json!({ "tasks": tasks }), 0, tally).await?;
        let mut claimed = HashSet::new();
        let polled = Polled::parse(ask(&mut self.client, &self.claim, 1, tally).await?)?;
        for task in &polled.tasks {
            tally.checks.twice += u64::from(!claimed.insert(task.task_id));
        }
        tally.checks.lost += posted.difference(&claimed).count() as u64;
        let result =
            |id: &Uuid| json!({"protocol": 1, "task_id": id, "task_data": {"status": 200, "id": id}});
        let results: Vec<Value> = posted.iter().map(result).collect();
        self.send("/tasks/response", &json!({ "results": results }), 2, tally).await?;
        let path = format!("/api/v1/tasks?test_id={test_id}&limit=1000");
        let list = Request::get(self.shared.address, self.shared.close, &path);
        let listed: Listed<'_> = serde_json::from_slice(ask(&mut self.client, &list, 3, tally).await?)
            .map_err(|_| GaveUp::Failed("list: no list of tasks".to_owned()))?;
        let completed = listed.tasks.iter().filter(|task| task.task_state.get() == "\"completed\"");
        let completed: HashSet<Uuid> = completed.map(|task| task.task_id).collect();
        tally.checks.altered += posted.difference(&completed).count() as u64;
        Ok(Took::AllOfIt)
    }
}
