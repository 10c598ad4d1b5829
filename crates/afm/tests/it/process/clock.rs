//! Tests what happens when somebody sets the machine's clock while the program runs.

use std::fs;
use std::path::PathBuf;

use slamon_testbed::AfmProcess;

use super::{file_uri, folder, serve, serve_with};
use crate::test_app::{Body, Client, PATIENCE, Place, eventually, id};

/// The machine's clock, as the program sees it.
struct MachineClock {
    library: String,
    /// The file that says how far it is ahead.
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl MachineClock {
    #[track_caller]
    fn new() -> Self {
        let library = fs::read_dir("/usr/lib")
            .expect("there are libraries")
            .filter_map(|entry| Some(entry.ok()?.path().join("faketime/libfaketimeMT.so.1")))
            .find(|path| path.exists())
            .expect("libfaketime is installed; scripts/setup-tests does");
        let folder = folder();
        let file = folder.path().join("ahead");
        let clock = Self { library: library.display().to_string(), file, _folder: folder };
        clock.set("+0");
        clock
    }

    #[track_caller]
    fn set(&self, ahead: &str) {
        let new = self.file.with_extension("new");
        fs::write(&new, ahead).expect("the file can be written");
        // At once: the program reads it all the time.
        fs::rename(&new, &self.file).expect("it takes the other's place");
    }

    /// Starts a server whose machine has this clock. Time passes for it as for everybody.
    #[track_caller]
    fn serve(&self, uri: &str) -> (AfmProcess, Client) {
        let file = self.file.display().to_string();
        let env = [
            ("LD_PRELOAD", self.library.as_str()),
            ("FAKETIME_TIMESTAMP_FILE", &file),
            ("FAKETIME_NO_CACHE", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        serve_with(uri, &env, "")
    }
}

/// Posts a task that expires soon, and waits until it has: what was due by then has been swept.
#[track_caller]
fn sweep(client: &Client, n: u64) {
    client.post_task(Body::task(n).with("task_ttl", "0.1"));
    eventually("it expires", || client.task(n)["task_state"] == "expired");
}

/// A task that waits for a while, and one that is executed.
#[track_caller]
fn post_and_claim(client: &Client) {
    client.post_task(Body::task(1).with("task_timeout", "600"));
    assert_eq!(client.poll(Body::poll(9)), [id(1)]);
    client.post_task(Body::task(2).with("task_ttl", "600"));
}

#[track_caller]
fn is_untouched(client: &Client) {
    assert_eq!(client.task(1)["task_state"], "claimed");
    assert_eq!(client.task(2)["task_state"], "pending");
}

fn was_set(afm: &AfmProcess, times: usize) -> bool {
    afm.log_lines().iter().filter(|line| line.contains("clock was set")).count() == times
}

#[test]
fn no_task_on_sqlite_is_late_because_of_it() {
    let folder = folder();
    let machine = MachineClock::new();
    let (afm, client) = machine.serve(&file_uri(&folder.path().join("afm.db")));
    post_and_claim(&client);
    for (n, ahead) in ["+1800", "+0", "-1800", "+86400", "+315360000", "+0"].into_iter().enumerate() {
        machine.set(ahead);
        eventually("it is noticed", || was_set(&afm, n + 1));
        sweep(&client, 100 + n as u64);
        is_untouched(&client);
    }
    machine.set("+1800");
    eventually("it is noticed", || was_set(&afm, 7));
    // Agents look at their own clocks, which are right as the machine's is now.
    let answer = client.post("/tasks", Body::poll(9)).json();
    let told: jiff::Timestamp = answer["return_time"].as_str().expect("a time").parse().expect("a time");
    let in_seconds = told.as_second() - now();
    assert!((1_800..1_800 + 60).contains(&in_seconds), "{answer}");
    client.post("/tasks/response", Body::result(1)).is_empty();
}

#[test]
fn no_task_of_another_afm_is_late_because_of_it() {
    let place = Place::postgres();
    let machine = MachineClock::new();
    let (afm, client) = machine.serve(&place.uri());
    let (other, others_client) = serve(&place.uri());
    post_and_claim(&others_client);
    for (n, ahead) in ["+1800", "-1800"].into_iter().enumerate() {
        machine.set(ahead);
        eventually("it is noticed", || was_set(&afm, n + 1));
        sweep(&client, 100 + n as u64);
    }
    other.kill9();
    machine.set("+86400");
    eventually("it is noticed", || was_set(&afm, 3));
    // Nobody else sweeps any more.
    sweep(&client, 200);
    is_untouched(&client);
    let answer = client.post("/tasks", Body::poll(9).with("max_tasks", "0")).json();
    let told: jiff::Timestamp = answer["return_time"].as_str().expect("a time").parse().expect("a time");
    assert!((0..60).contains(&(told.as_second() - now())), "{answer}");
    afm.signal("TERM");
    assert_eq!(afm.wait_exit(PATIENCE).code(), Some(0));
}

fn now() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "the real time is what is compared with")]
    jiff::Timestamp::now().as_second()
}
