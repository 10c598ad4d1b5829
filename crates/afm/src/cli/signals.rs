//! Signals. Soft and hard stop: the first SIGTERM or SIGINT drains, the second cuts off. SIGHUP opens LOG_FILE again,
//! as logrotate asks for.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::logging::LogWriter;

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
    pub(crate) fn on_signals(log: LogWriter) -> io::Result<Self> {
        let shutdown = Self::default();
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let mut hup = signal(SignalKind::hangup())?;
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
        tokio::spawn(async move {
            while hup.recv().await.is_some() {
                if !log.reopen() {
                    tracing::info!("SIGHUP: there is no LOG_FILE to open again");
                }
            }
        });
        Ok(shutdown)
    }
}
