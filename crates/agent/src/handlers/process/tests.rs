use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::*;

/// An environment in which "run" is a shell that executes this.
fn shell(script: &str) -> Arc<Environment> {
    let command = Command {
        program: "/bin/sh".into(),
        arguments: vec!["-c".to_owned(), script.to_owned()],
        ..Command::default()
    };
    with(command)
}

fn with(command: Command) -> Arc<Environment> {
    Arc::new(Environment {
        commands: BTreeMap::from([("run".to_owned(), command)]),
        ..Environment::default()
    })
}

fn context(cancellation: &CancellationToken) -> Context {
    Context { task_id: Uuid::from_u128(7), attempt: 1, deadline: None, cancellation: cancellation.clone() }
}

async fn execute_in(environment: Arc<Environment>, data: Value) -> Result<Value, String> {
    let data = serde_json::from_value(data).unwrap();
    let outcome = execute(data, context(&CancellationToken::new()), environment).await;
    outcome.map(|output| serde_json::to_value(output).unwrap()).map_err(|failure| failure.to_string())
}

async fn run(script: &str) -> Result<Value, String> {
    execute_in(shell(script), json!({"command": "run"})).await
}

/// Whether a process is there, and no zombie.
fn lives(pid: &str) -> bool {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.trim()).join("stat"));
    status.is_ok_and(|status| !status.rsplit(')').next().unwrap().trim_start().starts_with('Z'))
}

