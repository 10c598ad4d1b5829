//! A client that speaks to an AFM over HTTP.

use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use super::{Answer, Connection, PATIENCE, id};

/// A BPMS client, an agent and a browser in one.
pub(crate) struct Client {
    address: SocketAddr,
    http: ureq::Agent,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        // A request that is never answered fails its test.
        let http = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE));
        Self { address, http: http.build().into() }
    }

    /// Returns the address of the server.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "")
    }

    /// Posts a JSON body.
    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: impl Into<String>) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], body.into())
    }

    #[track_caller]
    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], "")
    }

    /// Reads task `n`, which must exist.
    #[track_caller]
    pub(crate) fn task(&self, n: u64) -> Value {
        self.get(&format!("/task/{}", id(n))).json()
    }

    /// Posts a task, which must be accepted.
    #[track_caller]
    pub(crate) fn post_task(&self, task: impl Into<String>) {
        self.post("/task", task).is_empty();
    }

    /// Polls, and returns the ids of the tasks that are handed out.
    #[track_caller]
    pub(crate) fn poll(&self, poll: impl Into<String>) -> Vec<String> {
        let answer = self.post("/tasks", poll).json();
        let tasks = answer["tasks"].as_array().expect("a list of tasks");
        tasks.iter().map(|task| task["task_id"].as_str().expect("an id").to_owned()).collect()
    }

    #[track_caller]
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Answer {
        match self.try_send(method, path, headers, body) {
            Ok(answer) => answer,
            Err(error) => panic!("{method} {path}: {error}"),
        }
    }

    /// Like [`Client::send`], to a server that may be gone.
    pub(crate) fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Result<Answer, ureq::Error> {
        let mut request =
            ureq::http::Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body.as_ref();
        let answer = if body.is_empty() && method != "POST" {
            self.http.run(request.body(()).expect("a request"))
        } else {
            self.http.run(request.body(body).expect("a request"))
        };
        answer.and_then(|answer| Answer::read(format!("{method} {path}"), answer))
    }

    /// Opens a connection to write bytes to.
    #[track_caller]
    pub(crate) fn connect(&self) -> Connection {
        Connection::new(TcpStream::connect(self.address).expect("it listens"))
    }

    /// Says whether the server accepts connections.
    pub(crate) fn listens(&self) -> bool {
        TcpStream::connect(self.address).is_ok()
    }
}
