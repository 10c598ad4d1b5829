//! How the attempts of each agent ended in the last hour: noted in memory, saved behind the commits, some agents at a
//! time.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use slamon_domain::{AttemptEndName, StateName, Transition};
use slamon_store::{AgentOutcomes, Outcomes, StoreError};
use tokio::time::Instant;
use uuid::Uuid;

use super::{PURGE_AGAIN, PURGE_STEP, Statistics};
use crate::clock::Clock;

/// Outcomes are added up over so many seconds.
const PERIOD: i64 = 600;

/// The last hour is so many periods, with the one that runs.
const PERIODS: i64 = 6;

/// What is not saved is saved once in this long, so many agents at a time.
const SAVE_AGAIN: Duration = Duration::from_secs(10);
const SAVE_STEP: usize = 1_000;

/// After each step, at least this many times as long passes as it took.
const SHARE_OF_SAVING: u32 = 50;

/// So many agents with their periods are kept in memory. Where there are more, what they do is not counted.
const MOST_KEPT: usize = 400_000;

/// How attempts ended, as this process has seen it. A period that is over and saved is forgotten.
#[derive(Debug, Default)]
pub(super) struct OutcomeLedger {
    periods: BTreeMap<i64, HashMap<Uuid, Noted>>,
    /// What is not saved, the oldest first.
    unsaved: VecDeque<(i64, Uuid)>,
}

#[derive(Debug, Clone, Copy)]
struct Noted {
    completed: u32,
    failed: u32,
    is_saved: bool,
}

impl OutcomeLedger {
    /// Notes the attempts that a batch has ended.
    pub(super) fn note(&mut self, transitions: &[Transition]) {
        for transition in transitions {
            let Some((agent_id, has_completed)) = outcome(transition) else { continue };
            let period = transition.at.as_second().div_euclid(PERIOD);
            if !self.periods.contains_key(&period) {
                self.begin(period);
            }
            let has_room = self.kept() < MOST_KEPT;
            let Some(agents) = self.periods.get_mut(&period) else { continue };
            let noted = match agents.get_mut(&agent_id) {
                Some(noted) => noted,
                None if has_room => {
                    agents.entry(agent_id).or_insert(Noted { completed: 0, failed: 0, is_saved: true })
                }
                None => continue,
            };
            let count = if has_completed { &mut noted.completed } else { &mut noted.failed };
            *count = count.saturating_add(1);
            if std::mem::replace(&mut noted.is_saved, false) {
                self.unsaved.push_back((period, agent_id));
            }
        }
    }

    fn kept(&self) -> usize {
        self.periods.values().map(HashMap::len).sum()
    }

    /// Begins a period, and forgets those that are over and saved. The one before may not be over: a batch may have
    /// begun in it, and its last outcomes may be on their way to the store.
    fn begin(&mut self, period: i64) {
        self.periods.insert(period, HashMap::new());
        let unsaved: HashSet<i64> = self.unsaved.iter().map(|(period, _)| *period).collect();
        let newest = self.periods.keys().next_back().copied().unwrap_or(period);
        self.periods
            .retain(|kept, _| *kept >= newest - 1 || (unsaved.contains(kept) && *kept > newest - PERIODS));
    }

    /// Takes what is to be saved of at most `most` agents.
    fn take(&mut self, most: usize) -> Vec<AgentOutcomes> {
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some((period, agent_id)) = self.unsaved.pop_front()
        {
            // A period that is too old has been forgotten.
            let Some(noted) = self.periods.get_mut(&period).and_then(|agents| agents.get_mut(&agent_id))
            else {
                continue;
            };
            noted.is_saved = true;
            taken.extend(noted.of(period, agent_id));
        }
        taken
    }

    /// Notes that this could not be saved.
    fn put_back(&mut self, taken: &[AgentOutcomes]) {
        for AgentOutcomes { period, agent_id, .. } in taken {
            let period = period.as_second().div_euclid(PERIOD);
            let noted = self.periods.get_mut(&period).and_then(|agents| agents.get_mut(agent_id));
            if let Some(noted) = noted
                && std::mem::replace(&mut noted.is_saved, false)
            {
                self.unsaved.push_back((period, *agent_id));
            }
        }
    }

    /// What was noted of an agent, by period.
    fn of(&self, agent_id: Uuid) -> impl Iterator<Item = AgentOutcomes> {
        self.periods.iter().filter_map(move |(period, agents)| agents.get(&agent_id)?.of(*period, agent_id))
    }
}

impl Noted {
    fn of(self, period: i64, agent_id: Uuid) -> Option<AgentOutcomes> {
        let period = Timestamp::from_second(period.checked_mul(PERIOD)?).ok()?;
        let outcomes = Outcomes { completed: self.completed.into(), failed: self.failed.into() };
        Some(AgentOutcomes { period, agent_id, outcomes })
    }
}

