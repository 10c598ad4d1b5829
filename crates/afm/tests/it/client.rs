//! A client of any AFM, ours or the original, with the requests of a process engine and an agent.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::test_app::PATIENCE;

/// A client of the AFM at a URL.
pub(crate) struct AfmClient {
    url: String,
    http: ureq::Agent,
}

impl AfmClient {
    pub(crate) fn of(url: &str) -> Self {
        let http = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // A connection that is kept would end with its server.
            .max_idle_connections(0)
            .timeout_global(Some(PATIENCE))
            .build();
        Self { url: url.to_owned(), http: http.into() }
    }

    /// Returns the JSON at a path.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Value {
        let mut answer = self.http.get(format!("{}{path}", self.url)).call().expect("an answer");
        assert_eq!(answer.status(), 200, "GET {path}");
        answer.body_mut().read_json().expect("JSON")
    }

    /// Posts a body and returns the status.
    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &Value) -> u16 {
        self.http.post(format!("{}{path}", self.url)).send_json(body).expect("an answer").status().as_u16()
    }

    #[track_caller]
    pub(crate) fn task(&self, id: &str) -> Value {
        self.get(&format!("/task/{id}"))
    }

    #[track_caller]
    pub(crate) fn post_task(&self, id: &str, task_type: &str, data: &Value) {
        let task = json!({"task_id": id, "test_id": id, "task_type": task_type, "task_version": 1, "task_data": data});
        assert_eq!(self.post("/task", &task), 200, "{task}");
    }

    /// Reads a task until it is finished.
    #[track_caller]
    pub(crate) fn finished(&self, id: &str) -> Value {
        let is_finished = |task: &Value| task.get("task_completed").or(task.get("task_failed")).is_some();
        self.ask_until(&format!("/task/{id}"), is_finished)
    }

    /// Waits until no task is waiting any more. Only for our AFM: the original always says so.
    #[track_caller]
    pub(crate) fn until_all_are_claimed(&self) {
        self.ask_until("/status", |status| status["tasks_waiting"] == 0);
    }

    #[track_caller]
    fn ask_until(&self, path: &str, done: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.get(path);
            if done(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "still {answer}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Polls as an agent that can do `task_type` in version 1, and returns its tasks.
    #[track_caller]
    pub(crate) fn poll(&self, agent: &str, task_type: &str, max_tasks: u32) -> Vec<Value> {
        let poll = json!({
            "protocol": 1,
            "agent_id": agent,
            "agent_name": "Agent 007",
            "agent_time": "2012-04-23T18:25:43.511Z",
            "agent_capabilities": {task_type: {"version": 1}},
            "max_tasks": max_tasks,
        });
        let mut answer = self.http.post(format!("{}/tasks", self.url)).send_json(&poll).expect("an answer");
        assert_eq!(answer.status(), 200, "{poll}");
        let answer: Value = answer.body_mut().read_json().expect("JSON");
        answer["tasks"].as_array().expect("a list").clone()
    }

    #[track_caller]
    pub(crate) fn complete(&self, id: &str, data: &Value) {
        let result = json!({"protocol": 1, "task_id": id, "task_data": data});
        assert_eq!(self.post("/tasks/response", &result), 200, "{result}");
    }

    #[track_caller]
    pub(crate) fn fail(&self, id: &str, error: &str) {
        let result = json!({"protocol": 1, "task_id": id, "task_error": error});
        assert_eq!(self.post("/tasks/response", &result), 200, "{result}");
    }
}
