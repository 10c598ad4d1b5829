//! The tasks that batches of this AFM are claiming at this moment.
//!
//! Batches that run at the same time leave each other's tasks alone, instead of waiting for their locks.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

/// Which tasks are being claimed, for all connections of this AFM.
#[derive(Debug, Default)]
pub(super) struct Claiming(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    /// The number of the next batch.
    next: u64,
    /// Tasks, each with the number of the batch that is claiming it.
    tasks: HashMap<Uuid, u64>,
}

/// Stands for one batch that claims tasks. The batch's tasks are free again when this is dropped.
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
        ClaimingBatch { claiming: self, number }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClaimingBatch<'_> {
    /// Takes tasks for this batch, until it ends. Those that another batch has taken stay with that one.
    pub(super) fn take(&self, ids: impl IntoIterator<Item = Uuid>) {
        let mut taken = self.claiming.taken();
        for id in ids {
            taken.tasks.entry(id).or_insert(self.number);
        }
    }

    /// The tasks that other batches are claiming.
    pub(super) fn taken_by_others(&self) -> HashSet<Uuid> {
        let tasks = &self.claiming.taken().tasks;
        tasks.iter().filter(|(_, batch)| **batch != self.number).map(|(id, _)| *id).collect()
    }
}

impl Drop for ClaimingBatch<'_> {
    fn drop(&mut self) {
        self.claiming.taken().tasks.retain(|_, batch| *batch != self.number);
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
        one.take([a, b]);
        other.take([b, c]);
        assert_eq!(one.taken_by_others(), HashSet::from([c]));
        assert_eq!(other.taken_by_others(), HashSet::from([a, b]));
        drop(one);
        assert_eq!(other.taken_by_others(), HashSet::new());
    }
}
