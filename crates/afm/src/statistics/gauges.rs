//! How many tasks wait and run, and how many agents there are, for metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use slamon_protocol::Capability;
use slamon_store::{OffersQuery, StoreError, TaskCounts};
use tokio::time::Instant;

use super::figures::StoreGauges;
use super::ledger::LONGEST_NAME;
use super::{Statistics, TASK_TYPES};
use crate::metrics;

/// What was read last holds for so long.
const FRESH: Duration = Duration::from_secs(1);

/// The gauges are sent to StatsD once in this long.
const SEND_AGAIN: Duration = Duration::from_secs(10);

/// Between two times at least this many times as long passes as the reads took.
const SHARE_OF_READING: u32 = 100;

impl Statistics {
    /// Reads what the store holds now, or gives what somebody has read a moment ago. Agents seen since
    /// `active_since` are active.
    ///
    /// # Errors
    /// Fails when it cannot be read.
    pub(crate) async fn gauges(
        &self,
        active_since: impl Future<Output = Timestamp>,
    ) -> Result<Arc<StoreGauges>, StoreError> {
        let mut cached = self.0.gauges.lock().await;
        if let Some((at, gauges)) = &*cached
            && at.elapsed() < FRESH
        {
            return Ok(Arc::clone(gauges));
        }
        self.save_for_read().await;
        let agents = self.count_agents(active_since.await).await?;
        let gauges = Arc::new(StoreGauges { types: self.read_types().await?, agents });
        *cached = Some((Instant::now(), Arc::clone(&gauges)));
        Ok(gauges)
    }

    /// Reads how many tasks there are of each type that has figures of its own, and of all others. Types that
    /// this process has not met yet take the places that are left.
    async fn read_types(&self) -> Result<Vec<(Option<Arc<Capability>>, TaskCounts)>, StoreError> {
        let store = &self.0.store;
        let Some(mut others) = store.task_counts().await? else { return Ok(Vec::new()) };
        let met: Vec<Capability> = self.0.tally.read(|ledger| {
            ledger.slots().iter().filter_map(|slot| slot.capability.as_deref().cloned()).collect()
        });
        let mut types: BTreeMap<Capability, TaskCounts> =
            met.iter().map(|capability| (capability.clone(), TaskCounts::default())).collect();
        let mut found = store.counts_of_types(met.into()).await?;
        if types.len() < TASK_TYPES {
            found.extend(store.counts_by_type(u32::try_from(TASK_TYPES).unwrap_or(u32::MAX), None).await?);
        }
        for of_type in found {
            let is_shown = types.contains_key(&of_type.capability)
                || (types.len() < TASK_TYPES && of_type.capability.task_type.len() <= LONGEST_NAME);
            if is_shown {
                types.insert(of_type.capability, of_type.counts);
            }
        }
        for TaskCounts { delayed, pending, claimed } in types.values() {
            others.delayed -= delayed;
            others.pending -= pending;
            others.claimed -= claimed;
        }
        // What changes between two reads must not show as fewer than none.
        let TaskCounts { delayed, pending, claimed } = others;
        let others = TaskCounts { delayed: delayed.max(0), pending: pending.max(0), claimed: claimed.max(0) };
        let named = types.into_iter().map(|(capability, counts)| (Some(Arc::new(capability)), counts));
        Ok(named.chain([(None, others)]).collect())
    }

    /// Reads how many active agents offer each type, for as many types as have figures of their own.
    async fn read_offers(&self, seen_since: Timestamp) -> Result<BTreeMap<Capability, u32>, StoreError> {
        let (mut offers, mut after) = (BTreeMap::new(), None);
        loop {
            let limit = u32::try_from(TASK_TYPES - offers.len()).unwrap_or(u32::MAX);
            let page = self.0.store.list_offers(OffersQuery { seen_since, limit, after }).await?;
            let short = page.items.into_iter().filter(|of| of.capability.task_type.len() <= LONGEST_NAME);
            offers.extend(short.map(|of| (of.capability, of.active)));
            after = page.next;
            if after.is_none() || offers.len() >= TASK_TYPES {
                return Ok(offers);
            }
        }
    }

    /// Sends how many tasks wait and run, and how many agents offer each type, to StatsD now and then, for ever.
    /// Agents seen since `active_since` are active.
    pub(crate) async fn keep_sent<F: Future<Output = Timestamp>>(self, active_since: impl Fn() -> F) {
        if !metrics::are_sent() {
            return;
        }
        let (mut offers, mut tasks) = (GaugesSent::default(), GaugesSent::default());
        loop {
            let began = Instant::now();
            match self.read_offers(active_since().await).await {
                Ok(read) => {
                    let read = read.iter().map(|(capability, agents)| (capability, i64::from(*agents)));
                    offers.send(read.map(|(capability, agents)| metrics::tasks::offered(capability, agents)));
                }
                Err(error) => self.failed("could not read which types agents offer for STATSD_HOST", &error),
            }
            match self.read_types().await {
                Ok(types) => {
                    let named = types.iter().filter_map(|(of, counts)| Some((of.as_deref()?, *counts)));
                    tasks.send(named.flat_map(|(of, counts)| metrics::tasks::counted(of, counts)));
                }
                Err(error) => self.failed("could not read counts for STATSD_HOST", &error),
            }
            tokio::time::sleep(SEND_AGAIN.max(began.elapsed() * SHARE_OF_READING)).await;
        }
    }
}

/// The names of the gauges that were sent last.
#[derive(Default)]
struct GaugesSent(BTreeSet<String>);

impl GaugesSent {
    /// Sends gauges. Types whose names are one in StatsD share a gauge, which is the sum of them. A gauge stays as it
    /// was sent last, so one that is no more is sent as zero.
    fn send(&mut self, gauges: impl Iterator<Item = (String, i64)>) {
        let gauges = self.next(gauges);
        for (name, value) in gauges {
            metrics::send_gauge(name, value);
        }
    }

    fn next(&mut self, gauges: impl Iterator<Item = (String, i64)>) -> BTreeMap<String, i64> {
        let gone = std::mem::take(&mut self.0);
        let mut sums: BTreeMap<String, i64> = BTreeMap::new();
        for (name, value) in gauges {
            *sums.entry(name).or_default() += value;
        }
        self.0 = sums.keys().cloned().collect();
        for name in gone {
            sums.entry(name).or_default();
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gauges_of_one_name_are_added_up_and_those_that_are_gone_become_zero() {
        let mut sent = GaugesSent::default();
        let mut next = |gauges: &[(&str, i64)]| {
            let gauges = sent.next(gauges.iter().map(|(name, value)| ((*name).to_owned(), *value)));
            gauges.into_iter().map(|(name, value)| format!("{name}:{value}")).collect::<Vec<_>>()
        };
        assert_eq!(next(&[("a", 1), ("b", 2), ("a", 4)]), ["a:5", "b:2"]);
        assert_eq!(next(&[("b", 3)]), ["a:0", "b:3"]);
        assert_eq!(next(&[("b", 3)]), ["b:3"]);
    }
}
