//! What a connection keeps for a request and its answer: memory, and what is given back if the answer is
//! lost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::outstanding::Outstanding;
use crate::http::memory::Lease;

#[derive(Default)]
pub(super) struct Holdings {
    /// Whether anything is kept, which every answer asks.
    is_any: AtomicBool,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// The memory of the request and its answer.
    leases: Vec<Lease>,
    /// How many bytes of it are for the answer.
    for_answer: usize,
    outstanding: Option<Outstanding>,
}

impl Holdings {
    /// Says whether anything may be kept.
    pub(super) fn is_any(&self) -> bool {
        self.is_any.load(Ordering::Acquire)
    }

    /// Drops all that is kept.
    pub(super) fn clear(&self) {
        if self.is_any.swap(false, Ordering::AcqRel) {
            drop(std::mem::take(&mut *self.lock()));
        }
    }

    /// Keeps memory until the answer has been written.
    pub(super) fn keep(&self, lease: Lease) {
        self.lock().leases.push(lease);
        self.is_any.store(true, Ordering::Release);
    }

    /// Keeps memory for `bytes` of the answer until that has been written.
    pub(super) fn keep_for_answer(&self, lease: Lease, bytes: usize) {
        self.lock().for_answer += bytes;
        self.keep(lease);
    }

    /// Returns how many bytes of the memory are for the answer.
    pub(super) fn for_answer(&self) -> usize {
        self.lock().for_answer
    }

    /// Keeps what is given back if the answer does not get to its client.
    pub(super) fn carry(&self, outstanding: Outstanding) {
        self.lock().outstanding = Some(outstanding);
        self.is_any.store(true, Ordering::Release);
    }

    pub(super) fn take_outstanding(&self) -> Option<Outstanding> {
        self.lock().outstanding.take()
    }

    /// Notes that the answer begins to be written, and whether the client's side is open then.
    pub(super) fn answer_begins(&self, is_open: bool) {
        if let Some(outstanding) = &mut self.lock().outstanding {
            outstanding.was_open = is_open;
        }
    }

    /// Notes that all of the answer is with the kernel, and frees its memory.
    pub(super) fn answer_written(&self) {
        let mut kept = self.lock();
        kept.leases.clear();
        kept.for_answer = 0;
        if let Some(outstanding) = &mut kept.outstanding {
            outstanding.written();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
