//! How many tasks wait and run, and how many agents there are, for metrics.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use slamon_protocol::Capability;
use slamon_store::{StoreError, TaskCounts};
use tokio::time::Instant;

use super::figures::StoreGauges;
use super::overview::AGENTS;
use super::{Statistics, TASK_TYPES};
use crate::metrics;

/// What was read last holds for so long.
const FRESH: Duration = Duration::from_secs(1);

/// The gauges are sent to StatsD once in this long.
const SEND_AGAIN: Duration = Duration::from_secs(10);

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
        let agents = self.0.store.count_agents(active_since.await, AGENTS).await?;
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
                || (types.len() < TASK_TYPES
                    && of_type.capability.task_type.len() <= super::ledger::LONGEST_NAME);
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

    /// Sends how many tasks wait and run to StatsD now and then, for ever.
    pub(crate) async fn keep_sent(self) {
        if !metrics::are_sent() {
            return;
        }
        loop {
            match self.read_types().await {
                Ok(types) => {
                    for (capability, counts) in types {
                        if let Some(capability) = capability {
                            metrics::tasks::counted(&capability, counts);
                        }
                    }
                }
                Err(error) => self.failed("could not read counts for STATSD_HOST", &error),
            }
            tokio::time::sleep(SEND_AGAIN).await;
        }
    }
}
