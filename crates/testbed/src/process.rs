//! A child process, what it prints, and its end.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

const GUARD: &str = include_str!("process/guard.sh");

/// What a child keeps of our environment. Every setting of the AFM can also come from the environment, so a developer's own
/// must not reach it.
const KEPT: [&str; 6] = ["HOME", "LD_LIBRARY_PATH", "LLVM_PROFILE_FILE", "PATH", "RUST_BACKTRACE", "TMPDIR"];

/// A child in a process group of its own. The whole group is killed when this is dropped, and when our process ends in any
/// other way, `SIGKILL` included.
#[derive(Debug)]
pub struct Process {
    name: String,
    pid: u32,
    seen: Arc<Seen>,
    /// The guard's stdin: open as long as the group may live.
    lifeline: Option<ChildStdin>,
}

/// What the threads that watch a child have seen of it.
#[derive(Debug, Default)]
struct Seen {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<String>,
    /// Nobody can write another line.
    closed: bool,
    exit: Option<ExitStatus>,
}

impl Process {
    /// Starts `program`. Its stdin is empty, its stdout and stderr are kept line by line; of our environment it sees only
    /// what any program needs, and `env`.
    ///
    /// # Errors
    ///
    /// When no process can be started. A program that does not exist shows as exit status 127.
    pub fn start<A: AsRef<OsStr>>(program: &Path, args: &[A], env: &[(&str, &str)]) -> Result<Self> {
        let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
        let mut child = Command::new("sh")
            .args(["-c", GUARD, "guard"])
            .arg(program)
            .args(args)
            .env_clear()
            .envs(KEPT.iter().filter_map(|key| Some((key, std::env::var_os(key)?))))
            .env("NO_COLOR", "1")
            .envs(env.iter().copied())
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let pid = child.id();
        let lifeline = child.stdin.take();
        let stderr = child.stderr.take().context("the child has no stderr")?;
        let seen = Arc::new(Seen::default());
        let (reader, reaper) = (Arc::clone(&seen), Arc::clone(&seen));
        thread::spawn(move || reader.read(stderr));
        thread::spawn(move || {
            if let Ok(status) = child.wait() {
                reaper.change(|state| state.exit = Some(status));
            }
        });
        Ok(Self { name, pid, seen, lifeline })
    }

