//! What the system grants.

use slamon_testbed::Process;

use super::program;
use crate::test_app::PATIENCE;

/// The limits that it says it has, started by a shell that sets its own first.
fn limits(ulimits: &str) -> String {
    let script = format!("{ulimits}; exec {} run 127.0.0.1 0", program().display());
    let process = Process::start("/bin/sh".as_ref(), &["-c", &script], &[]).expect("sh runs");
    let line = process.wait_for_line(|line| line.contains("open_files="), PATIENCE);
    process.wait_for_line(|line| line.contains("listening"), PATIENCE);
    line
}

#[test]
fn it_takes_as_many_files_as_it_may_have() {
    let line = limits("ulimit -Sn 100; ulimit -Hn 512");
    assert!(line.contains("open_files=512 connections=443"), "{line}");
    // Few are no reason not to start.
    let line = limits("ulimit -Sn 64; ulimit -Hn 64");
    assert!(line.contains("open_files=64 connections="), "{line}");
}
