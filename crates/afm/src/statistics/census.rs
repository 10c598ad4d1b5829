//! Counts all agents behind all other work, since counting many at a request takes too long.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use slamon_protocol::Capability;
use slamon_store::{AgentCounts, Census, MOST_OFFERING, StoreError};
use tokio::time::Instant;

use super::Statistics;
use crate::clock::Clock;

/// Agents are counted once in this long.
const COUNT_AGAIN: Duration = Duration::from_secs(10);

/// So many agents, or offers, are counted at once.
const STEP: u32 = 5_000;

/// Between two steps so many times as long passes as the last one took, so that the database is busy with them for
/// less than a hundredth of the time; and at most so long, since a database that takes longer is busy with others.
const SHARE_OF_COUNTING: u32 = 100;
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// An AFM that counts says so this often, and another takes over that has not heard of it for so long.
const SAID_AGAIN: Duration = Duration::from_secs(5);
const TAKEN_OVER: SignedDuration = SignedDuration::from_secs(30);

/// At most so many types are kept that [`MOST_OFFERING`] agents offer.
const MOST_TYPES: usize = 10_000;

impl Statistics {
    /// Counts agents, if there are few; of many, gives the last census.
    pub(super) async fn count_agents(&self, active_since: Timestamp) -> Result<AgentCounts, StoreError> {
        let counted = self.0.store.count_agents(active_since, MOST_OFFERING).await?;
        if counted.is_complete {
            return Ok(counted);
        }
        Ok(self.0.store.census().await?.unwrap_or(counted))
    }

    /// Counts all agents, and those that offer each type, and keeps the numbers, if there are many; `false` if
    /// another AFM is at it. Agents seen since `active_since` are active.
    ///
    /// # Errors
    /// Fails when they cannot be counted.
    pub async fn take_census<F: Future<Output = Timestamp>>(
        &self,
        clock: &Clock,
        active_since: impl Fn() -> F,
    ) -> Result<bool, StoreError> {
        let store = &self.0.store;
        let last = store.census().await?;
        if store.count_agents(active_since().await, MOST_OFFERING).await?.is_complete {
            if last.is_some() {
                let none = Census { counted_at: None, active: 0, lost: 0, paused: 0, types: Vec::new() };
                store.save_census(none.into()).await?;
            }
            return Ok(true);
        }
        // Until there is a first one, somebody may wait for it.
        let share = if last.is_some() { SHARE_OF_COUNTING } else { 1 };
        let mut pace = Pace { statistics: self, clock, share, said_at: None, step: Instant::now() };
        let mut census =
            Census { counted_at: Some(clock.now()), active: 0, lost: 0, paused: 0, types: Vec::new() };
        let mut after = None;
        loop {
            if !pace.may_go_on().await? {
                return Ok(false);
            }
            let (counted, next) = store.count_next_agents(after, active_since().await, STEP).await?;
            census.active += counted.active;
            census.lost += counted.lost;
            census.paused += counted.paused;
            after = next;
            if after.is_none() {
                break;
            }
        }
        let mut types: BTreeMap<Capability, (u32, u32)> = BTreeMap::new();
        let mut after = None;
        loop {
            if !pace.may_go_on().await? {
                return Ok(false);
            }
            let (counted, next) = store.count_next_offers(after, active_since().await, STEP).await?;
            for of_type in counted {
                let (agents, active) = types.entry(of_type.capability).or_default();
                (*agents, *active) =
                    (agents.saturating_add(of_type.agents), active.saturating_add(of_type.active));
            }
            // Of all other types there will come no more, and few are counted whenever somebody asks.
            let goes_on = |of: &Capability| next.as_ref().is_some_and(|place| place.may_go_on_with(of));
            types.retain(|of, (agents, _)| *agents >= MOST_OFFERING || goes_on(of));
            while types.len() > MOST_TYPES {
                let least = types.iter().min_by_key(|(_, (agents, _))| *agents).map(|(of, _)| of.clone());
                least.and_then(|least| types.remove(&least));
            }
            after = next;
            if after.is_none() {
                break;
            }
        }
        census.types = types.into_iter().map(|(of, (agents, active))| (of, agents, active)).collect();
        store.save_census(census.into()).await?;
        Ok(true)
    }

    /// Counts all agents now and then, for ever.
    pub(crate) async fn keep_census<F: Future<Output = Timestamp>>(
        self,
        clock: Clock,
        active_since: impl Fn() -> F,
    ) {
        loop {
            let began = Instant::now();
            match self.take_census(&clock, &active_since).await {
                Ok(true) => tracing::debug!(elapsed_ms = began.elapsed().as_millis(), "counted the agents"),
                Ok(false) => {}
                Err(error) => self.failed("could not count the agents", &error),
            }
            tokio::time::sleep(COUNT_AGAIN).await;
        }
    }
}

/// Lets steps go on at a pace, as long as no other AFM counts.
struct Pace<'s> {
    statistics: &'s Statistics,
    clock: &'s Clock,
    /// How many times as long as a step the pause behind it is.
    share: u32,
    /// When this AFM has said last that it counts.
    said_at: Option<Instant>,
    /// When the last step began.
    step: Instant,
}

impl Pace<'_> {
    async fn may_go_on(&mut self) -> Result<bool, StoreError> {
        if self.said_at.is_some() {
            tokio::time::sleep((self.step.elapsed() * self.share).min(LONGEST_PAUSE)).await;
        }
        if self.said_at.is_none_or(|at| at.elapsed() >= SAID_AGAIN) {
            let now = self.clock.now();
            let free_before = now.checked_sub(TAKEN_OVER).unwrap_or(Timestamp::MIN);
            let shared = &self.statistics.0;
            if !shared.store.hold_census(shared.instance, now, free_before).await? {
                return Ok(false);
            }
            self.said_at = Some(Instant::now());
        }
        self.step = Instant::now();
        Ok(true)
    }
}
