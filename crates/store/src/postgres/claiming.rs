//! The tasks that batches of this AFM are claiming at this moment.
//!
//! Batches that run at the same time leave each other's tasks alone, instead of waiting for their locks. What a
//! batch has claimed may still look as if it waited to those that have looked before it ended: its tasks count as
//! taken until these have ended, too.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

/// Which tasks are being claimed, for all connections of this AFM.
#[derive(Debug, Default)]
pub(super) struct Claiming(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    /// The number of the next batch.
    next: u64,
    /// The batches that are under way.
    under_way: BTreeSet<u64>,
    /// Tasks, each with the number of the batch that is claiming it, or has claimed it.
    tasks: HashMap<Uuid, u64>,
    /// Batches that have ended, each with the number of the batch that began next.
    ended: HashMap<u64, u64>,
}

/// Stands for one batch that claims tasks, until it ends.
#[derive(Debug)]
pub(super) struct ClaimingBatch<'c> {
    claiming: &'c Claiming,
    number: u64,
}

impl Claiming {
    pub(super) fn begin(&self) -> ClaimingBatch<'_> {
        let mut taken = self.taken();
        let number = taken.next;
        taken.next += 1;
        taken.under_way.insert(number);
        ClaimingBatch { claiming: self, number }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClaimingBatch<'_> {
    /// Takes tasks for this batch. Those that another batch has taken stay with that one; returns whether there
    /// were none.
    pub(super) fn take(&self, ids: impl IntoIterator<Item = Uuid>) -> bool {
        let mut taken = self.claiming.taken();
        let mut has_all = true;
        for id in ids {
            has_all &= *taken.tasks.entry(id).or_insert(self.number) == self.number;
        }
        has_all
    }

    /// The tasks that other batches are claiming.
    pub(super) fn taken_by_others(&self) -> HashSet<Uuid> {
        let tasks = &self.claiming.taken().tasks;
        tasks.iter().filter(|(_, batch)| **batch != self.number).map(|(id, _)| *id).collect()
    }
}

impl Drop for ClaimingBatch<'_> {
    fn drop(&mut self) {
        let mut guard = self.claiming.taken();
        let Taken { next, under_way, tasks, ended } = &mut *guard;
        under_way.remove(&self.number);
        ended.insert(self.number, *next);
        let oldest = under_way.first().copied().unwrap_or(*next);
        ended.retain(|_, next| *next > oldest);
        tasks.retain(|_, batch| under_way.contains(batch) || ended.contains_key(batch));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_taken_by_one_at_a_time() {
        let claiming = Claiming::default();
        let [a, b, c] = [1, 2, 3].map(Uuid::from_u128);
        let (one, other) = (claiming.begin(), claiming.begin());
        assert!(one.take([a, b]));
        assert!(!other.take([b, c]));
        assert_eq!(one.taken_by_others(), HashSet::from([c]));
        assert_eq!(other.taken_by_others(), HashSet::from([a, b]));
        // The other may have looked before this one has committed.
        drop(one);
        assert_eq!(other.taken_by_others(), HashSet::from([a, b]));
        let later = claiming.begin();
        drop(other);
        assert_eq!(later.taken_by_others(), HashSet::from([c]));
        drop(claiming.begin());
        drop(later);
        assert_eq!(claiming.begin().taken_by_others(), HashSet::new());
    }
}
