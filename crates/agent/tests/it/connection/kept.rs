//! Connections that are kept, and end without a word.

use uuid::Uuid;

use super::Behind;
use super::gate::{Cut, Gate, Rules, Seen};
use crate::fleet::{post, wait, wait_for};

fn post_some(behind: &Behind, count: usize) -> Vec<Uuid> {
    (0..count).map(|_| post(&behind.afm.url(), &wait(0.5))).collect()
}

/// Waits for the tasks to have ended, each at its first attempt and with a result.
fn are_completed(behind: &Behind, tasks: &[Uuid]) {
    for task in tasks {
        let task = wait_for(&behind.afm.url(), *task);
        let is = (&task["task_state"], &task["task_attempt"]);
        assert_eq!(is, (&"completed".into(), &1.into()), "{task}");
    }
}

fn is_result(seen: &Seen) -> bool {
    seen.line.starts_with("POST /tasks/response ")
}

/// How often the AFM has taken the result of a task, which is once or more.
fn taken(gate: &Gate, task: Uuid) -> usize {
    let task = task.to_string();
    let is = |seen: &&Seen| is_result(seen) && seen.status == 200 && seen.body.contains(&task);
    // The AFM may know of it a little before.
    gate.wait_until(|seen| seen.iter().any(|seen| is(&seen)));
    gate.seen().iter().filter(is).count()
}

#[test]
fn many_polls_and_results_use_few_connections() {
    let behind = Behind::start();
    let gate = Gate::before(behind.afm.address(), Rules::default());
    let _agent = behind.agent(&format!("http://{}", gate.address), &["-x", "1"], &[]);
    for _ in 0..20 {
        are_completed(&behind, &post_some(&behind, 1));
    }
    gate.wait_until(|seen| seen.len() >= 40);
    let seen = gate.seen();
    // A result may be delivered while a poll is held open.
    assert!(gate.connections() <= 4, "{} connections for {seen:?}", gate.connections());
}

#[test]
fn a_connection_that_the_other_side_closes_after_each_answer_costs_no_result() {
    let behind = Behind::start();
    let gate = Gate::before(behind.afm.address(), Rules { closes: true, ..Rules::default() });
    let agent = behind.agent(&format!("http://{}", gate.address), &["-x", "4"], &[]);
    let tasks: Vec<Uuid> = (0..5)
        .flat_map(|_| {
            let some = post_some(&behind, 4);
            are_completed(&behind, &some);
            some
        })
        .collect();
    for task in tasks {
        assert_eq!(taken(&gate, task), 1, "{:?}", agent.log_lines());
    }
}

/// Has connections end by which results come, three times, and says what the agent has logged.
fn cut_off(cut: Cut) -> (Gate, Vec<Uuid>, Vec<String>) {
    let behind = Behind::start();
    let gate = Gate::before(behind.afm.address(), Rules::default());
    let agent = behind.agent(&format!("http://{}", gate.address), &["-x", "4"], &[]);
    // Now there are connections that are kept.
    are_completed(&behind, &post_some(&behind, 2));
    let before = gate.seen().iter().filter(|seen| is_result(seen)).count();
    gate.change(|rules| rules.cut = Some(cut));
    let tasks = post_some(&behind, 4);
    gate.wait_until(|seen| seen.iter().filter(|seen| is_result(seen)).count() >= before + 3);
    gate.change(|rules| rules.cut = None);
    are_completed(&behind, &tasks);
    // Once these are there, those before them are delivered, and over.
    are_completed(&behind, &post_some(&behind, 4));
    let log = agent.log_lines();
    assert!(log.iter().any(|line| line.contains("could not deliver")), "{log:?}");
    (gate, tasks, log)
}

#[test]
fn a_result_that_ends_with_its_connection_is_delivered_again() {
    let (gate, tasks, log) = cut_off(Cut::Before);
    for task in tasks {
        assert_eq!(taken(&gate, task), 1, "{log:?}");
    }
}

#[test]
fn a_result_whose_answer_is_lost_is_delivered_again_and_taken_as_the_same() {
    let (gate, tasks, log) = cut_off(Cut::After);
    assert!(tasks.iter().any(|task| taken(&gate, *task) > 1), "{log:?}");
    assert!(!log.iter().any(|line| line.contains("dropped a result")), "{log:?}");
}
