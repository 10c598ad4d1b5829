//! Starts to send spans, and sends the last ones at the end.

use std::sync::Arc;
use std::time::Duration;

use slamon_store::Store;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::traces::{Sampler, Tracer};

/// The last spans have this long.
const LAST_SPANS: Duration = Duration::from_secs(3);

/// What sends spans in the background.
pub(super) struct Sending {
    stop: CancellationToken,
    worker: JoinHandle<()>,
}

/// Starts to send spans to OTEL_EXPORTER_OTLP_ENDPOINT, if there is one.
pub(super) fn start(config: &Config, store: &Arc<dyn Store>) -> anyhow::Result<(Tracer, Option<Sending>)> {
    let Some(endpoint) = &config.otlp_endpoint else { return Ok((Tracer::default(), None)) };
    for variable in ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"] {
        if std::env::var(variable).is_ok_and(|protocol| !matches!(&*protocol, "" | "http/protobuf")) {
            tracing::warn!("{variable} is not followed: spans are sent as http/protobuf");
        }
    }
    let sampler = Sampler::from_environment().map_err(anyhow::Error::msg)?;
    let stop = CancellationToken::new();
    let (tracer, worker) = Tracer::start(endpoint, sampler, Arc::clone(store), stop.clone())
        .map_err(|problem| anyhow::anyhow!("OTEL_EXPORTER_OTLP_ENDPOINT: cannot send spans: {problem}"))?;
    if sampler.sends_nothing() {
        return Ok((Tracer::default(), None));
    }
    Ok((tracer, Some(Sending { stop, worker: tokio::spawn(worker.run()) })))
}

impl Sending {
    /// Sends the last spans, for as long as there is time and nobody aborts.
    pub(super) async fn finish(mut self, time_left: Duration, abort: &CancellationToken) {
        self.stop.cancel();
        tokio::select! {
            _ = &mut self.worker => {}
            () = tokio::time::sleep(time_left.min(LAST_SPANS)) => {
                tracing::warn!("the last spans were dropped: the collector did not take them in time");
            }
            () = abort.cancelled() => {}
        }
        // The store is closed next.
        self.worker.abort();
    }
}
