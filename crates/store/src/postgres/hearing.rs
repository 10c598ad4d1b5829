//! Whether other AFMs are heard.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// One for all connections.
#[derive(Debug, Default)]
pub(super) struct Hearing(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Whether notifications are listened for.
    listening: bool,
    /// Whether others may not be able to send any.
    muffled: bool,
}

impl Hearing {
    pub(super) fn is_sure(&self) -> bool {
        let state = self.state();
        state.listening && !state.muffled
    }

    /// Notifications are listened for, as long as what this returns lives.
    pub(super) fn listen(&self) -> Listening<'_> {
        self.state().listening = true;
        Listening(self)
    }

    /// Whether others may not be able to send any, although they are listened for. Says whether that is news.
    pub(super) fn muffle(&self, muffled: bool) -> bool {
        std::mem::replace(&mut self.state().muffled, muffled) != muffled
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Listening<'h>(&'h Hearing);

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        self.0.state().listening = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_to_those_who_cannot_speak_is_not_sure() {
        let hearing = Hearing::default();
        assert!(!hearing.is_sure());
        let listening = hearing.listen();
        assert!(hearing.is_sure());
        assert!(hearing.muffle(true) && !hearing.muffle(true));
        assert!(!hearing.is_sure());
        assert!(hearing.muffle(false) && hearing.is_sure());
        drop(listening);
        assert!(!hearing.is_sure());
    }
}
