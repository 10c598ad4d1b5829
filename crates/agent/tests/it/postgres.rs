//! An AFM on PostgreSQL.

use crate::fleet::{Fleet, PATIENCE, agent, post, wait, wait_for, wait_until};

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

#[test]
fn two_afms_on_one_database_share_tasks_between_the_agents_of_both() {
    let fleet = Fleet::start_on_postgres();
    let beside = fleet.afm_beside();
    let urls = [fleet.url(), beside.url()];
    let agents = [("first", &urls[0]), ("second", &urls[1])]
        .map(|(name, url)| agent(url, &fleet.state_folder(name), name, &["-x", "4"]));

    // As many as both take at once: each takes its half, wherever they are posted.
    let running: Vec<_> = (0..8).map(|n| post(&urls[n % 2], &wait(300.0))).collect();
    let names: Vec<_> = running
        .iter()
        .map(|task| wait_until(&urls[0], *task, |task| task["task_state"] == "claimed")["agent_name"].clone())
        .collect();
    for name in ["first", "second"] {
        assert_eq!(names.iter().filter(|claimed| *claimed == name).count(), 4, "{names:?}");
    }
    // They are cancelled at the AFM that their agent does not know.
    for (task, name) in running.iter().zip(&names) {
        let url = &urls[usize::from(name == "first")];
        ureq::delete(format!("{url}/task/{task}")).call().expect("the task can be cancelled");
    }
    for (task, name) in running.iter().zip(&names) {
        let stopped = format!("stopped a task that was cancelled task_id={task}");
        agents[usize::from(name == "second")].wait_for_line(|line| line.contains(&stopped), PATIENCE);
    }
    // What was posted at one is executed once, and read at the other.
    let tasks: Vec<_> = (0..20).map(|n| post(&urls[n % 2], &wait(1.0))).collect();
    for (n, task) in tasks.iter().enumerate() {
        let task = wait_for(&urls[1 - n % 2], *task);
        assert_eq!((&task["task_state"], &task["task_attempt"]), (&"completed".into(), &1.into()), "{task}");
    }
}
