//! Bytes that a client sends while its last request is being answered. They are read so that a hang-up behind
//! them is noticed, and kept until hyper reads them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::io::ReadBuf;

/// At most about this many bytes are kept.
const MOST_BYTES: usize = 8 * 1024;

#[derive(Default)]
pub(super) struct EarlyBytes {
    bytes: Mutex<Vec<u8>>,
    /// Whether there are any, which every read and write asks.
    is_any: AtomicBool,
}

impl EarlyBytes {
    /// Says whether there are any.
    pub(super) fn is_any(&self) -> bool {
        self.is_any.load(Ordering::Relaxed)
    }

    /// Adds bytes; returns whether there is no room for more.
    pub(super) fn add(&self, bytes: &[u8]) -> bool {
        let mut early = self.lock();
        early.extend_from_slice(bytes);
        self.is_any.store(true, Ordering::Release);
        early.len() >= MOST_BYTES
    }

    /// Moves as many bytes as fit into `buf`; returns whether there were any.
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