/// Returns whose attempt ended with this change, and whether it did with a result. What was cancelled or has expired
/// was no fault of its agent, and what was released it never got.
fn outcome(transition: &Transition) -> Option<(Uuid, bool)> {
    let agent_id = transition.agent_id?;
    transition.ran_for?;
    let has_completed = match (transition.to, transition.attempt_end) {
        (StateName::Completed, _) => true,
        (StateName::Failed | StateName::Lost | StateName::TimedOut, _)
        | (
            _,
            Some(
                AttemptEndName::Error
                | AttemptEndName::Lost
                | AttemptEndName::Abandoned
                | AttemptEndName::TimedOut,
            ),
        ) => false,
        _ => return None,
    };
    Some((agent_id, has_completed))
}

/// When the first of the periods of the last hour began.
fn hour_began(now: Timestamp) -> Timestamp {
    let period = now.as_second().div_euclid(PERIOD) - (PERIODS - 1);
    Timestamp::from_second(period * PERIOD).unwrap_or(Timestamp::MIN)
}

impl Statistics {
    /// Reads how the attempts of these agents ended in the last hour, in their order: what all AFMs have saved, and
    /// what this one has not.
    ///
    /// # Errors
    /// Fails when it cannot be read.
    pub(crate) async fn outcomes_of(
        &self,
        agents: &[Uuid],
        now: Timestamp,
    ) -> Result<Vec<Outcomes>, StoreError> {
        let since = hour_began(now);
        let saved = self.0.store.outcomes_of(agents.into(), since).await?;
        let instance = self.0.instance;
        let saved = saved.into_iter().map(|(by, of)| ((of.agent_id, of.period, by), of.outcomes));
        let mut all: BTreeMap<(Uuid, Timestamp, Uuid), Outcomes> = saved.collect();
        {
            // What is in memory is at least what was saved of it.
            let noted = self.0.tally.outcomes();
            for of in agents.iter().flat_map(|agent| noted.of(*agent)).filter(|of| of.period >= since) {
                all.insert((of.agent_id, of.period, instance), of.outcomes);
            }
        }
        let mut sums: HashMap<Uuid, Outcomes> = HashMap::new();
        for ((agent_id, ..), outcomes) in all {
            sums.entry(agent_id).or_default().add(outcomes);
        }
        Ok(agents.iter().map(|agent| sums.get(agent).copied().unwrap_or_default()).collect())
    }

    /// Saves what was noted of some agents, and returns of how many.
    async fn save_some_outcomes(&self) -> Result<usize, StoreError> {
        let outcomes: Arc<[AgentOutcomes]> = self.0.tally.outcomes().take(SAVE_STEP).into();
        if outcomes.is_empty() {
            return Ok(0);
        }
        // What was taken goes back also where this future is dropped. To save it twice changes nothing.
        let mut taken =
            OutcomesInFlight { statistics: self, outcomes: Arc::clone(&outcomes), is_saved: false };
        self.0.store.save_outcomes(self.0.instance, Arc::clone(&outcomes)).await?;
        taken.is_saved = true;
        Ok(outcomes.len())
    }

    /// Saves how attempts ended, all that was noted.
    ///
    /// # Errors
    /// Fails when it could not be saved.
    pub async fn save_outcomes(&self) -> Result<(), StoreError> {
        while self.save_some_outcomes().await? > 0 {}
        Ok(())
    }

    /// Saves how attempts ended, for ever.
    pub(crate) async fn keep_outcomes_saved(self) {
        loop {
            let began = Instant::now();
            let saved = self.save_some_outcomes().await;
            if let Err(error) = &saved {
                self.failed("could not save how attempts ended", error);
            }
            let pause =
                if saved.is_ok_and(|agents| agents >= SAVE_STEP) { Duration::ZERO } else { SAVE_AGAIN };
            tokio::time::sleep(pause.max(began.elapsed() * SHARE_OF_SAVING)).await;
        }
    }

    /// Deletes what is older than an hour now and then, for ever.
    pub(crate) async fn keep_outcomes_purged(self, clock: Clock) {
        let period = SignedDuration::from_secs(PERIOD);
        loop {
            // AFMs need not agree on the time to the second.
            let before = hour_began(clock.now()).checked_sub(period).unwrap_or(Timestamp::MIN);
            loop {
                let began = Instant::now();
                match self.0.store.purge_outcomes(before, PURGE_STEP).await {
                    Ok(deleted) if deleted >= u64::from(PURGE_STEP) => {
                        tokio::time::sleep(began.elapsed() * SHARE_OF_SAVING).await;
                    }
                    Ok(_) => break,
                    Err(error) => {
                        self.failed("could not delete how attempts ended long ago", &error);
                        break;
                    }
                }
            }
            tokio::time::sleep(PURGE_AGAIN).await;
        }
    }
}

/// What is being saved. It goes back if that fails.
struct OutcomesInFlight<'s> {
    statistics: &'s Statistics,
    outcomes: Arc<[AgentOutcomes]>,
    is_saved: bool,
}

impl Drop for OutcomesInFlight<'_> {
    fn drop(&mut self) {
        if !self.is_saved {
            self.statistics.0.tally.outcomes().put_back(&self.outcomes);
        }
    }
}

#[cfg(test)]
mod tests;
