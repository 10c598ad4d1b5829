//! The bare route is asked what our server is asked, and answers in the same shape: else it is no yardstick.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use slamon_bench::poll::Poll;
use slamon_testbed::Process;

use crate::afm::Afm;
use crate::run;

/// Far beyond what any machine needs; reached only when something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

const TASK: &str = "de305d54-75b4-431b-adb2-eb6b9e546013";

struct Bare {
    address: SocketAddr,
    _process: Process,
}

fn bare() -> Bare {
    let program = Path::new(env!("CARGO_BIN_EXE_slamon-bench"));
    let process = Process::start(program, &["bare", "127.0.0.1:0"], &[]).expect("a process can be started");
    let listening = |line: &str| line.strip_prefix("listening addr=")?.parse().ok();
    let address = process.find_line(PATIENCE, listening).expect("it listens");
    Bare { address, _process: process }
}

/// The status, and the body.
fn send(address: SocketAddr, request: &str, body: &Value) -> (String, String) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("it is more than nothing");
    write!(
        stream,
        "{request} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head ends");
    (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
}

fn poll(task_type: &str) -> Value {
    json!({
        "protocol": 1, "agent_id": "de305d54-75b4-431b-adb2-eb6b9e546015", "agent_name": "Python Agent 1.0",
        "agent_time": "2026-11-22T19:23:01.000581+0200",
        "agent_capabilities": {task_type: {"version": 1}, "wait": {"version": 1}}, "max_tasks": 1,
    })
}

/// The requests of a life, and a poll that finds nothing.
fn requests() -> Vec<(String, Value)> {
    let post = |path: &str, body| (format!("POST {path}"), body);
    vec![
        post("/tasks", poll("nothing-of-this-type")),
        post(
            "/task",
            json!({
                "task_id": TASK, "test_id": "de305d54-75b4-431b-adb2-eb6b9e546014",
                "task_type": "bare", "task_version": 1, "task_data": {"url": "http://127.0.0.1/"},
            }),
        ),
        post("/tasks", poll("bare")),
        post("/tasks/response", json!({"protocol": 1, "task_id": TASK, "task_data": {"status": 200}})),
        (format!("GET /task/{TASK}"), Value::Null),
    ]
}

#[test]
fn it_answers_as_ours_does() {
    let (ours, bare) = (Afm::on_every_store().next().expect("there are stores"), bare());
    for (n, (request, body)) in requests().iter().enumerate() {
        let of_ours = send(ours.address, request, body);
        let of_bare = send(bare.address, request, body);
        assert_eq!(of_ours.0, "HTTP/1.1 200 OK", "{request}: {}", of_ours.1);
        assert_eq!(of_bare.0, of_ours.0, "{request}: {}", of_bare.1);
        let [of_ours, of_bare] = [of_ours.1, of_bare.1].map(|body| serde_json::from_str::<Value>(&body).ok());
        match (n, of_ours, of_bare) {
            // Nothing to say.
            (1 | 3, None, None) => {}
            // To the letter, but for the time.
            (0, Some(ours), Some(bare)) => {
                assert_eq!(ours["tasks"], bare["tasks"]);
                assert_eq!(ours.to_string().len(), bare.to_string().len(), "{ours} {bare}");
            }
            // It has no tasks.
            (2, Some(ours), Some(bare)) => {
                assert_eq!(ours["tasks"][0]["task_id"], TASK);
                assert_eq!(bare["tasks"], json!([]));
            }
            // All that protocol 1 knows; ours says more.
            (4, Some(Value::Object(ours)), Some(Value::Object(bare))) => {
                for (name, value) in bare.iter().filter(|(name, _)| *name != "test_id") {
                    let of_ours = ours.get(name).unwrap_or(&Value::Null);
                    assert_eq!(value.is_string(), of_ours.is_string(), "{name}: {value} {of_ours}");
                    assert!(!of_ours.is_null(), "{name}");
                }
            }
            (_, ours, bare) => panic!("{request}: {ours:?} {bare:?}"),
        }
    }
}

#[test]
fn what_is_no_poll_is_refused() {
    let bare = bare();
    let (status, _) = send(bare.address, "POST /tasks", &json!({"protocol": 1}));
    assert!(!status.ends_with("200 OK"), "{status}");
    let (status, _) = send(bare.address, "POST /task", &json!({"task_id": "no id"}));
    assert!(!status.ends_with("200 OK"), "{status}");
}

#[test]
fn it_can_be_put_under_load() {
    let bare = bare();
    let report = run::<Poll>(bare.address, "--count 500 --connections 4");
    assert_eq!((report.done, report.refused), (500, 0));
    assert!(report.errors.is_empty(), "{:?}", report.errors);
}
