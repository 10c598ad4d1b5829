//! A server that knows just enough of protocol 1, and can do wrong.

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// Far beyond what any machine needs; reached only when something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// What it does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Hands each tenth task out to the next that asks, too.
    Twice,
    /// Takes each tenth task, and never hands it out.
    Loses,
    /// Changes what each tenth task carries, when it is handed out.
    AltersData,
    /// Hands each tenth task out under another id.
    AltersId,
    /// Changes the result of each tenth task.
    AltersResult,
    /// Has no time for each tenth request.
    Refuses,
    /// Hangs up on each tenth request.
    HangsUp,
    /// Answers nothing for this long, once.
    Stalls(Duration),
}

/// Running, until this is dropped.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    fault: Fault,
    stopped: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    requests: u64,
    posted: u64,
    waiting: HashMap<String, VecDeque<Value>>,
    tasks: HashMap<String, Value>,
}

impl Fake {
    pub(crate) fn start(fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let shared = Arc::new(Shared {
            fault,
            stopped: AtomicBool::new(false),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if serving.stopped.load(Ordering::Relaxed) {
                    return;
                }
                let serving = Arc::clone(&serving);
                thread::spawn(move || serving.serve(&stream));
            }
        });
        Self { address, shared }
    }

    /// Waits until this many requests have come.
    #[track_caller]
    pub(crate) fn wait_for_requests(&self, wanted: u64) {
        let state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.shared.changed.wait_timeout_while(state, PATIENCE, |state| state.requests < wanted);
        let (state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "{} requests came, not {wanted}", state.requests);
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    /// Answers the requests on one connection until it ends.
    fn serve(&self, stream: &TcpStream) {
        let mut input = BufReader::new(stream);
        while let Some((method, path, body)) = read(&mut input) {
            let Some((status, body)) = self.answer(&method, &path, &body) else { return };
            let length = body.len();
            let answer = format!("HTTP/1.1 {status} .\r\ncontent-length: {length}\r\n\r\n{body}");
            let mut output = stream;
            if output.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }

    /// `None`: hangs up.
    fn answer(&self, method: &str, path: &str, body: &[u8]) -> Option<(u16, String)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.requests += 1;
        self.changed.notify_all();
        let tenth = state.requests.is_multiple_of(10);
        match self.fault {
            Fault::Refuses if tenth => return Some((503, String::new())),
            Fault::HangsUp if tenth => return None,
            // The others wait for the lock.
            Fault::Stalls(time) if state.requests == 1 => thread::sleep(time),
            _ => {}
        }
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        Some(match (method, path) {
            ("POST", "/task") => (200, state.post(&body, self.fault)),
            ("POST", "/tasks") => (200, state.claim(&body, self.fault)),
            ("POST", "/tasks/response") => (200, state.report(&body, self.fault)),
            _ => match state.tasks.get(path.trim_start_matches("/task/")) {
                Some(task) => (200, task.to_string()),
                None => (404, String::new()),
            },
        })
    }
}

impl State {
    fn post(&mut self, task: &Value, fault: Fault) -> String {
        self.posted += 1;
        let mut task = task.clone();
        task["tenth"] = self.posted.is_multiple_of(10).into();
        self.tasks.insert(text(&task["task_id"]), task.clone());
        if fault != Fault::Loses || task["tenth"] != true {
            self.waiting.entry(text(&task["task_type"])).or_default().push_back(task);
        }
        String::new()
    }

    fn claim(&mut self, poll: &Value, fault: Fault) -> String {
        let types = poll["agent_capabilities"].as_object().into_iter().flatten();
        let waiting = types
            .map(|(name, _)| name)
            .find(|name| self.waiting.get(*name).is_some_and(|tasks| !tasks.is_empty()));
        let Some(tasks) = waiting.and_then(|name| self.waiting.get_mut(name)) else {
            return json!({"tasks": [], "return_time": "2026"}).to_string();
        };
        let mut claimed = Vec::new();
        while claimed.len() < poll["max_tasks"].as_u64().unwrap_or_default() as usize
            && let Some(mut task) = tasks.pop_front()
        {
            match fault {
                _ if task["tenth"] != true => {}
                Fault::Twice => {
                    let mut again = task.clone();
                    again["tenth"] = false.into();
                    tasks.push_back(again);
                }
                Fault::AltersData => task["task_data"]["url"] = "http://127.0.0.2/".into(),
                Fault::AltersId => task["task_id"] = "00000000-0000-4000-8000-000000000000".into(),
                _ => {}
            }
            claimed.push(task);
        }
        json!({"return_time": "2026", "tasks": claimed}).to_string()
    }

    fn report(&mut self, report: &Value, fault: Fault) -> String {
        if let Some(task) = self.tasks.get_mut(&text(&report["task_id"])) {
            task["task_completed"] = "2026".into();
            task["task_result"] = report["task_data"].clone();
            if fault == Fault::AltersResult && task["tenth"] == true {
                task["task_result"]["status"] = 404.into();
            }
        }
        String::new()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The method, path and body of the next request; `None`: there is none.
fn read(input: &mut impl BufRead) -> Option<(String, String, Vec<u8>)> {
    let mut line = String::new();
    input.read_line(&mut line).ok()?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        input.read_line(&mut line).ok()?;
        let (name, value) = line.trim().split_once(": ").unwrap_or_default();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().ok()?;
        } else if name.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    input.read_exact(&mut body).ok()?;
    Some((method, path, body))
}
