//! Tasks in an answer that is on its way to an agent.

use std::time::{Duration, Instant};

/// After a client has closed its side, a reset may still come within this time, which says that it does not
/// read. It is longer than a round trip.
pub(super) const RESET_COMES: Duration = Duration::from_secs(1);

/// What is given back if the answer does not get to its client.
pub(crate) struct Outstanding {
    give_back: Box<dyn FnOnce() + Send>,
    /// Whether the client had not closed its side when the answer began to be written.
    pub(super) was_open: bool,
    written: Option<Instant>,
}

/// How far an answer has got.
pub(super) enum AnswerFate {
    /// Not all of it was written: no client can have read it.
    NotWritten,
    /// All of it has been with the kernel for this long.
    Written(Duration),
    /// All of it is with the kernel, but the client had closed its side before.
    AfterClose,
}

impl Outstanding {
    pub(crate) fn new(give_back: Box<dyn FnOnce() + Send>) -> Self {
        Self { give_back, was_open: true, written: None }
    }

    pub(super) fn written(&mut self) {
        self.written.get_or_insert_with(Instant::now);
    }

    pub(super) fn left(&self) -> AnswerFate {
        match self.written {
            None => AnswerFate::NotWritten,
            Some(at) if self.was_open => AnswerFate::Written(at.elapsed()),
            Some(_) => AnswerFate::AfterClose,
        }
    }

    pub(crate) fn give_back(self) {
        (self.give_back)();
    }
}
