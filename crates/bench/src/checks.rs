//! What must hold, whatever the load.

use serde::Serialize;

/// How often something was wrong with a task.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Checks {
    /// Posted and accepted, but never handed out, or never seen finished.
    pub lost: u64,
    /// Handed out more than once.
    pub twice: u64,
    /// Came back other than it was posted or reported, or was never posted.
    pub altered: u64,
}

impl Checks {
    /// Whether nothing was wrong.
    #[must_use]
    pub fn passed(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.lost += other.lost;
        self.twice += other.twice;
        self.altered += other.altered;
    }
}
