//! Sends spans to a collector, over OTLP in Protobuf over HTTP.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::sync::oneshot;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// A request may take this long.
const TIMEOUT: Duration = Duration::from_secs(5);

/// So many bytes of an answer are read.
const LONGEST_ANSWER: u64 = 64 * 1024;

/// A batch that is to be sent, and who waits for it.
type Batch = (Vec<SpanData>, oneshot::Sender<Result<(), String>>);

/// Sends spans on a thread of its own, which nobody waits for at the end of the program.
#[derive(Debug)]
pub(super) struct Exporter(SyncSender<Batch>);

impl Exporter {
    /// Starts to send to `endpoint`, a URL without the path of traces.
    ///
    /// # Errors
    /// Fails with one line if nothing can ever be sent there.
    pub(super) fn start(endpoint: &str) -> Result<Self, String> {
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client(agent()))
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_timeout(TIMEOUT)
            .build()
            .map_err(|error| error.to_string())?;
        exporter.set_resource(&resource());
        let (sender, batches) = sync_channel(1);
        let runtime = tokio::runtime::Handle::current();
        std::thread::Builder::new()
            .name("spans".to_owned())
            .spawn(move || send_all(&exporter, &batches, &runtime))
            .map_err(|error| error.to_string())?;
        Ok(Self(sender))
    }

    /// Sends spans.
    ///
    /// # Errors
    /// Fails with the reason when the collector did not take them.
    pub(super) async fn send(&self, spans: Vec<SpanData>) -> Result<(), String> {
        let gone = || "the thread that sends spans has ended".to_owned();
        let (sender, sent) = oneshot::channel();
        // One caller waits for one batch after the other, so there is room, but for one that was given up.
        self.0.try_send((spans, sender)).map_err(|_| gone())?;
        sent.await.map_err(|_| gone())?
    }
}

fn send_all(exporter: &SpanExporter, batches: &Receiver<Batch>, runtime: &tokio::runtime::Handle) {
    while let Ok((spans, sent)) = batches.recv() {
        let done = runtime.block_on(exporter.export(spans)).map_err(|error| error.to_string());
        // Who waited may have given up.
        let _ = sent.send(done);
    }
}

/// What all spans are said to come from; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES overrule it.
fn resource() -> Resource {
    let found = Resource::builder().build();
    let name = found.get(&"service.name".into()).map(|name| name.to_string());
    if name.is_some_and(|name| !name.starts_with("unknown_service")) {
        return found;
    }
    Resource::builder().with_service_name("slamon-afm").build()
}

fn agent() -> Agent {
    let certificates = rustls_native_certs::load_native_certs().certs;
    let certificates: Vec<_> =
        certificates.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
    let tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&certificates)).build();
    Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .http_status_as_error(false)
        .max_redirects(0)
        .tls_config(tls)
        .build()
        .into()
}

#[derive(Debug)]
struct Client(Agent);

#[async_trait]
impl HttpClient for Client {
    /// Blocks the thread, on which nothing else runs.
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let answer = self.0.run(Request::from_parts(head, &*body))?;
        let (head, mut body) = answer.into_parts();
        let body = body.with_config().limit(LONGEST_ANSWER).read_to_vec()?;
        Ok(Response::from_parts(head, Bytes::from(body)))
    }
}
