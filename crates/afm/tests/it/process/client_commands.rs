//! Tests the commands that ask an AFM: the program itself, against one that runs.

mod changes;
mod connection;
mod files;
mod fleet;
mod generated;
mod hostile;
mod lists;
mod tasks;
mod top;

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

use serde_json::Value;
use slamon_testbed::AfmProcess;

use super::{Ended, program, serve};
use crate::test_app::{Client, PATIENCE};

/// An AFM that runs, and a client for what agents say.
struct Asked {
    afm: AfmProcess,
    client: Client,
}

impl Asked {
    fn new() -> Self {
        Self::on("sqlite://")
    }

    /// An AFM on this database.
    fn on(uri: &str) -> Self {
        let (afm, client) = serve(uri);
        Self { afm, client }
    }

    /// Runs a command to its end.
    #[track_caller]
    fn run(&self, args: &[&str]) -> Ended {
        self.run_with(args, "")
    }

    /// Runs a command to its end that reads this.
    #[track_caller]
    fn run_with(&self, args: &[&str], stdin: &str) -> Ended {
        run_at(&self.afm.url(), args, stdin)
    }

    /// Runs a command, which is done and says nothing beside its answer, and returns the answer.
    #[track_caller]
    fn done(&self, args: &[&str]) -> String {
        let ended = self.run(args);
        assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""), "{args:?}: {ended:?}");
        ended.stdout
    }

    /// Runs a command with `--json` and returns its documents.
    #[track_caller]
    fn json(&self, args: &[&str]) -> Vec<Value> {
        documents(&self.run(&[args, &["--json"]].concat()))
    }
}

/// Runs a command that asks the AFM at `url`.
#[track_caller]
fn run_at(url: &str, args: &[&str], stdin: &str) -> Ended {
    let mut child = Command::new(program())
        .args(args)
        .env_clear()
        .env("SLAMON_AFM_URL", url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let pid = child.id().to_string();
    let mut input = child.stdin.take().expect("a pipe");
    let stdin = stdin.to_owned();
    // Beside reading, since both pipes may be full; a command that reads nothing has closed this one.
    thread::spawn(move || input.write_all(stdin.as_bytes()));
    let (send, ended) = mpsc::channel();
    thread::spawn(move || send.send(child.wait_with_output()));
    let Ok(output) = ended.recv_timeout(PATIENCE) else {
        let _ = Command::new("kill").args(["-9", &pid]).status();
        panic!("{args:?} does not end");
    };
    let output = output.expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("it prints UTF-8");
    Ended { status: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// What was printed: a JSON document a line.
#[track_caller]
fn documents(ended: &Ended) -> Vec<Value> {
    let read = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    ended.stdout.lines().map(read).collect()
}
