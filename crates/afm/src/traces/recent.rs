//! Remembers what was used of late.

use std::collections::HashMap;

use uuid::Uuid;

/// Values by id: the last ones that were used, up to a bound.
#[derive(Debug)]
pub(super) struct Recent<T> {
    /// When these are as many as half of the bound, those before them are forgotten.
    young: HashMap<Uuid, T>,
    old: HashMap<Uuid, T>,
    half: usize,
}

impl<T> Recent<T> {
    pub(super) fn new(most: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half: most / 2 }
    }

    pub(super) fn insert(&mut self, id: Uuid, value: T) {
        if self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&id);
        self.young.insert(id, value);
    }

    pub(super) fn remove(&mut self, id: Uuid) -> Option<T> {
        self.young.remove(&id).or_else(|| self.old.remove(&id))
    }

    pub(super) fn contains(&self, id: Uuid) -> bool {
        self.young.contains_key(&id) || self.old.contains_key(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_remembered() {
        let mut recent = Recent::new(4);
        for n in 0..100_u128 {
            recent.insert(Uuid::from_u128(n), n);
            assert!(recent.young.len() + recent.old.len() <= 4);
            assert!(n == 0 || recent.contains(Uuid::from_u128(n - 1)));
        }
        assert!(!recent.contains(Uuid::from_u128(90)));
        assert_eq!(recent.remove(Uuid::from_u128(98)), Some(98));
        assert_eq!(recent.remove(Uuid::from_u128(98)), None);
        recent.insert(Uuid::from_u128(99), 0);
        assert_eq!(recent.remove(Uuid::from_u128(99)), Some(0));
        assert_eq!(recent.remove(Uuid::from_u128(99)), None);
    }
}
