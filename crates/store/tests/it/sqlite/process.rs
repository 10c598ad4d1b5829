//! This test program, started again as another process.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

/// Tells a test that it is the other process, and where the database is.
const DATABASE: &str = "STORE_TEST_DATABASE";

/// What starts a line of [`say`]; all others are the test harness's.
const MARK: &str = "says: ";

/// The database, in the other process.
pub(super) fn database() -> Option<String> {
    std::env::var(DATABASE).ok()
}

/// Tells the process that started this one.
pub(super) fn say(what: &str) {
    // Not println, which the test harness would keep. The mark starts a line, whatever the harness wrote
    // before.
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n{MARK}{what}\n").as_bytes()).and_then(|()| out.flush()).unwrap();
}

/// The other process; killed when dropped.
pub(super) struct OtherProcess {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl OtherProcess {
    /// Runs `test` of this program with `database`; `wrapper` is a shell script that ends in `exec "$@"`.
    pub(super) fn start(wrapper: &str, test: &str, database: &str) -> Self {
        let mut child = Command::new("sh")
            .args(["-c", wrapper, "sh"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(DATABASE, database)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// What it says next; `None` when it has ended. A line that a kill cut short is nothing said.
    pub(super) fn hear(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            self.lines.read_line(&mut line).unwrap();
            if !line.ends_with('\n') {
                return None;
            }
            if let Some(said) = line.trim_end().strip_prefix(MARK) {
                return Some(said.to_owned());
            }
        }
    }

    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end, which must be a good one.
    #[track_caller]
    pub(super) fn finish(mut self) {
        while self.hear().is_some() {}
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for OtherProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
