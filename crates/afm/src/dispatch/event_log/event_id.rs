//! The ids of events, with which a watcher that has lost its connection says where to read on.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// The place behind an event: in which run of an AFM, and the number of the event that follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventId {
    run: u32,
    next: u64,
}

impl EventId {
    pub(super) fn new(run: u32, next: u64) -> Self {
        Self { run, next }
    }

    /// An id that is of no run that is known.
    pub(crate) fn unknown() -> Self {
        Self { run: Self::random_run(), next: 0 }
    }

    /// A number that hardly any other run has.
    pub(super) fn random_run() -> u32 {
        Uuid::new_v4().as_fields().0
    }

    /// The number of the event that follows, if the id is of this run.
    pub(super) fn of_run(self, run: u32) -> Option<u64> {
        (self.run == run).then_some(self.next)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{}", self.run, self.next)
    }
}

impl FromStr for EventId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (run, next) = text.split_once('-').ok_or(())?;
        Ok(Self { run: u32::from_str_radix(run, 16).map_err(drop)?, next: next.parse().map_err(drop)? })
    }
}
