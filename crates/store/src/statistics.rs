//! Statistics: what happened to the tasks of each type minute by minute, and how many there are in each state.
//!
//! Counts of what waits and runs are kept, since counting rows takes longer the more there are. They are kept as
//! the sum of all changes, which every AFM on the database adds up.

pub(crate) mod figures;
mod histogram;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use slamon_protocol::Capability;
use uuid::Uuid;

pub use self::figures::{Counter, Counters, MinuteStatistics, TypeFigures};
pub use self::histogram::{BUCKETS, Histogram};
use crate::error::StoreError;

/// Keeps statistics, beside the tasks that they are about.
#[async_trait]
pub trait StatisticsStore: Send + Sync + 'static {
    /// Whether other processes change the same counts.
    fn is_shared(&self) -> bool {
        false
    }

    /// Saves statistics, all of them or none. Changes that a count has seen already are left out.
    async fn save_statistics(&self, update: Arc<StatisticsUpdate>) -> Result<Saved, StoreError>;

    /// Counts the tasks that wait and run, and sets the kept counts right. It reads every one of them, so it may
    /// take minutes; nothing but the saving of statistics waits for it.
    async fn recount_tasks(&self) -> Result<Saved, StoreError>;

    /// Reads the statistics of each minute that began at or after `since`, the oldest first. What several AFMs
    /// have saved of a minute is added up.
    async fn statistics(&self, since: Timestamp) -> Result<Vec<MinuteStatistics>, StoreError>;

    /// Reads how many tasks there are in each state that is no end, as they are kept; `None` before they were
    /// counted for the first time.
    async fn task_counts(&self) -> Result<Option<TaskCounts>, StoreError>;

    /// Reads the kept counts of types that have tasks in such a state: at most `limit`, and those behind `after`,
    /// in an order of the store's own, in which the versions of a type are neighbours.
    async fn counts_by_type(
        &self,
        limit: u32,
        after: Option<Capability>,
    ) -> Result<Vec<TypeCounts>, StoreError>;

    /// Reads the kept counts of these types. Those that have no task in such a state are left out.
    async fn counts_of_types(&self, types: Arc<[Capability]>) -> Result<Vec<TypeCounts>, StoreError>;

    /// Deletes the statistics of minutes that began before this time, at most `limit` rows; returns how many.
    async fn purge_statistics(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;

    /// Counts agents, of which at most `limit` are read.
    async fn count_agents(&self, seen_since: Timestamp, limit: u32) -> Result<AgentCounts, StoreError>;
}

/// How the saving of statistics ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved {
    /// All was saved.
    Done,
    /// All was saved, and perhaps twice: the tasks should be counted.
    Unsure,
    /// Nothing was saved, because somebody else is about to count or to save.
    Busy,
}

/// What is to be saved.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatisticsUpdate {
    /// The AFM that saves: each has rows of its own.
    pub instance: Uuid,
    /// The statistics of whole minutes, as far as this AFM knows them. They replace what it has saved of these
    /// minutes before.
    pub minutes: Vec<MinuteStatistics>,
    /// The types that the changes are about.
    pub types: Vec<Arc<Capability>>,
    /// The changes of counts since they were saved last.
    pub changes: Vec<CountChange>,
}

/// A change of the number of tasks of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountChange {
    /// The place of the type in [`StatisticsUpdate::types`].
    pub of_type: usize,
    /// The commit that brought it, as in `Applied::commit`.
    pub commit: Option<u64>,
    /// How many more tasks there are in each state.
    pub by: TaskCounts,
}

/// How many tasks are in each state that is no end, or how many more there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TaskCounts {
    /// Tasks that wait for a time.
    pub delayed: i64,
    /// Tasks that wait for an agent.
    pub pending: i64,
    /// Tasks that run.
    pub claimed: i64,
}

impl TaskCounts {
    /// Adds others.
    pub fn add(&mut self, other: Self) {
        self.delayed += other.delayed;
        self.pending += other.pending;
        self.claimed += other.claimed;
    }

    /// Whether nothing is counted.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self == Self::default()
    }

    /// The counts as they are shown. While the changes of one AFM are saved and those of another are not, a sum
    /// may be below zero.
    pub(crate) fn shown(self) -> Self {
        let Self { delayed, pending, claimed } = self;
        Self { delayed: delayed.max(0), pending: pending.max(0), claimed: claimed.max(0) }
    }
}

/// How many tasks of a type there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeCounts {
    /// The type.
    pub capability: Capability,
    /// Its tasks.
    pub counts: TaskCounts,
}

/// How many agents there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AgentCounts {
    /// Agents that were seen since the time that was asked for.
    pub active: u64,
    /// Agents that were not.
    pub lost: u64,
    /// Agents that are paused, seen or not.
    pub paused: u64,
    /// Whether all agents were read.
    pub is_complete: bool,
    /// When they were counted, if that was in a census.
    pub counted_at: Option<Timestamp>,
}

/// The types of an update with the sum of their changes, without those that `is_counted` already; and the sum of
/// all.
pub(crate) fn sum_changes(
    update: &StatisticsUpdate,
    is_counted: impl Fn(u64) -> bool,
) -> (Vec<(&Capability, TaskCounts)>, TaskCounts) {
    let mut sums: BTreeMap<&Capability, TaskCounts> = BTreeMap::new();
    let mut total = TaskCounts::default();
    for CountChange { of_type, commit, by } in &update.changes {
        if !commit.is_some_and(&is_counted)
            && let Some(capability) = update.types.get(*of_type)
        {
            sums.entry(capability).or_default().add(*by);
            total.add(*by);
        }
    }
    sums.retain(|_, sum| !sum.is_zero());
    (sums.into_iter().collect(), total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_that_were_counted_are_left_out() {
        let capability = |name: &str| Arc::new(Capability { task_type: name.to_owned(), version: 1 });
        let pending = |pending| TaskCounts { pending, ..TaskCounts::default() };
        let change = |of_type, commit, by| CountChange { of_type, commit, by: pending(by) };
        let update = StatisticsUpdate {
            types: vec![capability("a"), capability("b"), capability("c")],
            changes: vec![
                change(0, Some(1), 5),
                change(0, Some(2), 7),
                change(0, None, 1),
                change(1, Some(1), 3),
                change(2, Some(3), 2),
                change(2, Some(4), -2),
            ],
            ..StatisticsUpdate::default()
        };
        let (sums, total) = sum_changes(&update, |commit| commit == 1);
        assert_eq!(sums, [(&*update.types[0], pending(8))]);
        assert_eq!(total, pending(8));
    }
}
