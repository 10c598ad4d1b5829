//! A connection as hyper reads and writes it.

use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;
use tokio::time::Sleep;

use super::Peer;
use super::phase::Phase;

/// A connection, as hyper sees it.
pub(crate) struct Io {
    peer: Arc<Peer>,
    read: OwnedReadHalf,
    /// How long a client may take to read some of its answer.
    write_timeout: Duration,
    /// The timer, which runs while nothing can be written.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Io {
    pub(crate) fn new(peer: Arc<Peer>, read: OwnedReadHalf, write_timeout: Duration) -> Self {
        Self { peer, read, write_timeout, timer: None }
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
                    if self.peer.early.is_any() {
                        // The next request is here already, and perhaps nothing more will come that wakes
                        // this task.
                        cx.waker().wake_by_ref();
                    }
                    return Poll::Ready(Ok(length));
                }
            }
        }
        self.peer.blocked();
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.write_timeout)));
        match timer.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        if !this.peer.early.take_into(buf) {
            match Pin::new(&mut this.read).poll_read(cx, buf) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    // This comes from the kernel: no limit of the server ends a read.
                    if error.kind() == ErrorKind::TimedOut {
                        this.peer.timed_out.store(true, Ordering::Relaxed);
                    }
                    return Poll::Ready(Err(error));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        if buf.filled().len() > before && this.peer.phase() == Phase::Idle {
            // What comes while the connection is being closed comes too late.
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