    /// The process id of the program itself.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether the program has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.seen.lock().exit.is_some()
    }

    /// Everything it has printed so far.
    #[must_use]
    pub fn log_lines(&self) -> Vec<String> {
        self.seen.lock().lines.clone()
    }

    /// The first line, printed already or still to come, of which `find` makes something.
    ///
    /// # Errors
    ///
    /// After `timeout`, or when it ended without such a line; the error holds all it printed.
    pub fn find_line<T>(&self, timeout: Duration, mut find: impl FnMut(&str) -> Option<T>) -> Result<T> {
        let mut looked_at = 0;
        let mut found = None;
        let state = self.seen.wait(timeout, |state| {
            found = state.lines[looked_at..].iter().find_map(|line| find(line));
            looked_at = state.lines.len();
            found.is_some() || state.closed
        });
        found.map_or_else(
            || {
                let why = if state.closed { "ended" } else { "is still running" };
                bail!("the awaited line did not come: {}", self.describe(why, &state))
            },
            Ok,
        )
    }

    /// The first line, printed already or still to come, that `wanted` accepts.
    ///
    /// # Panics
    ///
    /// After `timeout`, or when it ended without such a line; with all it printed.
    #[track_caller]
    pub fn wait_for_line(&self, wanted: impl Fn(&str) -> bool, timeout: Duration) -> String {
        match self.find_line(timeout, |line| wanted(line).then(|| line.to_owned())) {
            Ok(line) => line,
            Err(error) => panic!("{error:#}"),
        }
    }

    /// Sends the program a signal, named without `SIG`: `TERM`, `INT`, `STOP`. Nothing happens when it has ended.
    ///
    /// # Panics
    ///
    /// When there is no such signal.
    #[track_caller]
    pub fn signal(&self, signal: &str) {
        if self.seen.lock().exit.is_some() {
            return;
        }
        // Reaped just now, the number is still ours: the guard's process group holds it.
        let output = Command::new("sh")
            .args(["-c", "kill -s \"$1\" \"$2\"", "kill", signal, &self.pid.to_string()])
            .output()
            .expect("sh runs");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() || complaint.contains("No such process"),
            "cannot send {signal} to {}: {complaint}",
            self.name
        );
    }

    /// Kills the program as a power failure would, and waits until it is gone.
    #[track_caller]
    pub fn kill9(&self) -> ExitStatus {
        self.signal("KILL");
        self.wait_exit(Duration::from_secs(30))
    }

    /// Waits for the program to end by itself and for the last line it printed.
    ///
    /// # Panics
    ///
    /// When it still runs after `timeout`; with all it printed.
    #[track_caller]
    pub fn wait_exit(&self, timeout: Duration) -> ExitStatus {
        let state = self.seen.wait(timeout, |state| state.exit.is_some() && state.closed);
        match state.exit {
            Some(status) => status,
            None => panic!("no exit within {timeout:?}: {}", self.describe("is still running", &state)),
        }
    }

    fn describe(&self, what: &str, state: &State) -> String {
        let exit = state.exit.map(|status| format!(" ({status})")).unwrap_or_default();
        format!("{} {what}{exit}. It printed:\n{}", self.name, state.lines.join("\n"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        // The next test may want the ports and files that it, or a child of it, still holds.
        drop(self.seen.wait(Duration::from_secs(10), |state| state.exit.is_some() && state.closed));
    }
}

impl Seen {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// Waits until `done` or for `timeout`, whichever comes first.
    fn wait(&self, timeout: Duration, mut done: impl FnMut(&State) -> bool) -> MutexGuard<'_, State> {
        let deadline = Instant::now() + timeout;
        let mut state = self.lock();
        while !done(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state
    }

    fn read(&self, output: impl Read) {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while matches!(output.read_until(b'\n', &mut line), Ok(length) if length > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            self.change(|state| state.lines.push(text));
            line.clear();
        }
        self.change(|state| state.closed = true);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn sh(script: &str) -> Process {
        Process::start("/bin/sh".as_ref(), &["-c", script], &[("COLOUR", "green")]).unwrap()
    }

    #[test]
    fn keeps_what_is_printed_and_how_it_ended() {
        let process = sh("echo out; echo $COLOUR >&2; exit 3");
        assert_eq!(process.wait_exit(PATIENCE).code(), Some(3));
        assert_eq!(process.log_lines(), ["out", "green"]);
    }

    #[test]
    fn our_environment_does_not_reach_it() {
        let process = sh("env");
        process.wait_exit(PATIENCE);
        let ours = |line: &String| line.starts_with("CARGO");
        assert!(std::env::vars().any(|(key, _)| key.starts_with("CARGO")));
        assert!(!process.log_lines().iter().any(ours), "{:?}", process.log_lines());
    }

    #[test]
    fn signals_reach_the_program() {
        let process = sh("trap 'echo told; exit 0' TERM; echo ready; while :; do sleep 0.01; done");
        process.wait_for_line(|line| line == "ready", PATIENCE);
        process.signal("TERM");
        process.wait_for_line(|line| line == "told", PATIENCE);
        assert!(process.wait_exit(PATIENCE).success());
        process.signal("TERM");
    }

    #[test]
    fn kill9_kills() {
        let process = sh("exec sleep 600");
        assert_eq!(process.kill9().signal(), Some(9));
    }

    #[test]
    #[should_panic(expected = "last words")]
    fn a_line_that_cannot_come_any_more_is_not_waited_for() {
        sh("echo last words").wait_for_line(|line| line == "never", Duration::from_secs(3600));
    }

    #[test]
    fn a_missing_program_is_exit_127() {
        let process = Process::start::<&str>("/no/such/program".as_ref(), &[], &[]).unwrap();
        assert_eq!(process.wait_exit(PATIENCE).code(), Some(127));
    }

    #[test]
    fn dropping_ends_the_children_of_the_child_too() {
        let process = sh("sleep 600 & sleep 600");
        let seen = Arc::clone(&process.seen);
        drop(process);
        // Both of them hold the pipe we read.
        assert!(seen.wait(PATIENCE, |state| state.closed).closed);
    }
}
