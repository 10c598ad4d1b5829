//! Tests the program itself: its command line, its log, its end, and a database that comes and goes.

mod behind_nginx;
mod certificates;
mod client_commands;
mod clock;
mod command_line;
mod configuration;
mod cursors;
mod demo;
mod disk_full;
mod file_locked;
mod killed;
mod limits;
mod listening;
mod log;
mod log_stalled;
mod metrics;
mod notify;
mod pooler;
mod postgres_away;
mod postgres_limits;
mod postgres_unfit;
mod postgres_versions;
mod psql_session;
mod queue_full;
mod rows_locked;
mod sharing;
mod signals;
mod size_limit;
mod statistics;
mod statsd;
mod tables;
mod tokens;
mod traces;
mod turned_away;
mod tutorials;
mod two_afms;
mod unwritable_file;
mod watching_over;

use std::path::{Path, PathBuf};
use std::process::Command;

use slamon_testbed::AfmProcess;

use crate::test_app::Client;

pub(crate) fn program() -> &'static Path {
    env!("CARGO_BIN_EXE_slamon-afm").as_ref()
}

/// Starts a server on this database, and returns it with a client.
#[track_caller]
pub(crate) fn serve(uri: &str) -> (AfmProcess, Client) {
    serve_with(uri, &[], "")
}

/// Like [`serve`], with environment variables and lines of a configuration file.
#[track_caller]
pub(crate) fn serve_with(uri: &str, env: &[(&str, &str)], config: &str) -> (AfmProcess, Client) {
    let afm = AfmProcess::start(program(), &["--database-uri", uri], env, Some(config));
    let client = Client::new(afm.address());
    (afm, client)
}

/// How a program has ended that ends by itself.
#[derive(Debug)]
struct Ended {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs the program to its end, in `folder`, with nothing else in its environment.
#[track_caller]
fn run(folder: &Path, args: &[&str], env: &[(&str, &str)]) -> Ended {
    let output = Command::new(program())
        .args(args)
        .current_dir(folder)
        .env_clear()
        .envs(env.iter().copied())
        .output()
        .expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("it prints UTF-8");
    Ended { status: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn folder() -> tempfile::TempDir {
    tempfile::TempDir::new().expect("a temporary folder")
}

/// Returns the URI of an SQLite file.
fn file_uri(file: &Path) -> String {
    format!("sqlite:///{}", file.display())
}

/// Writes a file and returns its path.
#[track_caller]
fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("the file can be written");
    path
}
