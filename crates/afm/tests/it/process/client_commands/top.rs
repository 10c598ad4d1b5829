//! Tests `top`, and questions, on a terminal: `script` gives the program one.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Instant;

use super::super::program;
use super::Asked;
use crate::test_app::{Body, PATIENCE, id};

/// A shell on a terminal of its own.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    shows: Receiver<Vec<u8>>,
    shown: String,
}

impl Terminal {
    fn start(url: &str, commands: &str) -> Self {
        let commands = commands.replace("slamon-afm", program().to_str().expect("UTF-8"));
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--command", &commands, "/dev/null"])
            .env("SLAMON_AFM_URL", url)
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script runs");
        let keys = child.stdin.take().expect("a pipe");
        let mut out = child.stdout.take().expect("a pipe");
        let (send, shows) = mpsc::channel();
        thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(count @ 1..) = out.read(&mut part) {
                if send.send(part[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { child, keys, shows, shown: String::new() }
    }

    #[track_caller]
    fn wait_for(&mut self, text: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.shown.contains(text) {
            let left = end.saturating_duration_since(Instant::now());
            match self.shows.recv_timeout(left) {
                Ok(part) => self.shown.push_str(&String::from_utf8_lossy(&part)),
                Err(error) => panic!("{text:?} is not shown: {error}: {:?}", self.shown),
            }
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).and_then(|()| self.keys.flush()).expect("it reads");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const TOP: &str = "stty rows 30 cols 100; echo A=$(stty -a)OVER; slamon-afm top; echo status=$?; echo B=$(stty -a)OVER; echo over";

#[track_caller]
fn is_as_it_was(shown: &str) {
    let setting =
        |name: &str| shown.split(&format!("{name}=")).nth(1).and_then(|rest| rest.split('=').next());
    assert!(setting("A").is_some_and(|before| before.len() > 20), "{shown}");
    assert_eq!(setting("A"), setting("B"), "{shown}");
    let (enter, leave) = (shown.find("\u{1b}[?1049h"), shown.rfind("\u{1b}[?1049l"));
    assert!(enter.is_some() && leave > enter, "{shown:?}");
    assert!(shown.rfind("\u{1b}[?25h") > shown.rfind("\u{1b}[?25l"), "{shown:?}");
}

#[test]
fn the_live_view_follows_and_q_and_ctrl_c_leave_the_terminal_as_it_was() {
    let asked = Asked::new();
    for (n, key) in (1..).zip(["q", "\u{3}", "Q"]) {
        let mut terminal = Terminal::start(&asked.afm.url(), TOP);
        terminal.wait_for("q ends this view");
        // What happens meanwhile is shown.
        asked.client.post_task(Body::task(n).with("task_type", format!("\"type-{n}\\u001b[31m\"")));
        terminal.wait_for(&format!("type-{n}\\u{{1b}}[31m"));
        terminal.press(key);
        terminal.wait_for("over");
        assert!(terminal.shown.contains("status=0"), "{:?}", terminal.shown);
        is_as_it_was(&terminal.shown);
    }
}

#[test]
fn the_live_view_outlives_an_afm_that_goes_and_gives_the_terminal_back_at_a_signal() {
    let asked = Asked::new();
    let commands = "stty rows 30 cols 100; echo A=$(stty -a)OVER; \
                    sh -c 'echo pid=$$=; exec slamon-afm top'; echo status=$?; echo B=$(stty -a)OVER; echo over";
    let mut terminal = Terminal::start(&asked.afm.url(), commands);
    terminal.wait_for("5 minutes");
    drop(asked);
    terminal.wait_for("could not be reached");
    let pid = terminal
        .shown
        .split("pid=")
        .nth(1)
        .and_then(|rest| rest.split('=').next())
        .expect("a pid")
        .to_owned();
    let killed = Command::new("kill").arg(&pid).status().expect("kill runs");
    assert!(killed.success());
    terminal.wait_for("over");
    is_as_it_was(&terminal.shown);
}

#[test]
fn without_a_terminal_it_prints_once() {
    let asked = Asked::new();
    asked.client.post_task(Body::task(1));
    let shown = asked.done(&["top"]);
    assert!(shown.contains("1 waiting") && shown.contains("wait  1"), "{shown}");
    assert!(!shown.contains('\u{1b}') && !shown.contains("q ends"), "{shown}");
    assert!(asked.json(&["top"])[0]["minutes"].is_array());
}

#[test]
fn somebody_at_a_terminal_is_asked_before_many_tasks_are_changed() {
    let asked = Asked::new();
    for n in [1, 2] {
        asked.client.post_task(Body::task(n));
    }
    let state = || asked.client.task(1)["task_state"].as_str().map(str::to_owned);
    for (answer, text, then) in [
        ("\n", "nothing was changed", "pending"),
        ("n\n", "nothing was changed", "pending"),
        ("y\n", "2 tasks cancelled", "cancelled"),
    ] {
        let mut terminal = Terminal::start(&asked.afm.url(), "slamon-afm task cancel --all; echo over");
        terminal.wait_for("cancel 2 tasks? [y/N]");
        terminal.press(answer);
        terminal.wait_for("over");
        assert!(terminal.shown.contains(text), "{:?}", terminal.shown);
        assert_eq!(state().as_deref(), Some(then));
    }
    assert_eq!(asked.client.task(2)["task_id"], id(2));
}
