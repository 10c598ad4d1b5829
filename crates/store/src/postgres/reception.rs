//! Whether all notifications of other AFMs arrive.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Whether notifications arrive, as the connection that listens last found out.
#[derive(Debug, Default)]
pub(super) struct Reception(Mutex<ReceptionState>);

#[derive(Debug, Default)]
struct ReceptionState {
    /// Whether a connection listens for notifications.
    listening: bool,
    /// Whether the queue of notifications is so full that others may be unable to send any.
    queue_is_full: bool,
}

impl Reception {
    /// Whether every notification of other AFMs arrives.
    pub(super) fn is_complete(&self) -> bool {
        let state = self.state();
        state.listening && !state.queue_is_full
    }

    /// Notes that a connection listens, for as long as the guard lives.
    pub(super) fn listen(&self) -> ListeningGuard<'_> {
        self.state().listening = true;
        ListeningGuard(self)
    }

    /// Notes whether the queue of notifications is too full for others to send any. Returns whether that has
    /// changed.
    pub(super) fn set_queue_full(&self, queue_is_full: bool) -> bool {
        std::mem::replace(&mut self.state().queue_is_full, queue_is_full) != queue_is_full
    }

    fn state(&self) -> MutexGuard<'_, ReceptionState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Held while a connection listens for notifications.
pub(super) struct ListeningGuard<'h>(&'h Reception);

impl Drop for ListeningGuard<'_> {
    fn drop(&mut self) {
        self.0.state().listening = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reception_is_incomplete_while_others_may_be_unable_to_send() {
        let reception = Reception::default();
        assert!(!reception.is_complete());
        let listening = reception.listen();
        assert!(reception.is_complete());
        assert!(reception.set_queue_full(true) && !reception.set_queue_full(true));
        assert!(!reception.is_complete());
        assert!(reception.set_queue_full(false) && reception.is_complete());
        drop(listening);
        assert!(!reception.is_complete());
    }
}
