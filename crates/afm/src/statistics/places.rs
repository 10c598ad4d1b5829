//! How many agents there are in each place. They are counted beside all else, some at a time, and only while somebody
//! asks: no request reads them all.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use jiff::Timestamp;
use slamon_store::{Place, PlaceCounts, Store, StoreError};
use tokio::time::Instant;

use super::Statistics;

/// So many agents are read at once, and so many in all.
const STEP: u32 = 5_000;
const MOST_AGENTS: u64 = 1_000_000;

/// Between two steps at least this many times as long passes as the last one took.
const SHARE_OF_STEPS: u32 = 10;

/// A count holds for so long, and for at least this many times as long as its steps took, up to so long for each: a step
/// that was slow once says little.
const FRESH: Duration = Duration::from_secs(1);
const SHARE_OF_COUNTING: u32 = 100;
const LONGEST_FOR_STEP: Duration = Duration::from_secs(2);

/// Whoever asks waits for so long for a new count, before being given the last one; and for the first one.
const WAIT: Duration = Duration::from_millis(50);
const WAIT_FOR_FIRST: Duration = Duration::from_millis(250);

/// At most so many places are told apart while agents are counted, and shown.
const MOST_COUNTED: usize = 10_000;
const MOST_SHOWN: usize = 1_000;

/// The agents by place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceFigures {
    /// When they were counted.
    pub at: Timestamp,
    /// Country and region with their agents, in the order of their names; of more than 1,000, those with the most agents.
    pub places: Vec<((String, String), PlaceCounts)>,
    /// Agents that do not say where they are.
    pub elsewhere: PlaceCounts,
    /// Agents in places that are not listed.
    pub others: PlaceCounts,
    /// Whether all agents were counted.
    pub is_complete: bool,
}

type Counting = Shared<BoxFuture<'static, Result<Arc<PlaceFigures>, Arc<StoreError>>>>;

/// The last count, and the one that is under way.
#[derive(Default)]
pub(super) struct Places(Mutex<PlacesState>);

#[derive(Default)]
struct PlacesState {
    counted: Option<Arc<PlaceFigures>>,
    fresh_until: Option<Instant>,
    counting: Option<Counting>,
}

/// What is known of a count.
enum Known {
    Fresh(Arc<PlaceFigures>),
    UnderWay(Counting),
}

impl Statistics {
    /// Returns how many agents there are in each place; `None` while they are counted for the first time. Agents seen
    /// since `seen_since` are active.
    ///
    /// # Errors
    /// Fails when they cannot be counted.
    pub(crate) async fn places(
        &self,
        now: Timestamp,
        seen_since: Timestamp,
    ) -> Result<Option<Arc<PlaceFigures>>, Arc<StoreError>> {
        match self.known_places(now, seen_since) {
            Known::Fresh(counted) => Ok(Some(counted)),
            Known::UnderWay(counting) => {
                let last = self.lock_places(|state| state.counted.clone());
                let wait = if last.is_some() { WAIT } else { WAIT_FOR_FIRST };
                tokio::time::timeout(wait, counting).await.map_or(Ok(last), |counted| counted.map(Some))
            }
        }
    }

    /// Returns the last count, or the one that is under way, which may begin with this.
    fn known_places(&self, now: Timestamp, seen_since: Timestamp) -> Known {
        self.lock_places(|state| {
            if let Some(counting) = &state.counting {
                return Known::UnderWay(counting.clone());
            }
            if let Some(counted) = &state.counted
                && state.fresh_until.is_some_and(|until| Instant::now() < until)
            {
                return Known::Fresh(Arc::clone(counted));
            }
            let this = self.clone();
            let counting = async move {
                let counted = count(&*this.0.store, now, seen_since).await;
                this.lock_places(|state| {
                    state.counting = None;
                    let (counted, holds) = counted.map_err(Arc::new)?;
                    let counted = Arc::new(counted);
                    state.counted = Some(Arc::clone(&counted));
                    state.fresh_until = Some(Instant::now() + holds);
                    Ok(counted)
                })
            };
            let counting: Counting = counting.boxed().shared();
            state.counting = Some(counting.clone());
            // It goes on when nobody waits for it any more.
            tokio::spawn(counting.clone().map(drop));
            Known::UnderWay(counting)
        })
    }

    fn lock_places<T>(&self, then: impl FnOnce(&mut PlacesState) -> T) -> T {
        then(&mut self.0.places.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Counts the agents, and returns for how long the count holds.
async fn count(
    store: &dyn Store,
    at: Timestamp,
    seen_since: Timestamp,
) -> Result<(PlaceFigures, Duration), StoreError> {
    let (mut places, mut others) = (BTreeMap::<Place, PlaceCounts>::new(), PlaceCounts::default());
    let (mut after, mut agents, mut holds) = (None, 0, Duration::ZERO);
    let is_complete = loop {
        let began = Instant::now();
        let part = store.count_places(seen_since, after, STEP).await?;
        let step = began.elapsed();
        holds += (step * SHARE_OF_COUNTING).min(LONGEST_FOR_STEP);
        for (place, counts) in part.places {
            agents += counts.all();
            if places.len() < MOST_COUNTED || places.contains_key(&place) {
                places.entry(place).or_default().add(counts);
            } else {
                others.add(counts);
            }
        }
        after = part.next;
        if after.is_none() || agents >= MOST_AGENTS {
            break after.is_none();
        }
        tokio::time::sleep(step * SHARE_OF_STEPS).await;
    };
    let elsewhere = places.remove(&None).unwrap_or_default();
    let mut places: Vec<_> =
        places.into_iter().filter_map(|(place, counts)| Some((place?, counts))).collect();
    if places.len() > MOST_SHOWN {
        places.sort_by_key(|(_, counts)| Reverse(counts.all()));
        places.drain(MOST_SHOWN..).for_each(|(_, counts)| others.add(counts));
        places.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    }
    Ok((PlaceFigures { at, places, elsewhere, others, is_complete }, holds.max(FRESH)))
}
