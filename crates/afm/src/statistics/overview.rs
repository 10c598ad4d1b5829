//! The figures of the first page: what waits and runs now, and what happened in the last hour.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use slamon_protocol::Capability;
use slamon_store::{Counter, Counters, Histogram, StoreError, TypeFigures};
use tokio::time::Instant;

use super::Statistics;
use super::figures::{LATELY, MinutePoint, OverviewFigures, TypeTimes};

/// Figures are shown for so long to all who ask.
const FRESH: Duration = Duration::from_secs(1);

/// So many minutes are shown, the one that runs included.
const MINUTES: usize = 60;

/// At most so many types are shown, those with the most tasks.
const TYPES: usize = 200;

impl Statistics {
    /// Reads the figures of the first page, or gives those that somebody has read a moment ago. Agents seen since
    /// `active_since` are active.
    ///
    /// # Errors
    /// Fails when they cannot be read.
    pub async fn overview(
        &self,
        now: Timestamp,
        active_since: impl Future<Output = Timestamp>,
    ) -> Result<Arc<OverviewFigures>, StoreError> {
        let mut cached = self.0.overview.lock().await;
        if let Some((at, figures)) = &*cached
            && at.elapsed() < FRESH
        {
            return Ok(Arc::clone(figures));
        }
        let figures = Arc::new(self.read_overview(now, active_since.await).await?);
        *cached = Some((Instant::now(), Arc::clone(&figures)));
        Ok(figures)
    }

    async fn read_overview(
        &self,
        now: Timestamp,
        active_since: Timestamp,
    ) -> Result<OverviewFigures, StoreError> {
        self.save_for_read().await;
        let store = &self.0.store;
        let this_minute = now.as_second().div_euclid(60) * 60;
        let minute = |ago: usize| {
            let ago = SignedDuration::from_mins(i64::try_from(ago).unwrap_or(0));
            Timestamp::from_second(this_minute).unwrap_or(now).checked_sub(ago).unwrap_or(Timestamp::MIN)
        };
        let tasks = store.task_counts().await?;
        let agents = self.count_agents(active_since).await?;
        let mut points: BTreeMap<Timestamp, Counters> =
            (0..MINUTES).map(|ago| (minute(ago), Counters::default())).collect();
        let mut types: BTreeMap<Option<Arc<Capability>>, (TypeFigures, Counters)> = BTreeMap::new();
        for found in store.statistics(minute(MINUTES - 1)).await? {
            for (capability, figures) in found.types {
                if let Some(point) = points.get_mut(&found.minute) {
                    point.merge(&figures.counters);
                }
                let (of_hour, lately) = types.entry(capability).or_default();
                of_hour.merge(&figures);
                if found.minute >= minute(LATELY - 1) {
                    lately.merge(&figures.counters);
                }
            }
        }
        let mut types: Vec<TypeTimes> = types.into_iter().map(TypeTimes::of).collect();
        types.sort_by_key(|of_type| std::cmp::Reverse(of_type.changes()));
        let has_all_types = types.len() <= TYPES;
        types.truncate(TYPES);
        let minutes = points.into_iter().map(|(minute, counters)| MinutePoint { minute, counters });
        Ok(OverviewFigures { at: now, tasks, agents, minutes: minutes.collect(), types, has_all_types })
    }
}

impl TypeTimes {
    fn of((capability, (figures, lately)): (Option<Arc<Capability>>, (TypeFigures, Counters))) -> Self {
        let percentiles = |histogram: &Histogram| {
            let [median, most, nearly_all] = [0.5, 0.95, 0.99].map(|share| histogram.quantile(share));
            Some([median?, most?, nearly_all?])
        };
        Self {
            capability,
            counters: figures.counters,
            lately,
            queue: percentiles(&figures.queue),
            run: percentiles(&figures.run),
        }
    }

    fn changes(&self) -> u64 {
        Counter::ALL.iter().map(|counter| self.counters.get(*counter)).sum()
    }
}
