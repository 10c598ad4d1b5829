//! An AFM on PostgreSQL.

use crate::fleet::{Fleet, PATIENCE, wait, wait_until};

#[test]
fn tasks_of_an_afm_on_postgresql_are_executed_once_whatever_goes_away() {
    let mut fleet = Fleet::start_on_postgres();
    let agents = ["first", "second"].map(|name| fleet.agent(name, &["-x", "4"]));
    let wait_for_all = |fleet: &Fleet, tasks: &[_]| {
        for task in tasks {
            let task = fleet.wait_for(*task);
            let is = (&task["task_state"], &task["task_attempt"]);
            assert_eq!(is, (&"completed".into(), &1.into()), "{task}");
        }
    };
    wait_for_all(&fleet, &[fleet.post(&wait(0.5))]);

    // The AFM's connections to the database end while tasks run.
    let tasks: Vec<_> = (0..8).map(|_| fleet.post(&wait(1.0))).collect();
    for task in &tasks {
        wait_until(&fleet.url(), *task, |task| task["task_state"] != "pending");
    }
    fleet.postgres().terminate_backends();
    wait_for_all(&fleet, &tasks);

    // The AFM ends, and results come while it is away.
    let tasks: Vec<_> = (0..8).map(|_| fleet.post(&wait(1.0))).collect();
    for task in &tasks {
        wait_until(&fleet.url(), *task, |task| task["task_state"] != "pending");
    }
    fleet.kill_afm();
    for agent in &agents {
        agent.wait_for_line(|line| line.contains("could not poll for tasks"), PATIENCE);
    }
    fleet.start_afm();
    wait_for_all(&fleet, &tasks);

    let running = fleet.post(&wait(300.0));
    let task = wait_until(&fleet.url(), running, |task| task["task_state"] == "claimed");
    ureq::delete(format!("{}/task/{running}", fleet.url())).call().expect("the task can be cancelled");
    let stopped = format!("stopped a task that was cancelled task_id={running}");
    let agent = &agents[usize::from(task["agent_name"] == "second")];
    agent.wait_for_line(|line| line.contains(&stopped), PATIENCE);
}
