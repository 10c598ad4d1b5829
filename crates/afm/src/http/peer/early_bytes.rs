//! What a client sends ahead of its turn: read so that a hang-up is noticed, and kept until hyper reads it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::io::ReadBuf;

/// How much is kept while a request is being answered, in bytes.
const MOST_BYTES: usize = 8 * 1024;

#[derive(Default)]
pub(super) struct EarlyBytes {
    bytes: Mutex<Vec<u8>>,
    /// Whether there are any: asked with every read and write.
    is_any: AtomicBool,
}

impl EarlyBytes {
    /// Whether there are any, as far as it matters to the task that reads and writes.
    pub(super) fn is_any(&self) -> bool {
        self.is_any.load(Ordering::Relaxed)
    }

    /// Adds some; gives whether no more are to be read.
    pub(super) fn add(&self, bytes: &[u8]) -> bool {
        let mut early = self.lock();
        early.extend_from_slice(bytes);
        self.is_any.store(true, Ordering::Release);
        early.len() >= MOST_BYTES
    }

    /// Moves as many as there is room for into `buf`; gives whether there were any.
    pub(super) fn take_into(&self, buf: &mut ReadBuf<'_>) -> bool {
        if !self.is_any.load(Ordering::Acquire) {
            return false;
        }
        let mut early = self.lock();
        let length = early.len().min(buf.remaining());
        buf.put_slice(&early[..length]);
        early.drain(..length);
        if early.is_empty() {
            *early = Vec::new();
            self.is_any.store(false, Ordering::Release);
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
