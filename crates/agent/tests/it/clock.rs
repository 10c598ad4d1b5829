//! A clock that is hours wrong.

use std::path::Path;
use std::time::{Duration, Instant};

use slamon_testbed::{AfmProcess, Process, built};

use crate::fleet::{PATIENCE, post, wait, wait_for};

/// Polls at `return_time`, which is two seconds away by the AFM's clock.
fn agent_with_clock(url: &str, state: &Path, offset: &str) -> Process {
    let state = state.to_string_lossy();
    let args =
        ["--url", url, "--state-folder", &state, "--longest-poll", "0", "--listen", "127.0.0.1:0", "-v"];
    let env = [
        ("LD_PRELOAD", faketime()),
        ("FAKETIME", offset.to_owned()),
        ("DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ];
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Process::start(env!("CARGO_BIN_EXE_slamon-agent").as_ref(), &args, &env).expect("sh runs")
}

fn faketime() -> String {
    std::fs::read_dir("/usr/lib")
        .expect("/usr/lib can be read")
        .filter_map(|entry| Some(entry.ok()?.path().join("faketime/libfaketimeMT.so.1")))
        .find(|library| library.exists())
        .expect("libfaketime is installed; scripts/setup-tests does")
        .to_string_lossy()
        .into_owned()
}

#[test]
fn an_agent_whose_clock_is_hours_wrong_polls_at_the_time_that_the_afm_says() {
    let afm = AfmProcess::start(&built("slamon-afm"), &[], &[], Some("AGENT_RETURN_TIME = 2\n"));
    for offset in ["+5h", "-5h"] {
        let folder = tempfile::tempdir().unwrap();
        let agent = agent_with_clock(&afm.url(), folder.path(), offset);
        let line = agent.wait_for_line(|line| line.contains("answering /metrics"), PATIENCE);
        let address = line.split("address=").nth(1).unwrap().trim().to_owned();
        assert_eq!(wait_for(&afm.url(), post(&afm.url(), &wait(0.5)))["task_state"], "completed", "{offset}");
        let (first, began) = (polls(&address), Instant::now());
        while polls(&address) < first + 3 {
            assert!(began.elapsed() < PATIENCE, "{offset}: {} polls", polls(&address));
            std::thread::sleep(Duration::from_millis(50));
        }
        // Three polls are two waits apart at least, and none is shorter than a second.
        assert!(began.elapsed() >= Duration::from_secs(2), "{offset}: {:?}", began.elapsed());
    }
}

fn polls(address: &str) -> u32 {
    let mut answer = ureq::get(format!("http://{address}/metrics")).call().expect("an answer");
    let text = answer.body_mut().read_to_string().expect("a text");
    let line = text.lines().find(|line| line.starts_with("slamon_agent_polls_total{outcome=\"answered\"}"));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}
