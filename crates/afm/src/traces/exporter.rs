//! Sends spans to a collector, over OTLP in Protobuf over HTTP.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use super::client::Client;
use super::inbox::SpanCounts;
use crate::logging::failure_log::{FailureLog, ShouldLog};

/// A request may take this long. What may pass (no answer, 429, 502, 503, 504) is tried again up to three times,
/// within this time from the first one.
const TIMEOUT: Duration = Duration::from_secs(5);

/// So many spans are sent at once.
pub(super) const BATCH: usize = 512;

/// So many batches may wait for the collector.
const QUEUED: usize = 64;

/// Sends spans on a thread of its own, which nobody waits for at the end of the program.
#[derive(Debug)]
pub(super) struct Exporter {
    batches: mpsc::Sender<Vec<SpanData>>,
    ended: oneshot::Receiver<()>,
    counts: Arc<SpanCounts>,
}

impl Exporter {
    /// Starts to send to `endpoint`, a URL without the path of traces.
    ///
    /// # Errors
    /// Fails with one line if nothing can ever be sent there.
    pub(super) fn start(endpoint: &str, counts: Arc<SpanCounts>) -> Result<Self, String> {
        check_headers()?;
        let with_tls = endpoint.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"));
        let client = Client::new(with_tls, TIMEOUT)?;
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client.clone())
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_timeout(TIMEOUT)
            .build()
            .map_err(|error| error.to_string())?;
        exporter.set_resource(&resource());
        let (sender, batches) = mpsc::channel(QUEUED);
        let (has_ended, ended) = oneshot::channel();
        let sending = Sending {
            exporter,
            client,
            batches,
            counts: Arc::clone(&counts),
            failures: FailureLog::default(),
            refused: 0,
            has_warned: false,
        };
        let runtime = tokio::runtime::Handle::current();
        std::thread::Builder::new()
            .name("spans".to_owned())
            .spawn(move || {
                sending.send_all(&runtime);
                // At the end of the program nobody may wait any more.
                let _ = has_ended.send(());
            })
            .map_err(|error| error.to_string())?;
        Ok(Self { batches: sender, ended, counts })
    }

    /// Queues spans, or drops them if too many wait.
    pub(super) fn queue(&self, spans: Vec<SpanData>) {
        if let Err(TrySendError::Full(spans) | TrySendError::Closed(spans)) = self.batches.try_send(spans) {
            self.counts.no_room_for(spans.len());
        }
    }

    /// Queues spans as soon as there is room.
    pub(super) async fn wait_and_queue(&self, spans: Vec<SpanData>) {
        if let Err(dropped) = self.batches.send(spans).await {
            self.counts.no_room_for(dropped.0.len());
        }
    }

    /// Waits until all that is queued was sent, or dropped.
    pub(super) async fn finish(self) {
        drop(self.batches);
        // It fails if the thread has died, which then has nothing left.
        let _ = self.ended.await;
    }
}

/// What the thread has.
struct Sending {
    exporter: SpanExporter,
    client: Client,
    batches: mpsc::Receiver<Vec<SpanData>>,
    counts: Arc<SpanCounts>,
    failures: FailureLog,
    /// How many spans were refused since the log said last that the collector takes none, or takes them again.
    refused: u64,
    /// Whether the log's last word is that it takes none.
    has_warned: bool,
}

impl Sending {
    fn send_all(mut self, runtime: &tokio::runtime::Handle) {
        while let Some(spans) = self.batches.blocking_recv() {
            let number = spans.len() as u64;
            let sent = runtime.block_on(self.exporter.export(spans));
            let last = self.client.last_request();
            match sent {
                Ok(()) if last.rejected == 0 => self.taken(number),
                Ok(()) => {
                    let rejected = last.rejected.min(number);
                    self.counts.sent.fetch_add(number - rejected, Ordering::Relaxed);
                    self.refused(rejected, "it rejects some of them");
                }
                Err(error) => {
                    self.refused(number, &last.failure.unwrap_or_else(|| error.to_string()));
                }
            }
        }
    }

    fn taken(&mut self, number: u64) {
        self.counts.sent.fetch_add(number, Ordering::Relaxed);
        if self.has_warned {
            tracing::info!(dropped = self.refused, "the collector takes spans again");
            (self.has_warned, self.refused) = (false, 0);
        }
    }

    fn refused(&mut self, number: u64, error: &str) {
        self.counts.refused.fetch_add(number, Ordering::Relaxed);
        self.refused += number;
        if let ShouldLog::Yes { .. } = self.failures.note(error) {
            let dropped = self.refused;
            tracing::warn!(error, dropped, "the collector takes no spans: they are dropped until it does");
            self.has_warned = true;
        }
    }
}

/// Checks the variables with headers, since the exporter passes over what is wrong in them. No message shows what
/// they hold.
fn check_headers() -> Result<(), String> {
    for variable in ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"] {
        let headers = std::env::var(variable).unwrap_or_default();
        if let Some(place) = wrong_header(&headers) {
            return Err(format!("header {place} of {variable} is not NAME=VALUE"));
        }
    }
    Ok(())
}

/// Returns the place of the first header that cannot be sent.
fn wrong_header(headers: &str) -> Option<usize> {
    let is_right = |header: &str| {
        let Some((name, value)) = header.split_once('=') else { return false };
        let (name, value) = (name.trim(), value.trim());
        name.parse::<HeaderName>().is_ok() && !value.is_empty() && HeaderValue::from_str(value).is_ok()
    };
    headers.split_terminator(',').position(|header| !is_right(header)).map(|before| before + 1)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_cannot_be_sent_are_found() {
        for right in ["", "a=b", "a=b,c=d", " authorization = Basic%20YTpi== ,x-key=1,"] {
            assert_eq!(wrong_header(right), None, "{right}");
        }
        for (wrong, place) in
            [("secret", 1), ("a=b,secret", 2), ("a=", 1), ("=b", 1), ("a b=c", 1), ("a=b\u{1}c", 1)]
        {
            assert_eq!(wrong_header(wrong), Some(place), "{wrong}");
        }
    }
}
