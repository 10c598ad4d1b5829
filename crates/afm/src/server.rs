//! Accepts connections and serves them, until it is told to stop.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

use crate::retry_after::{Carried, Connection};

/// How long connections may be idle, and how long they get to finish.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long the head of a request may take, counted from the end of the one before: a connection that
    /// sends nothing for this long is closed.
    pub idle: Duration,
    /// How long a client may take to read some of its answer before the connection is closed.
    pub write: Duration,
    /// How long requests that run may go on after the server was told to stop.
    pub shutdown: Duration,
}

/// How many connections may wait to be accepted; the kernel may allow fewer (`net.core.somaxconn`). One too many is not
/// refused, but tries again after a second, then after two more: a fleet that starts at once must find room.
const BACKLOG: u32 = 16_384;

/// How long to wait after an error of `accept`, such as too many open files.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Listens on the first address of `host` that can be had.
///
/// # Errors
/// When the host has no address, or the last of them cannot be had.
pub async fn listen(host: &str, port: u16) -> io::Result<TcpListener> {
    let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "the host has no address");
    for address in lookup_host((host, port)).await? {
        match listen_on(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    #[cfg(not(windows))]
    // Or the port could not be had for a minute after the connections of a server that was here before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves `router` on `listener` until `stop`, then finishes what runs; what still runs after
/// [`Limits::shutdown`], or at `abort`, is cut off.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
    abort: CancellationToken,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.idle);
    let graceful = GracefulShutdown::new();
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = accept(&listener) => accepted,
            // Reap what has ended.
            Some(_) = connections.join_next() => continue,
            () = stop.cancelled() => break,
        };
        let service = TowerToHyperService::new(router.clone());
        let service = Carried { service, connection: Connection::default() };
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(limits.write));
        let connection = graceful.watch(http.serve_connection(TokioIo::new(Box::pin(stream)), service));
        connections.spawn(async move {
            // A client that hangs up or sends no HTTP is its own concern.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended");
            }
        });
    }
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => {}
        () = tokio::time::sleep(limits.shutdown) => {
            tracing::warn!(connections = connections.len(), "requests did not finish in time: they are cut off");
        }
        () = abort.cancelled() => {
            tracing::warn!(connections = connections.len(), "told to stop at once: requests are cut off");
        }
    }
    connections.shutdown().await;
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Answers are one small packet: there is nothing to gather.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "no TCP_NODELAY");
                }
                return stream;
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}
