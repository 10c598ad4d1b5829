//! An hour in the life of a fleet, for pages that have something to show.

use std::time::Duration;

use crate::test_app::{Body, TestApp, id};

/// The tasks of this test are in every state.
pub(super) const TEST: u64 = 77;

/// An AFM on which an hour has passed.
pub(super) struct Scene {
    pub(super) app: TestApp,
    next: u64,
}

const HTTP: &str = "\"url_http_status\"";
const LOGIN: &str = "\"time_login\"";
const DNS: &str = "\"dns_lookup\"";

impl Scene {
    pub(super) fn start() -> Self {
        let mut scene = Self { app: TestApp::start(), next: 1_000 };
        scene.app.count_tasks();
        let paused = Self::poll(12, "Turku 4", 0);
        scene.app.poll(paused);
        scene.app.post(&format!("/api/v1/agents/{}/pause", id(12)), "{}").json();
        for minute in 0..58_u64 {
            scene.minute(minute);
        }
        scene.app.poll(Self::poll(12, "Turku 4", 0));
        scene.last_test();
        scene
    }

    fn poll(agent: u64, name: &str, max_tasks: u64) -> Body {
        let region = [18, 6, 8, 2][(agent as usize - 9) % 4];
        Body::poll(agent)
            .with("agent_name", format!("\"{name}\""))
            .with("agent_location", format!(r#"{{"country":"FI","region":"{region:02}"}}"#))
            .with("agent_capabilities", format!(r#"{{{HTTP}:{{"version":2}},{LOGIN}:{{"version":1}}}}"#))
            .with("max_tasks", max_tasks.to_string())
    }

    fn post(&mut self, task_type: &str, version: u32, test: u64) -> Body {
        self.next += 1;
        Body::task(self.next)
            .with("test_id", format!("\"{}\"", id(test)))
            .with("task_type", task_type)
            .with("task_version", version.to_string())
            .with("task_data", r#"{"url": "https://www.example.org/", "timeout": 10}"#)
    }

    /// What comes in goes out within the minute, but for some.
    fn minute(&mut self, minute: u64) {
        let wave = [3, 5, 8, 12, 9, 6, 4, 7][(minute % 8) as usize] + minute / 12;
        for n in 0..wave {
            let (task_type, version) = if n % 3 == 0 { (LOGIN, 1) } else { (HTTP, 2) };
            let task = self.post(task_type, version, minute);
            self.app.post_task(task);
        }
        self.app.clock.advance(Duration::from_millis(900 + 140 * (minute % 7)));
        let [one, other] = [(9, "Helsinki 3"), (10, "Tampere 1")].map(|(agent, name)| {
            self.app.poll(Self::poll(agent, name, wave.saturating_sub(minute % 3) / 2 + 1))
        });
        for (n, task) in one.iter().chain(&other).enumerate() {
            self.app.clock.advance(Duration::from_millis(420 + 35 * (n as u64 % 9)));
            let of_task = Body::result(1).with("task_id", format!("\"{task}\""));
            let result = if (minute + n as u64).is_multiple_of(29) {
                of_task
                    .without("task_data")
                    .with("task_error", format!("\"connection timed out after {n} s\""))
            } else {
                of_task.with("task_data", r#"{"status": 200, "seconds": 0.412}"#)
            };
            self.app.post("/tasks/response", result).is_empty();
        }
        self.app.clock.advance(Duration::from_secs(55));
    }

    /// A test with tasks in every state.
    fn last_test(&mut self) {
        let tasks: Vec<Body> = [(HTTP, 2), (HTTP, 2), (LOGIN, 1), (HTTP, 2), (LOGIN, 1), (DNS, 4), (DNS, 4)]
            .into_iter()
            .map(|(task_type, version)| self.post(task_type, version, TEST).with("task_priority", "50"))
            .collect();
        let [first, rest @ ..] = tasks.as_slice() else { return };
        self.app.post_task(first);
        let silent = self.app.poll(Self::poll(11, "Oulu 2", 1));
        assert_eq!(silent.len(), 1);
        self.app.clock.advance(Duration::from_secs(2));
        for task in rest {
            self.app.post_task(task);
            self.app.clock.advance(Duration::from_millis(1_300));
        }
        let taken = self.app.poll(Self::poll(9, "Helsinki 3", 4));
        for (n, task) in taken.iter().take(3).enumerate() {
            self.app.clock.advance(Duration::from_millis(2_400));
            let of_task = Body::result(1).with("task_id", format!("\"{task}\""));
            let result = match n {
                1 => of_task.without("task_data").with("task_error", r#""expected status 200, got 503""#),
                _ => of_task.with("task_data", r#"{"status": 200, "seconds": 0.412, "redirects": []}"#),
            };
            self.app.post("/tasks/response", result).is_empty();
        }
        self.app.clock.advance(Duration::from_secs(5));
    }

    /// The id of the newest task of the last test that has failed.
    pub(super) fn failed_task(&self) -> String {
        id(self.next - 4)
    }
}
