//! Soft and hard stop: the first SIGTERM or SIGINT drains, the second cuts off.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Tokens that signals cancel.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shutdown {
    /// Accept nothing more and finish what runs.
    pub(crate) stop: CancellationToken,
    /// Drop what runs.
    pub(crate) abort: CancellationToken,
}

impl Shutdown {
    /// Starts to listen for signals.
    pub(crate) fn on_signals() -> io::Result<Self> {
        let shutdown = Self::default();
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let tokens = shutdown.clone();
        tokio::spawn(async move {
            for token in [tokens.stop, tokens.abort] {
                let name = tokio::select! {
                    _ = term.recv() => "SIGTERM",
                    _ = int.recv() => "SIGINT",
                };
                tracing::info!(signal = name, "stopping");
                token.cancel();
            }
        });
        Ok(shutdown)
    }
}
