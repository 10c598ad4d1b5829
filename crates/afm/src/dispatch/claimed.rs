//! What a poll has brought, with the way to give it back until an answer carries it.

use std::fmt;
use std::ops::Deref;

use slamon_domain::Polled;

/// Gives back what a poll has brought: its tasks wait again, and its agent is told again.
pub type GiveBack = Box<dyn FnOnce() + Send>;

/// What a poll has brought. Dropped, it is given back.
#[derive(Default)]
#[must_use]
pub struct Claimed {
    polled: Polled,
    /// `None` if there is nothing to be given back.
    give_back: Option<GiveBack>,
}

impl Claimed {
    /// Creates what is given back by `give_back`.
    pub fn new(polled: Polled, give_back: impl FnOnce() + Send + 'static) -> Self {
        Self { polled, give_back: Some(Box::new(give_back)) }
    }

    /// Takes it apart. If the agent does not get it, the caller gives it back from now on.
    #[must_use]
    pub fn into_parts(mut self) -> (Polled, Option<GiveBack>) {
        (std::mem::take(&mut self.polled), self.give_back.take())
    }
}

impl From<Polled> for Claimed {
    /// Creates what need not be given back, because it is empty.
    fn from(polled: Polled) -> Self {
        Self { polled, give_back: None }
    }
}

impl Deref for Claimed {
    type Target = Polled;

    fn deref(&self) -> &Polled {
        &self.polled
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        if let Some(give_back) = self.give_back.take() {
            give_back();
        }
    }
}

impl fmt::Debug for Claimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.polled.fmt(f)
    }
}

/// Compares what was brought.
#[cfg(test)]
impl PartialEq for Claimed {
    fn eq(&self, other: &Self) -> bool {
        self.polled == other.polled
    }
}
