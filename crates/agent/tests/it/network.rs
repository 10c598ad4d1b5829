//! A network that is gone, and comes back: the agent, a router and the AFM, each in a network namespace of its own.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::json;
use slamon_testbed::{Process, built};

use crate::fleet::{PATIENCE, Task, post, wait, wait_for, wait_until};

/// An agent notices so soon that nobody answers a poll that may be held open for 50 s.
const NOTICED: Duration = Duration::from_secs(45);
/// Where the AFM is for those in its own namespace.
const AFM: &str = "http://127.0.0.1:8080";

/// Three network namespaces, which end with the processes in them: agent – router – AFM.
struct Network {
    agent: Process,
    router: Process,
    afm: Process,
}

impl Network {
    fn new() -> Self {
        let network = Self { agent: namespace(), router: namespace(), afm: namespace() };
        let (router, agent, afm) = (&network.router, network.agent.pid(), network.afm.pid());
        inside(
            router,
            &format!(
                "ip link add agent type veth peer name eth0 netns {agent}
                 ip link add afm type veth peer name eth0 netns {afm}
                 ip address add 10.0.1.1/24 dev agent
                 ip address add 10.0.2.1/24 dev afm
                 ip link set agent up
                 ip link set afm up
                 echo 1 > /proc/sys/net/ipv4/ip_forward"
            ),
        );
        for (side, subnet) in [(&network.agent, "10.0.1"), (&network.afm, "10.0.2")] {
            inside(
                side,
                &format!(
                    "ip link set lo up
                     ip address add {subnet}.2/24 dev eth0
                     ip link set eth0 up
                     ip route add default via {subnet}.1"
                ),
            );
        }
        network
    }

    fn start_afm(&self) -> Process {
        let afm = start(&self.afm, &built("slamon-afm"), &["run", "0.0.0.0", "8080"]);
        afm.wait_for_line(|line| line.contains("listening"), PATIENCE);
        afm
    }

    fn start_agent(&self, state: &Path) -> Process {
        let state = state.to_string_lossy();
        let args = [
            "--url",
            "http://10.0.2.2:8080",
            "--state-folder",
            &state,
            "-x",
            "8",
            "--default-wait",
            "5",
            "-v",
        ];
        let agent = start(&self.agent, env!("CARGO_BIN_EXE_slamon-agent").as_ref(), &args);
        agent.wait_for_line(|line| line.contains("the agent has begun"), PATIENCE);
        agent
    }

    /// Does something where the AFM is.
    fn beside_afm<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let namespace =
            File::open(format!("/proc/{}/ns/net", self.afm.pid())).expect("the namespace is there");
        std::thread::scope(|scope| {
            let within = scope.spawn(move || {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                    .expect("a thread may enter a namespace");
                act()
            });
            within.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

/// A process in a network namespace of its own.
fn namespace() -> Process {
    let script = "echo there >&2; exec sleep infinity";
    let process = Process::start("unshare".as_ref(), &["-n", "sh", "-c", script], &[]).expect("sh runs");
    if let Err(problem) = process.find_line(PATIENCE, |line| (line == "there").then_some(())) {
        panic!(
            "this test makes network namespaces: it needs root (CAP_SYS_ADMIN and CAP_NET_ADMIN): {problem:#}"
        );
    }
    process
}

/// Starts a program in a namespace.
fn start(namespace: &Process, program: &Path, args: &[&str]) -> Process {
    let pid = namespace.pid().to_string();
    let program = program.to_string_lossy();
    let args = [&["-t", &pid, "-n", &program], args].concat();
    Process::start("nsenter".as_ref(), &args, &[]).expect("sh runs")
}

/// Has a shell execute a script in a namespace.
fn inside(namespace: &Process, script: &str) {
    let pid = namespace.pid().to_string();
    let output =
        Command::new("nsenter").args(["-t", &pid, "-n", "sh", "-ec", script]).output().expect("nsenter runs");
    assert!(
        output.status.success(),
        "could not set up a network: it needs iproute2, which scripts/setup-tests installs, and root: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Cuts the agent off while it waits for tasks and executes some, and lets it come back.
fn cut_off(cut: &str, restore: &str) {
    let network = Network::new();
    let state = tempfile::tempdir().expect("a folder");
    let _afm = network.start_afm();
    let agent = network.start_agent(state.path());
    let claimed: Vec<_> = network.beside_afm(|| {
        let tasks: Vec<_> = (0..4).map(|_| post(AFM, &wait(2.0))).collect();
        for task in &tasks {
            wait_until(AFM, *task, |task| task["task_state"] == "claimed");
        }
        tasks
    });
    inside(&network.router, cut);
    let began = Instant::now();
    // The AFM may hand them to the poll that it still holds, and learns from the next one that they did not arrive.
    let twice = Task { terms: json!({"task_max_attempts": 2}), ..wait(0.5) };
    let waiting: Vec<_> = network.beside_afm(|| (0..2).map(|_| post(AFM, &twice)).collect());
    agent.wait_for_line(|line| line.contains("could not deliver results"), PATIENCE);
    agent.wait_for_line(|line| line.contains("could not poll for tasks"), PATIENCE);
    assert!(began.elapsed() < NOTICED, "after {:?}", began.elapsed());
    inside(&network.router, restore);
    for task in claimed.iter().chain(&waiting) {
        let ended = network.beside_afm(|| wait_for(AFM, *task));
        assert_eq!(ended["task_state"], "completed", "{ended}");
        assert!(ended["task_attempt"] == 1 || waiting.contains(task), "{ended}");
    }
    // It takes tasks again as soon as they are posted.
    let last = network.beside_afm(|| {
        let task = post(AFM, &wait(0.5));
        wait_for(AFM, task);
        task
    });
    let log = agent.log_lines();
    // A further attempt has an id of its own.
    let executed: Vec<_> = log.iter().filter(|line| line.contains("executed a task")).collect();
    assert_eq!(executed.len(), claimed.len() + waiting.len() + 1, "{log:#?}");
    for id in claimed.iter().chain([&last]) {
        assert_eq!(executed.iter().filter(|line| line.contains(&id.to_string())).count(), 1, "{log:#?}");
    }
    assert!(!log.iter().any(|line| line.contains("dropped a result")), "{log:#?}");
}

#[test]
fn a_link_that_is_down_costs_no_result_and_no_task() {
    cut_off("ip link set afm down", "ip link set afm up");
}

#[test]
fn packets_that_vanish_cost_no_result_and_no_task() {
    cut_off("echo 0 > /proc/sys/net/ipv4/ip_forward", "echo 1 > /proc/sys/net/ipv4/ip_forward");
}
