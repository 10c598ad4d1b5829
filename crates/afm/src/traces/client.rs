//! The HTTP client that requests with spans are sent by.

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// So many bytes of an answer are read.
const LONGEST_ANSWER: u64 = 64 * 1024;

/// A client, and what came of its last request. All clones are one.
#[derive(Debug, Clone)]
pub(super) struct Client {
    agent: Agent,
    last: Arc<Mutex<LastRequest>>,
}

/// What the exporter does not tell of a request.
#[derive(Debug, Default)]
pub(super) struct LastRequest {
    /// Why there was no answer.
    pub(super) failure: Option<String>,
    /// How many of its spans the collector has rejected, though it took the request.
    pub(super) rejected: u64,
}

impl Client {
    /// Creates a client of which a request takes `timeout` at most.
    ///
    /// # Errors
    /// Fails with one line if there is to be TLS and this machine trusts nobody.
    pub(super) fn new(with_tls: bool, timeout: Duration) -> Result<Self, String> {
        let mut config = Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .max_redirects(0);
        if with_tls {
            config = config.tls_config(tls()?);
        }
        Ok(Self { agent: config.build().into(), last: Arc::default() })
    }

    /// Takes what came of the last request.
    pub(super) fn last_request(&self) -> LastRequest {
        std::mem::take(&mut *self.last.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ureq::Error> {
        let (head, body) = request.into_parts();
        let answer = self.agent.run(Request::from_parts(head, &*body))?;
        let (head, mut body) = answer.into_parts();
        let mut text = Vec::new();
        // Its status says whether the spans were taken. An answer that is too long or breaks off does not change it.
        let _ = body.as_reader().take(LONGEST_ANSWER).read_to_end(&mut text);
        Ok(Response::from_parts(head, Bytes::from(text)))
    }
}

/// Trusts the authorities that this machine trusts.
fn tls() -> Result<TlsConfig, String> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let why = found.errors.first().map_or_else(|| "none were found".to_owned(), ToString::to_string);
        return Err(format!("there are no certificates of authorities that this machine trusts: {why}"));
    }
    let certificates: Vec<_> =
        found.certs.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
    Ok(TlsConfig::builder().root_certs(RootCerts::new_with_certs(&certificates)).build())
}

#[async_trait]
impl HttpClient for Client {
    /// Blocks the thread, on which nothing else runs.
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.send(request);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = match &answer {
            Ok(answer) => LastRequest { failure: None, rejected: rejected(answer.body()) },
            Err(error) => LastRequest { failure: Some(error.to_string()), rejected: 0 },
        };
        Ok(answer?)
    }
}

/// Reads how many spans an answer rejects.
fn rejected(body: &Bytes) -> u64 {
    let answer = ExportTraceServiceResponse::decode(&**body).unwrap_or_default();
    answer.partial_success.and_then(|partial| partial.rejected_spans.try_into().ok()).unwrap_or(0)
}
