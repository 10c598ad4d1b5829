//! Tests logs that nobody reads, and logs that cannot be written.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use slamon_testbed::Process;

use super::{folder, program};
use crate::test_app::{Body, Client, PATIENCE, eventually, id};

/// Long before a supervisor would kill it, and far longer than it needs.
const PROMPTLY: Duration = Duration::from_secs(20);

/// A named pipe that is full.
struct FullPipe {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl FullPipe {
    #[track_caller]
    fn new() -> Self {
        let folder = folder();
        let path = folder.path().join("pipe");
        let made = Command::new("mkfifo").arg(&path).status().expect("mkfifo runs");
        assert!(made.success());
        Self { path, _folder: folder }
    }

    /// Fills it; it stays so as long as the value lives.
    #[track_caller]
    fn fill(&self) -> File {
        // As O_NONBLOCK stands for on Linux.
        let end = OpenOptions::new().read(true).write(true).custom_flags(0o4000).open(&self.path);
        let mut end = end.expect("it is there");
        for size in [4_096, 1] {
            loop {
                match end.write(&vec![b'\n'; size]) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        end
    }

    /// Reads it from now on.
    fn read(&self) -> Receiver<String> {
        let pipe = File::open(&self.path).expect("it is there");
        let (sender, lines) = channel();
        thread::spawn(move || {
            // Until the other end is closed.
            for line in BufReader::new(pipe).lines() {
                if line.is_err() || sender.send(line.unwrap_or_default()).is_err() {
                    return;
                }
            }
        });
        lines
    }
}

/// The program with its standard error in a file of this name.
#[track_caller]
fn start(stderr: &Path, env: &[(&str, &str)]) -> (Process, Client) {
    const SCRIPT: &str = "exec 2>\"$1\" && shift && exec \"$@\"";
    let port = slamon_testbed::free_port();
    let (stderr, program) = (stderr.display().to_string(), program().display().to_string());
    let args = ["-c", SCRIPT, "sh", &stderr, &program, "run", "127.0.0.1", &port.to_string()];
    let process = Process::start(Path::new("sh"), &args, env).expect("sh runs");
    let client = Client::new(([127, 0, 0, 1], port).into());
    eventually("it is ready", || client.listens() && client.get("/readyz").status == 200);
    (process, client)
}

/// Sends the usual requests of a day.
#[track_caller]
fn use_it(client: &Client, n: u64) {
    client.post_task(Body::task(n));
    assert_eq!(client.poll(Body::poll(9)), [id(n)]);
    client.post("/task", "{}").problem(400);
    client.post("/tasks/response", Body::result(n)).is_empty();
    assert_eq!(client.get("/healthz").status, 200);
}

#[track_caller]
fn ends(process: &Process) {
    process.signal("TERM");
    assert_eq!(process.wait_exit(PROMPTLY).code(), Some(0));
}

#[test]
fn standard_error_that_nobody_reads_stalls_nothing() {
    for (format, level) in [("text", "INFO"), ("json", "DEBUG"), ("text", "ERROR"), ("json", "INFO")] {
        let pipe = FullPipe::new();
        let end = pipe.fill();
        let (process, client) = start(&pipe.path, &[("LOG_FORMAT", format), ("LOG_LEVEL", level)]);
        use_it(&client, 1);
        ends(&process);
        drop(end);
    }
}

#[test]
fn a_log_file_that_takes_nothing_stalls_nothing() {
    for (format, level) in [("json", "INFO"), ("text", "DEBUG")] {
        let pipe = FullPipe::new();
        let end = pipe.fill();
        let path = pipe.path.display().to_string();
        // Neither does the line that says where the log is.
        let env = [("LOG_FILE", path.as_str()), ("LOG_FORMAT", format), ("LOG_LEVEL", level)];
        let (process, client) = start(&pipe.path, &env);
        use_it(&client, 1);
        process.signal("HUP");
        use_it(&client, 2);
        ends(&process);
        drop(end);
    }
}

#[test]
fn a_named_pipe_without_a_reader_is_not_waited_for() {
    let pipe = FullPipe::new();
    let path = pipe.path.display().to_string();
    let (process, client) = start(Path::new("/dev/null"), &[("LOG_FILE", &path)]);
    use_it(&client, 1);
    let lines = pipe.read();
    process.signal("HUP");
    let mut lines = std::iter::from_fn(|| lines.recv_timeout(PATIENCE).ok());
    assert!(lines.any(|line| line.contains("opened again")));
    ends(&process);
    assert!(lines.any(|line| line.ends_with("stopped")), "the last line is there");
}

#[test]
fn lines_that_were_dropped_are_counted_once_somebody_reads() {
    let pipe = FullPipe::new();
    let _end = pipe.fill();
    let env = [("LOG_LEVEL", "DEBUG"), ("SQLALCHEMY_ECHO", "True")];
    let (process, client) = start(&pipe.path, &env);
    // Some ten lines for each task; there is room for 20,000.
    thread::scope(|scope| {
        for thread in 0..4 {
            let client = &client;
            scope.spawn(move || {
                for n in 0..1_000 {
                    let n = 10_000 * thread + n;
                    client.post_task(Body::task(n));
                    client.get(&format!("/task/{}", id(n))).json();
                }
            });
        }
    });
    let lines = pipe.read();
    let deadline = Instant::now() + PATIENCE;
    let mut lines = std::iter::from_fn(|| {
        assert!(Instant::now() < deadline, "the awaited line did not come");
        lines.recv_timeout(PATIENCE).ok()
    });
    let lost = lines.find(|line| line.contains("log lines were lost")).expect("the loss is logged");
    assert!(lost.contains("ERROR"), "{lost}");
    let (_, count) = lost.split_once("lines=").expect("with how many");
    assert!(count.parse::<u64>().is_ok_and(|count| count > 0), "{lost}");
    // What is logged from now on is there.
    client.post_task(Body::task(9_999));
    assert!(lines.any(|line| line.contains("answered") && line.contains(&id(9_999))));
    ends(&process);
    assert!(lines.any(|line| line.ends_with("stopped")), "the last line is there");
}

#[test]
fn lines_that_a_full_disk_did_not_take_are_counted_once_it_does() {
    let folder = folder();
    let (file, new) = (folder.path().join("afm.log"), folder.path().join("new.log"));
    symlink("/dev/full", &file).expect("a link");
    let (process, client) = start(Path::new("/dev/null"), &[("LOG_FILE", &file.display().to_string())]);
    use_it(&client, 1);
    symlink(&new, folder.path().join("link")).expect("a link");
    fs::rename(folder.path().join("link"), &file).expect("it takes the other's place");
    process.signal("HUP");
    let text = || fs::read_to_string(&new).unwrap_or_default();
    eventually("the loss is logged", || text().contains("log lines were lost"));
    ends(&process);
    assert!(text().trim_end().ends_with("stopped"), "{}", text());
}
