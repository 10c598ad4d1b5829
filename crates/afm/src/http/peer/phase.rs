//! What a connection is doing, and since when.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// The last request was answered, and nothing has come since.
    Idle,
    /// A head is arriving, or has yet to begin on a new connection.
    Head,
    /// A body is arriving.
    Body,
    /// A request is being answered.
    Answering,
    /// A request is held open.
    Held,
    /// An answer is being written, and the client does not read it.
    Writing,
    /// The connection is being closed to make room.
    Closing,
}

impl Phase {
    const ALL: [Self; 7] =
        [Self::Idle, Self::Head, Self::Body, Self::Answering, Self::Held, Self::Writing, Self::Closing];
}

/// The phase of a connection, which may change at any time.
pub(super) struct PhaseCell {
    phase: AtomicU8,
    /// When the phase began, if it may last, in milliseconds since [`START`].
    since: AtomicU64,
}

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

fn now_ms() -> u64 {
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl PhaseCell {
    pub(super) fn new(phase: Phase) -> Self {
        Self { phase: AtomicU8::new(phase as u8), since: AtomicU64::new(now_ms()) }
    }

    pub(super) fn get(&self) -> Phase {
        Phase::ALL[usize::from(self.phase.load(Ordering::Relaxed))]
    }

    /// Returns how long the connection has been in its phase.
    pub(super) fn age(&self) -> Duration {
        Duration::from_millis(now_ms().saturating_sub(self.since.load(Ordering::Relaxed)))
    }

    /// Sets the phase, and returns the one before.
    pub(super) fn swap(&self, phase: Phase) -> Phase {
        Phase::ALL[usize::from(self.phase.swap(phase as u8, Ordering::AcqRel))]
    }

    /// Sets the phase if it is `before`, and says whether it was.
    pub(super) fn turn(&self, before: Phase, phase: Phase) -> bool {
        self.phase.compare_exchange(before as u8, phase as u8, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Notes that the phase that is about to be set begins now.
    pub(super) fn begins_now(&self) {
        self.since.store(now_ms(), Ordering::Relaxed);
    }
}
