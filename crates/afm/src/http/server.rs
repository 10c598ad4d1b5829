//! Accepts connections and serves them, until it is told to stop.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::http::connections::Connections;
pub use crate::http::keepalive::find_the_vanished;
use crate::http::memory::Memory;
use crate::http::overload::{PacedService, Pacing};
use crate::http::peer::Peer;
use crate::http::peer::io::Io;

/// The limits of connections: their times, their number and their memory.
#[derive(Debug, Clone, Copy)]
pub struct ServerLimits {
    /// How long the head of a request may take, counted from the end of the request before: a connection that
    /// sends nothing for this long is closed.
    pub idle: Duration,
    /// How long a client may take to read some of its answer before the connection is closed.
    pub write: Duration,
    /// How long requests under way may go on after the server was told to stop.
    pub shutdown: Duration,
    /// The most connections.
    pub connections: usize,
    /// How many bytes large bodies that arrive and large answers that are not read yet may take together.
    pub memory: usize,
}

/// The head of a request may have this many bytes. Hyper also reads a body in parts of at most this size.
const HEAD: usize = 64 * 1024;

/// This many connections may wait to be accepted, unless the kernel allows fewer (`net.core.somaxconn`). Any
/// more are not refused, but try again after a second, then after two more: a fleet that starts at once must
/// find room.
const BACKLOG: u32 = 16_384;

/// After an error of `accept`, such as too many open files, and while there are too many connections, the
/// server waits this long.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// If a port that is free on the first address is taken on the next, another one is tried, this many times.
const PORTS: usize = 20;

/// Listens on all addresses of `host`, on the same port. Addresses that this machine does not have are
/// skipped.
///
/// # Errors
/// Fails when the host has no address, or when one of them is taken or not allowed.
pub async fn listen(host: &str, port: u16) -> io::Result<Vec<TcpListener>> {
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in lookup_host((host, port)).await? {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    for _ in 1..PORTS {
        match listen_on_all(&addresses) {
            Err(error) if port == 0 && error.kind() == io::ErrorKind::AddrInUse => {}
            done => return done,
        }
    }
    listen_on_all(&addresses)
}

fn listen_on_all(addresses: &[SocketAddr]) -> io::Result<Vec<TcpListener>> {
    let mut listeners: Vec<TcpListener> = Vec::new();
    let mut none = io::Error::new(io::ErrorKind::AddrNotAvailable, "the host has no address");
    for &(mut address) in addresses {
        if let Some(first) = listeners.first() {
            address.set_port(first.local_addr()?.port());
        }
        match listen_on(address) {
            Ok(listener) => listeners.push(listener),
            Err(error) if is_of_no_use(&error) => none = error,
            Err(error) => return Err(error),
        }
    }
    if listeners.is_empty() { Err(none) } else { Ok(listeners) }
}

/// Says whether this machine does not have the address: `/etc/hosts` names `::1` also where IPv6 is turned
/// off.
fn is_of_no_use(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    #[cfg(not(windows))]
    // Without this option, the port would stay taken for a minute after the connections of a server that ran
    // before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves `router` on `listeners` until `stop`, then lets requests finish. Requests that still run after
/// [`ServerLimits::shutdown`], or at `abort`, are cut off.
pub async fn serve(
    listeners: Vec<TcpListener>,
    router: Router,
    limits: ServerLimits,
    stop: CancellationToken,
    abort: CancellationToken,
) {
    for listener in &listeners {
        if let Err(error) = find_the_vanished(listener) {
            tracing::warn!(
                %error,
                "could not set the keepalive of connections: clients that vanish will not be noticed"
            );
        }
    }
    let mut server = Server::new(router, limits);
    let mut was_full = false;
    loop {
        let has_place = server.open.has_place();
        tokio::select! {
            // A connection has ended.
            Some(_) = server.connections.join_next() => {}
            stream = accept(&listeners), if has_place => {
                let has_room = server.open.make_room();
                if !has_room && !was_full {
                    tracing::warn!(
                        limit = limits.connections,
                        "all connections are in use: only reads are served beyond them"
                    );
                }
                was_full = !has_room;
                server.serve(stream, !has_room);
            }
            () = tokio::time::sleep(ACCEPT_AGAIN), if !has_place => {}
            () = stop.cancelled() => break,
        }
    }
    drop(listeners);
    let Server { graceful, mut connections, open, .. } = server;
    let cut_off = |why: &str| {
        // Nobody waits for an answer on a connection that has not sent a whole head.
        let requests = open.busy();
        if requests > 0 {
            tracing::warn!(requests, "{why}");
        }
    };
    tokio::select! {
        () = graceful.shutdown() => {}
        () = tokio::time::sleep(limits.shutdown) => {
            cut_off("requests did not finish in time: they are cut off");
        }
        () = abort.cancelled() => cut_off("told to stop at once: requests are cut off"),
    }
    connections.shutdown().await;
}

struct Server {
    http: http1::Builder,
    router: Router,
    limits: ServerLimits,
    graceful: GracefulShutdown,
    connections: JoinSet<()>,
    open: Arc<Connections>,
    memory: Arc<Memory>,
}

impl Server {
    fn new(router: Router, limits: ServerLimits) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(limits.idle);
        http.max_buf_size(HEAD).max_header_size(HEAD);
        // `Peer` notices clients that hang up.
        http.half_close(true);
        Self {
            http,
            router,
            limits,
            graceful: GracefulShutdown::new(),
            connections: JoinSet::new(),
            open: Connections::new(limits.connections),
            memory: Memory::new(limits.memory),
        }
    }

    fn serve(&mut self, stream: TcpStream, is_extra: bool) {
        let (memory, places) = (Arc::clone(&self.memory), Arc::clone(&self.open.places));
        let (peer, read) = Peer::new(stream, is_extra, memory, places);
        let service = TowerToHyperService::new(self.router.clone());
        let service = PacedService { service, connection: Pacing::default() };
        let service = PeerService { service, peer: Arc::clone(&peer) };
        let io = TokioIo::new(Io::new(Arc::clone(&peer), read, self.limits.write));
        let connection = self.graceful.watch(self.http.serve_connection(io, service));
        let is_open = self.open.add(&peer);
        let served = Arc::clone(&peer);
        let abort = self.connections.spawn(async move {
            // An error of the client is no concern of the server's.
            if let Some(Err(error)) = served.serve(connection).await {
                tracing::debug!(%error, "a connection ended with an error");
            }
            served.conclude().await;
            drop(is_open);
        });
        peer.set_abort(abort);
    }
}

/// Tells a [`Peer`] of each request that comes on its connection.
struct PeerService<S> {
    service: S,
    peer: Arc<Peer>,
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for PeerService<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, request: Request<B>) -> S::Future {
        self.peer.request_came();
        self.service.call(request)
    }
}

