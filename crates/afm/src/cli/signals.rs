//! Signals: the first SIGTERM or SIGINT lets requests finish, the second cuts them off. SIGHUP opens LOG_FILE
//! again, as logrotate needs.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::logging::LogWriter;

/// The tokens that signals cancel.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shutdown {
    /// Cancelled: the server accepts nothing more and finishes what runs.
    pub(crate) stop: CancellationToken,
    /// Cancelled: the server drops what runs.
    pub(crate) abort: CancellationToken,
}

impl Shutdown {
    /// Starts to handle signals.
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
