//! Sets of states.

use slamon_domain::StateName;

/// A set of states; all of them by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct States(u16);

impl Default for States {
    fn default() -> Self {
        Self::ALL
    }
}

impl States {
    /// All states.
    pub const ALL: Self = Self::of(&StateName::ALL);

    /// Those of tasks that have not ended.
    pub const UNFINISHED: Self = Self::of(&[StateName::Delayed, StateName::Pending, StateName::Claimed]);

    /// Those of tasks that ended without a result.
    pub const UNSUCCESSFUL: Self = Self::of(&[
        StateName::Failed,
        StateName::Lost,
        StateName::TimedOut,
        StateName::Expired,
        StateName::Cancelled,
    ]);

    /// Makes the set of these states.
    #[must_use]
    pub const fn of(states: &[StateName]) -> Self {
        let (mut set, mut n) = (0, 0);
        while n < states.len() {
            set |= 1 << states[n] as u16;
            n += 1;
        }
        Self(set)
    }

    /// Whether a state is in it.
    #[must_use]
    pub fn contains(self, state: StateName) -> bool {
        self.0 & (1 << state as u16) != 0
    }

    /// Returns the states that are in both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether no state is in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of its states are in `other`.
    #[must_use]
    pub fn are_among(self, other: Self) -> bool {
        self.and(other) == self
    }

    /// The names of its states.
    pub(crate) fn names(self) -> Vec<&'static str> {
        StateName::ALL.iter().filter(|state| self.contains(**state)).map(|state| state.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_into_it() {
        let set = States::of(&[StateName::Lost, StateName::Pending]);
        assert_eq!(set.names(), ["pending", "lost"]);
        assert_eq!(set.and(States::UNSUCCESSFUL).names(), ["lost"]);
        assert!(States::UNFINISHED.are_among(States::ALL) && !States::ALL.are_among(States::UNFINISHED));
        assert!(States::UNFINISHED.and(States::UNSUCCESSFUL).is_empty());
        assert_eq!(States::default().names().len(), StateName::ALL.len());
    }
}