async fn accept(listeners: &[TcpListener]) -> TcpStream {
    loop {
        match poll_fn(|cx| poll_accept(listeners, cx)).await {
            Ok(stream) => return stream,
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "could not accept a connection");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

fn poll_accept(listeners: &[TcpListener], cx: &mut Context<'_>) -> Poll<io::Result<TcpStream>> {
    for listener in listeners {
        if let Poll::Ready(accepted) = listener.poll_accept(cx) {
            return Poll::Ready(accepted.map(|(stream, _)| stream));
        }
    }
    Poll::Pending
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_addresses_of_a_name_have_the_same_port() {
        let addresses = ["127.0.0.1:0", "127.0.0.2:0", "127.0.0.3:0"].map(|address| address.parse().unwrap());
        let listeners = listen_on_all(&addresses).unwrap();
        let listening: Vec<SocketAddr> = listeners.iter().map(|it| it.local_addr().unwrap()).collect();
        assert_eq!(listening.iter().map(SocketAddr::ip).collect::<Vec<_>>(), addresses.map(|it| it.ip()));
        assert!(listening.iter().all(|it| it.port() == listening[0].port() && it.port() != 0));
        // An address that is taken is an error, since its clients would reach another server.
        drop(listeners);
        let _taken = TcpListener::bind(listening[2]).await.unwrap();
        assert_eq!(listen_on_all(&listening).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        // An address that is not of this machine is skipped.
        let foreign: SocketAddr = "192.0.2.1:0".parse().unwrap();
        assert_eq!(listen_on_all(&[foreign, addresses[0]]).unwrap().len(), 1);
        assert!(listen_on_all(&[foreign]).is_err() && listen_on_all(&[]).is_err());
    }
}