/// Waits until a process that was sent a signal is gone.
async fn has_gone(pid: &str) {
    let gone = async {
        while lives(pid) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("the process still lives");
}

/// Waits until no trace of a child of this process is left: it is no zombie either.
async fn is_reaped(pid: &str) {
    let reaped = async {
        while Path::new("/proc").join(pid.trim()).exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reaped).await.expect("the process is a zombie");
}

/// Waits for a text that a command writes to a file.
async fn written(path: &Path) -> String {
    let written = async {
        loop {
            match std::fs::read_to_string(path) {
                Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), written).await.expect("nothing was written")
}

#[tokio::test]
async fn a_command_reads_the_input_and_its_object_is_the_result() {
    let output = execute_in(
        shell(
            "read input; echo \"{\\\"got\\\": $input, \\\"big\\\": 12345678901234567890123}\"; echo hm >&2",
        ),
        json!({"command": "run", "input": {"a": ["$(id)", 1.5]}}),
    )
    .await
    .unwrap();
    assert_eq!(output["exit_status"], 0);
    assert_eq!(output["result"]["got"], json!({"a": ["$(id)", 1.5]}));
    assert_eq!(output["error_output"], "hm\n");
    assert!(output["output"].is_null() && output["total_ms"].as_f64().unwrap() > 0.0, "{output}");
}

#[tokio::test]
async fn the_input_is_what_was_posted_in_one_line() {
    let posted = "{\"z\":\r\n 12345678901234567890123, \"a\": [1.0,\n1e2], \"b\": \"\\u0041\\n\"}";
    let data = serde_json::from_str(&format!("{{\"command\": \"run\", \"input\": {posted}}}")).unwrap();
    let output = execute(data, context(&CancellationToken::new()), shell("cat; echo end")).await.unwrap();
    assert_eq!(output.output.unwrap(), format!("{}\nend\n", posted.replace(['\r', '\n'], " ")));
}

#[tokio::test]
async fn what_is_no_object_is_text() {
    for (script, text) in [
        ("echo hello", "hello\n"),
        ("echo '[1]'", "[1]\n"),
        ("true", ""),
        ("printf '{\"a\": 1} x'", "{\"a\": 1} x"),
        ("printf 'a\\377b'", "a\u{fffd}b"),
    ] {
        assert_eq!(run(script).await.unwrap()["output"], text, "{script}");
    }
    let deep = run("i=0; while [ $i -lt 300 ]; do printf '{\"a\":'; i=$((i+1)); done").await.unwrap();
    assert!(deep["result"].is_null());
}

#[tokio::test]
async fn the_environment_has_nothing_of_the_agents() {
    let mut command = Command { program: "/usr/bin/env".into(), ..Command::default() };
    command.environment.insert("TOKEN".to_owned(), "x".to_owned());
    let output = execute_in(with(command), json!({"command": "run"})).await.unwrap();
    let mut lines: Vec<&str> = output["output"].as_str().unwrap().lines().collect();
    lines.sort_unstable();
    let path = format!("PATH={PATH}");
    let id = format!("SLAMON_TASK_ID={}", Uuid::from_u128(7));
    assert_eq!(lines, ["LANG=C.UTF-8", &path, &id, "TOKEN=x"]);
}

#[tokio::test]
async fn an_exit_status_that_was_not_expected_is_an_error_with_what_was_said() {
    let none = json!({"command": "run", "expected_exit_status": []});
    assert_eq!(
        execute_in(shell("exit 0"), none).await.unwrap_err(),
        "task_data.expected_exit_status: is empty: no exit status could be right"
    );
    assert_eq!(
        run("echo out; echo 'no disk' >&2; exit 2").await.unwrap_err(),
        "the command \"run\" ended with exit status 2, where 0 was expected: no disk"
    );
    assert_eq!(
        run("echo out; exit 3").await.unwrap_err(),
        "the command \"run\" ended with exit status 3, where 0 was expected: out"
    );
    assert_eq!(run("kill -9 $$").await.unwrap_err(), "the command \"run\" was ended by signal 9");
    let data = json!({"command": "run", "expected_exit_status": [1, 2]});
    assert_eq!(execute_in(shell("exit 2"), data.clone()).await.unwrap()["exit_status"], 2);
    let error = execute_in(shell("i=0; while [ $i -lt 600 ]; do printf ä; i=$((i+1)); done"), data).await;
    let expected = format!(
        "the command \"run\" ended with exit status 0, where 1 or 2 was expected: …{}",
        "ä".repeat(QUOTED)
    );
    assert_eq!(error.unwrap_err(), expected);
}

#[tokio::test]
async fn a_command_that_is_not_listed_or_cannot_start_is_named() {
    let data = json!({"command": "/bin/sh"});
    assert_eq!(
        execute_in(shell("true"), data.clone()).await.unwrap_err(),
        "task_data.command: this agent has no command \"/bin/sh\": there are \"run\""
    );
    assert_eq!(
        execute_in(Arc::default(), data).await.unwrap_err(),
        "task_data.command: this agent has no command \"/bin/sh\": its operator has listed none"
    );
    for (program, problem) in [
        ("/does/not/exist", "No such file or directory (os error 2)"),
        ("/etc/passwd", "Permission denied (os error 13)"),
        ("sh", "its operator has to give an absolute path"),
    ] {
        let command = Command { program: program.into(), ..Command::default() };
        let expected = format!("could not start the command \"run\" ({program}): {problem}");
        assert_eq!(execute_in(with(command), json!({"command": "run"})).await.unwrap_err(), expected);
    }
}

#[tokio::test]
async fn all_processes_are_gone_at_the_end_of_the_time_also_those_that_ignore_the_request() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    let script = format!(
        "trap '' TERM; (trap '' TERM; while :; do sleep 1; done) & echo $! $$ > {}; while :; do sleep 1; done",
        file.display()
    );
    let began = Instant::now();
    let error = execute_in(shell(&script), json!({"command": "run", "timeout": 1.5})).await.unwrap_err();
    assert!(error.starts_with("the command \"run\" had not ended after 1.5 s, and was stopped"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(15));
    for pid in written(&file).await.split(' ') {
        has_gone(pid).await;
        assert!(
            !Path::new("/proc").join(pid).exists() || pid != written(&file).await.split(' ').nth(1).unwrap()
        );
    }
}

#[tokio::test]
async fn a_command_that_is_asked_to_end_can_tidy_up() {
    let folder = tempfile::tempdir().unwrap();
    let (begun, tidied) = (folder.path().join("begun"), folder.path().join("tidied"));
    let script = format!(
        "trap 'echo bye; echo bye >&2; echo yes > {}; exit' TERM; echo > {}; while :; do sleep 0.01; done",
        tidied.display(),
        begun.display()
    );
    let cancellation = CancellationToken::new();
    let data = serde_json::from_value(json!({"command": "run"})).unwrap();
    let executing = tokio::spawn(execute(data, context(&cancellation), shell(&script)));
    written(&begun).await;
    cancellation.cancel();
    let failure = executing.await.unwrap().unwrap_err();
    assert_eq!(failure.to_string(), "the command \"run\" was stopped, since the task was cancelled");
    assert_eq!(std::fs::read_to_string(tidied).unwrap(), "yes\n");
}

#[tokio::test]
async fn all_processes_are_gone_when_nobody_awaits_the_handler_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    let script = format!("sleep 600 & echo $! $$ > {}; wait", file.display());
    let data = serde_json::from_value(json!({"command": "run"})).unwrap();
    let executing = tokio::spawn(execute(data, context(&CancellationToken::new()), shell(&script)));
    let pids = written(&file).await;
    executing.abort();
    for pid in pids.split(' ') {
        has_gone(pid).await;
    }
    is_reaped(pids.split(' ').nth(1).unwrap()).await;
}

#[tokio::test]
async fn what_a_command_leaves_behind_is_ended_and_not_waited_for() {
    let output = run("sleep 600 & echo $!").await.unwrap();
    has_gone(output["output"].as_str().unwrap()).await;
    // This one has left the group, and holds the pipes.
    let output = run("setsid sleep 600 & echo $!; while [ $(ps -o sid= -p $!) != $! ]; do :; done").await;
    let output = output.unwrap();
    let pid = output["output"].as_str().unwrap().trim();
    assert!(lives(pid));
    let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn a_command_that_writes_without_end_is_stopped() {
    let began = Instant::now();
    let error = run("trap '' TERM PIPE; head -c 1073741824 /dev/zero; sleep 600").await.unwrap_err();
    assert_eq!(
        error,
        "the command \"run\" wrote more than 262144 bytes to its standard output, and was stopped"
    );
    assert!(began.elapsed() < Duration::from_secs(25));
    let mut command = Command { program: "/bin/echo".into(), ..Command::default() };
    command.arguments = vec!["12345".to_owned()];
    command.output_limit = Some(5);
    let error = execute_in(with(command.clone()), json!({"command": "run"})).await.unwrap_err();
    assert!(error.contains("more than 5 bytes"), "{error}");
    command.output_limit = Some(6);
    execute_in(with(command), json!({"command": "run"})).await.unwrap();
}

#[tokio::test]
async fn errors_without_end_are_read_and_their_end_is_kept() {
    let output = run("head -c 100000000 /dev/zero | tr '\\0' x >&2; echo END >&2").await.unwrap();
    let kept = output["error_output"].as_str().unwrap();
    assert_eq!(kept.strip_prefix('…').unwrap().len(), 4 * 1024);
    assert!(kept.ends_with("xEND\n"));
}

#[tokio::test]
async fn a_command_need_not_read_its_input() {
    let input = "x".repeat(4 * 1024 * 1024);
    let data = json!({"command": "run", "input": input});
    assert_eq!(execute_in(shell("echo done"), data.clone()).await.unwrap()["output"], "done\n");
    assert_eq!(execute_in(shell("exec <&-; echo done"), data.clone()).await.unwrap()["output"], "done\n");
    // It writes as much as it reads, while it reads.
    let mut data = data;
    data["input"] = "y".repeat(200_000).into();
    let output = execute_in(shell("cat"), data).await.unwrap();
    assert_eq!(output["output"].as_str().unwrap().len(), 200_003);
}
