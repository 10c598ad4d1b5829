//! The handshake that begins a TLS connection, and why it may fail.

use std::future::Future;
use std::io;
use std::pin::Pin;

use tokio_postgres::Socket;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;

type Connect = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;

/// Why a TLS connection could not be made.
#[derive(Debug, thiserror::Error)]
pub(in crate::postgres) enum TlsFailure {
    /// The files that the URI names, or the host's name, cannot be used.
    #[error("{0}")]
    Settings(String),
    /// Client and server do not agree, on a version or on whether a certificate can be trusted. The next try
    /// ends the same way.
    #[error(transparent)]
    Refused(rustls::Error),
    /// The connection broke.
    #[error(transparent)]
    Broken(io::Error),
}

impl From<io::Error> for TlsFailure {
    fn from(error: io::Error) -> Self {
        match error.downcast::<rustls::Error>() {
            Ok(refused) => Self::Refused(refused),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Self::Settings(error.to_string()),
            Err(error) => Self::Broken(error),
        }
    }
}

impl TlsFailure {
    /// The failure of TLS behind an error of tokio-postgres, if there is one.
    pub(in crate::postgres) fn of(error: &tokio_postgres::Error) -> Option<&Self> {
        std::error::Error::source(error)?.downcast_ref()
    }
}

/// A handshake whose errors are told apart by their kinds.
pub(in crate::postgres) struct Handshake(pub(super) Connect);

impl TlsConnect<Socket> for Handshake {
    type Stream = <Connect as TlsConnect<Socket>>::Stream;
    type Error = TlsFailure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, TlsFailure>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        let connecting = self.0.connect(socket);
        Box::pin(async { Ok(connecting.await?) })
    }
}
