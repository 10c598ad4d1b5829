//! What stands between agents and an AFM, and what an agent has to show there.

mod files;
mod gate;
mod kept;
mod passwords;
mod proxy;
mod tls;

use slamon_testbed::{AfmProcess, Process, built};
use tempfile::TempDir;

use crate::fleet::{PATIENCE, post, wait, wait_for};

/// An AFM in memory, and a folder for what its agents need.
struct Behind {
    afm: AfmProcess,
    folder: TempDir,
}

impl Behind {
    fn start() -> Self {
        let afm = AfmProcess::start(&built("slamon-afm"), &[], &[], None);
        Self { afm, folder: TempDir::new().expect("a temporary folder") }
    }

    /// Writes a file that an agent is told of, and says where it is.
    fn file(&self, name: &str, content: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).expect("the file is written");
        path.to_string_lossy().into_owned()
    }

    /// Starts an agent that logs all it can, and waits until it has begun.
    fn agent(&self, url: &str, args: &[&str], env: &[(&str, &str)]) -> Process {
        let state = self.folder.path().join("state").to_string_lossy().into_owned();
        let given = ["--url", url, "--state-folder", &state, "--name", "first", "-w", "1", "-v", "-v"];
        let args: Vec<&str> = given.iter().chain(args).copied().collect();
        let agent = Process::start(env!("CARGO_BIN_EXE_slamon-agent").as_ref(), &args, env).expect("sh runs");
        agent.wait_for_line(|line| line.contains("the agent has begun"), PATIENCE);
        agent
    }

    /// Posts a task straight to the AFM, and waits until an agent has executed it at the first attempt.
    fn executes_a_task(&self) {
        let task = wait_for(&self.afm.url(), post(&self.afm.url(), &wait(0.5)));
        assert_eq!((&task["task_state"], &task["task_attempt"]), (&"completed".into(), &1.into()), "{task}");
    }
}

/// Waits for a line that says why there are no tasks, which has one of these words in it.
fn wait_for_problem(agent: &Process, words: &[&str]) -> String {
    let is = |line: &str| {
        let line = line.to_lowercase();
        line.contains("could not poll for tasks")
            && words.iter().any(|word| line.contains(&word.to_lowercase()))
    };
    agent.wait_for_line(is, PATIENCE)
}

/// Whatever an agent has logged, none of these may be in it.
fn tells_none_of(agent: &Process, secrets: &[&str]) {
    for line in agent.log_lines() {
        assert!(!secrets.iter().any(|secret| line.contains(secret)), "{line}");
    }
}
