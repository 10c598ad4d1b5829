//! Bounds what a server may send before the head of its answer is there.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// So many bytes are read until then: a head, and what is read together with it. A server could send interim answers
/// (100 to 199) without end, which would take all the time of a thread.
const MOST: usize = 1024 * 1024;

/// A connection from which no more is read until somebody says that the head is there.
#[derive(Debug)]
pub(super) struct HeadLimit<S> {
    stream: S,
    read: usize,
    has_head: Arc<AtomicBool>,
}

impl<S> HeadLimit<S> {
    /// Limits a connection until the flag is set.
    pub(super) fn new(stream: S, has_head: Arc<AtomicBool>) -> Self {
        Self { stream, read: 0, has_head }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HeadLimit<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read >= MOST && !self.has_head.load(Ordering::Acquire) {
            let problem = format!("it sent {} KiB, and no answer is complete", MOST / 1024);
            return Poll::Ready(Err(io::Error::other(problem)));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.read = self.read.saturating_add(buffer.filled().len() - before);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HeadLimit<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
