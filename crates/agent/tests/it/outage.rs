//! An AFM that is away, and comes back.

use std::time::Duration;

use slamon_testbed::{AfmProcess, built};

use crate::fleet::{Fleet, PATIENCE, post, wait, wait_for, wait_until};

#[test]
fn results_outlive_an_afm_that_is_killed() {
    let mut fleet = Fleet::start();
    let agent = fleet.agent("first", &["-x", "8"]);
    let tasks: Vec<_> = (0..8).map(|_| fleet.post(&wait(1.0))).collect();
    for task in &tasks {
        wait_until(&fleet.url(), *task, |task| task["task_state"] != "pending");
    }
    fleet.kill_afm();
    agent.wait_for_line(|line| line.contains("could not poll for tasks"), PATIENCE);
    fleet.start_afm();
    for task in tasks {
        let task = fleet.wait_for(task);
        assert_eq!((&task["task_state"], &task["task_attempt"]), (&"completed".into(), &1.into()), "{task}");
    }
}

#[test]
fn results_outlive_an_agent_that_is_killed_while_the_afm_is_away() {
    let mut fleet = Fleet::start();
    let agent = fleet.agent("first", &["-x", "4"]);
    let tasks: Vec<_> = (0..4).map(|_| fleet.post(&wait(1.5))).collect();
    for task in &tasks {
        wait_until(&fleet.url(), *task, |task| task["task_state"] == "claimed");
    }
    fleet.kill_afm();
    let mut executed = 0;
    let all = |line: &str| {
        executed += usize::from(line.contains("executed a task"));
        (executed == 4).then_some(())
    };
    agent.find_line(PATIENCE, all).unwrap();
    // The line is logged before the result is stored.
    let results = fleet.state_folder("first").join("results");
    let stored = || results.read_dir().unwrap().filter(|entry| is_result(entry.as_ref().unwrap())).count();
    let end = std::time::Instant::now() + PATIENCE;
    while stored() < 4 {
        assert!(std::time::Instant::now() < end, "{} results are stored", stored());
        std::thread::sleep(Duration::from_millis(10));
    }
    agent.kill9();
    fleet.start_afm();
    let _agent = fleet.agent("first", &[]);
    for task in tasks {
        assert_eq!(fleet.wait_for(task)["task_state"], "completed");
    }
    while stored() > 0 {
        assert!(std::time::Instant::now() < end, "{} results are left", stored());
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn is_result(entry: &std::fs::DirEntry) -> bool {
    entry.path().extension().is_some_and(|extension| extension == "json")
}

#[test]
fn the_next_afm_is_polled_when_one_is_away() {
    let away = format!("http://127.0.0.1:{}", slamon_testbed::free_port());
    let folder = tempfile::tempdir().unwrap();
    let afm = AfmProcess::start(&built("slamon-afm"), &[], &[], None);
    let both = format!("{away},{}", afm.url());
    let _agent = crate::fleet::agent(&both, &folder.path().join("state"), "first", &[]);
    let task = wait_for(&afm.url(), post(&afm.url(), &wait(0.5)));
    assert_eq!(task["task_state"], "completed");
}

#[test]
fn a_late_result_is_dropped_and_the_log_says_so() {
    let mut fleet = Fleet::start();
    let agent = fleet.agent("first", &[]);
    let task = fleet.post(&wait(2.0));
    wait_until(&fleet.url(), task, |task| task["task_state"] == "claimed");
    fleet.kill_afm();
    agent.wait_for_line(|line| line.contains("executed a task"), PATIENCE);
    agent.signal("STOP");
    fleet.start_afm();
    ureq::delete(format!("{}/task/{task}", fleet.url())).call().expect("the task can be cancelled");
    agent.signal("CONT");
    agent.wait_for_line(
        |line| {
            line.contains("dropped a result that the AFM does not want") && line.contains(&task.to_string())
        },
        PATIENCE,
    );
}

#[test]
fn an_afm_that_is_told_to_stop_and_comes_back_is_polled_again_at_once() {
    let mut fleet = Fleet::start();
    let _agent = fleet.agent("first", &[]);
    fleet.wait_for(fleet.post(&wait(0.5)));
    // Its next poll is held open by now, or finds no AFM.
    fleet.stop_afm();
    fleet.start_afm();
    let task = fleet.post(&wait(0.5));
    let began = std::time::Instant::now();
    fleet.wait_for(task);
    // At AGENT_RETURN_TIME it would have been a minute.
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}
