//! Something in the place of an AFM, which answers as a test says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use serde_json::{Value, json};

use crate::fleet::PATIENCE;

/// A request: its path without the slash, and its body.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) body: Value,
}

/// An answer: status, media type and body.
pub(crate) type Answer = (u16, &'static str, String);

/// The server; it answers for as long as the process runs.
pub(crate) struct Fake {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    answer: Box<dyn Fn(&Request) -> Answer + Send + Sync>,
    requests: Mutex<Vec<Request>>,
    came: Condvar,
}

impl Fake {
    pub(crate) fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let shared =
            Arc::new(Shared { answer: Box::new(answer), requests: Mutex::default(), came: Condvar::new() });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&serving);
                // A client that goes away ends its connection only.
                thread::spawn(move || shared.serve(stream));
            }
        });
        Self { address, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests to a path so far.
    pub(crate) fn requests(&self, path: &str) -> Vec<Value> {
        let requests = self.shared.requests.lock().expect("no test has panicked with it");
        requests.iter().filter(|request| request.path == path).map(|request| request.body.clone()).collect()
    }

    /// Waits until the requests to a path are as `are` says.
    pub(crate) fn wait_for(&self, path: &str, are: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let requests = self.shared.requests.lock().expect("no test has panicked with it");
        let of = |requests: &[Request]| -> Vec<Value> {
            requests
                .iter()
                .filter(|request| request.path == path)
                .map(|request| request.body.clone())
                .collect()
        };
        let waited = self.shared.came.wait_timeout_while(requests, PATIENCE, |requests| !are(&of(requests)));
        let (requests, timeout) = waited.expect("no test has panicked with it");
        assert!(!timeout.timed_out(), "the requests to {path} did not come: {:?}", of(&requests));
        of(&requests)
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
            let path = line.split(' ').nth(1)?.trim_matches('/').to_owned();
            let mut length = 0;
            loop {
                let mut header = String::new();
                reader.read_line(&mut header).ok()?;
                if header.trim().is_empty() {
                    break;
                }
                if let Some(("content-length", value)) = header.to_ascii_lowercase().split_once(':') {
                    length = value.trim().parse().ok()?;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).ok()?;
            let request = Request { path, body: serde_json::from_slice(&body).ok()? };
            let (status, media_type, said) = (self.answer)(&request);
            let length = said.len();
            self.requests.lock().ok()?.push(request);
            self.came.notify_all();
            write!(
                stream,
                "HTTP/1.1 {status} X\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\n\r\n{said}"
            )
            .ok()?;
        }
    }
}

/// What an AFM answers to a poll, with these tasks.
pub(crate) fn handed_out(tasks: &[Value]) -> Answer {
    let answer = json!({"tasks": tasks, "return_time": "2026-11-22T19:24:01+00:00"});
    (200, "application/json", answer.to_string())
}

/// What an AFM answers to several results in one request.
pub(crate) fn all_stored(request: &Request) -> Answer {
    let Some(results) = request.body["results"].as_array() else {
        return (200, "application/json", String::new());
    };
    let stored: Vec<_> = results.iter().map(|_| json!({"status": 200})).collect();
    (200, "application/json", json!({ "results": stored }).to_string())
}
