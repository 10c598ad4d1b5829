//! A connection as hyper reads and writes it.

use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::net::tcp::OwnedReadHalf;
use tokio::time::Sleep;

use super::{Peer, Phase};

/// After how much silence the kernel asks whether the other end is still there, and how often again. Later than
/// [`UNACKNOWLEDGED`], so that it is known which of the two a connection died of.
pub(super) const KEEPALIVE_IDLE: Duration = Duration::from_secs(45);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;

/// How long the kernel waits for the other end to say that it has got something, in milliseconds.
const UNACKNOWLEDGED: u32 = 30_000;

/// Has connections that are accepted from now on end when the other end has vanished. They inherit it, which costs no system
/// call a connection.
///
/// # Errors
/// When the system has no such options.
pub fn find_the_vanished(listener: &TcpListener) -> io::Result<()> {
    sockopt::set_socket_keepalive(listener, true)?;
    sockopt::set_tcp_keepidle(listener, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(listener, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(listener, KEEPALIVE_PROBES)?;
    sockopt::set_tcp_user_timeout(listener, UNACKNOWLEDGED)?;
    // Answers are one small packet: there is nothing to gather.
    sockopt::set_tcp_nodelay(listener, true)?;
    Ok(())
}

/// A connection, for hyper.
pub(crate) struct Io {
    peer: Arc<Peer>,
    read: OwnedReadHalf,
    /// How long a client may take to read some of its answer.
    patience: Duration,
    /// Runs while nothing can be written.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Io {
    pub(crate) fn new(peer: Arc<Peer>, read: OwnedReadHalf, patience: Duration) -> Self {
        Self { peer, read, patience, timer: None }
    }

    fn poll_writable(
        &mut self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&tokio::net::TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let stream = self.peer.stream.as_ref();
        while let Poll::Ready(writable) = stream.poll_write_ready(cx) {
            writable?;
            self.peer.writes();
            match write(stream) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(length) => {
                    self.timer = None;
                    self.peer.written();
                    if self.peer.is_early.load(Ordering::Relaxed) {
                        // The next request is here, and nothing more may come to wake anybody.
                        cx.waker().wake_by_ref();
                    }
                    return Poll::Ready(Ok(length));
                }
            }
        }
        self.peer.blocked();
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.patience)));
        match timer.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }

    /// What came too early for hyper to read it.
    fn take_early(&self, buf: &mut ReadBuf<'_>) -> bool {
        if !self.peer.is_early.load(Ordering::Acquire) {
            return false;
        }
        let mut early = self.peer.early();
        let length = early.len().min(buf.remaining());
        buf.put_slice(&early[..length]);
        early.drain(..length);
        if early.is_empty() {
            *early = Vec::new();
            self.peer.is_early.store(false, Ordering::Release);
        }
        true
    }
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        if !this.take_early(buf) {
            match Pin::new(&mut this.read).poll_read(cx, buf) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    // From the kernel: our own limits end nothing while reading.
                    if error.kind() == ErrorKind::TimedOut {
                        this.peer.timed_out.store(true, Ordering::Relaxed);
                    }
                    return Poll::Ready(Err(error));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        if buf.filled().len() > before && this.peer.phase() == Phase::Idle {
            // What comes while it is being closed comes too late.
            if !this.peer.head_begins() {
                buf.set_filled(before);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_writable(cx, |stream| stream.try_write(buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_writable(cx, |stream| stream.try_write_vectored(bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.peer.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match rustix::net::shutdown(self.peer.stream.as_ref(), rustix::net::Shutdown::Write) {
            Ok(()) | Err(rustix::io::Errno::NOTCONN) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}
