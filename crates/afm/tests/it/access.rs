//! Tests who may do what.

mod agents;
mod clients;
mod routes;
mod tokens;

use slamon_afm::http::access::AccessSettings;

use crate::test_app::{Answer, Client, Setup, TestApp};

/// Starts an AFM that requires tokens.
#[track_caller]
fn start_guarded() -> TestApp {
    start(AccessSettings { required: true, shared_read: false })
}

#[track_caller]
fn start(access: AccessSettings) -> TestApp {
    let mut setup = Setup::default();
    setup.settings.access = access;
    setup.start()
}

/// A client that shows a token with each request.
struct Bearer<'a> {
    client: &'a Client,
    authorization: String,
}

impl<'a> Bearer<'a> {
    fn new(client: &'a Client, token: &str) -> Self {
        Self { client, authorization: format!("Bearer {token}") }
    }

    #[track_caller]
    fn send(&self, method: &str, path: &str, body: impl Into<String>) -> Answer {
        let headers = [("authorization", &*self.authorization), ("content-type", "application/json")];
        self.client.send(method, path, &headers, body.into())
    }

    #[track_caller]
    fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "")
    }

    #[track_caller]
    fn post(&self, path: &str, body: impl Into<String>) -> Answer {
        self.send("POST", path, body)
    }
}
