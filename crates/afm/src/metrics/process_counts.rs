//! What a process counts besides tasks: requests, batches, and what the dispatch cache has answered.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::families::{Distribution, number};

/// The bounds of durations of requests and commits, in microseconds.
const DURATIONS: [u64; 16] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

/// The bounds of sizes of batches.
const SIZES: [u64; 10] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];

/// What one process counts. There is one for each AFM.
#[derive(Debug, Default)]
pub(crate) struct ProcessCounts {
    /// Polls that the dispatch cache has answered.
    pub(crate) cache_hits: AtomicU64,
    /// Polls for which the store was asked.
    pub(crate) cache_misses: AtomicU64,
    /// How often events of other AFMs ceased to arrive.
    pub(crate) listening_stopped: AtomicU64,
    batches: Mutex<Batches>,
    requests: Mutex<Requests>,
}

#[derive(Debug, Default)]
struct Batches {
    sizes: Bounded<{ SIZES.len() }>,
    durations: Bounded<{ DURATIONS.len() }>,
}

/// The routes, without slashes at their ends, and the methods of each. There are so few that to compare them takes less
/// time than to hash one.
type Requests = BTreeMap<Box<str>, Vec<MethodRequests>>;

/// The requests of a route by one method.
#[derive(Debug, Clone)]
pub(crate) struct MethodRequests {
    /// The name of the method.
    pub(crate) method: &'static str,
    /// How many were answered with each status; the statuses are those of handlers, so there are few.
    pub(crate) statuses: Vec<(u16, u64)>,
    durations: Bounded<{ DURATIONS.len() }>,
}

/// Counts numbers by bounds that are known beforehand.
#[derive(Debug, Clone, Copy)]
struct Bounded<const N: usize> {
    counts: [u64; N],
    count: u64,
    sum: u64,
}

impl<const N: usize> Default for Bounded<N> {
    fn default() -> Self {
        Self { counts: [0; N], count: 0, sum: 0 }
    }
}

impl<const N: usize> Bounded<N> {
    fn record(&mut self, bounds: &[u64; N], value: u64) {
        if let Some(count) = self.counts.get_mut(bounds.partition_point(|bound| *bound < value)) {
            *count += 1;
        }
        self.count += 1;
        self.sum = self.sum.saturating_add(value);
    }

    /// The distribution, with bounds and sum in units of which each has `unit`.
    fn distribution(&self, bounds: &[u64; N], unit: f64) -> Distribution {
        let mut before = 0;
        let buckets = bounds.iter().zip(self.counts).map(|(bound, count)| {
            before += count;
            (number(*bound) / unit, before)
        });
        Distribution { buckets: buckets.collect(), count: self.count, sum: number(self.sum) / unit }
    }
}

/// How many microseconds a second has.
const MICROS: f64 = 1e6;

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl ProcessCounts {
    /// Counts a poll that the dispatch cache was asked about.
    pub(crate) fn looked_up(&self, is_answered: bool) {
        let count = if is_answered { &self.cache_hits } else { &self.cache_misses };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a batch that was committed, of this many commands.
    pub(crate) fn committed(&self, commands: usize, took: Duration) {
        let mut batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        batches.sizes.record(&SIZES, commands as u64);
        batches.durations.record(&DURATIONS, micros(took));
    }

    /// The sizes of batches, and how long each took.
    pub(crate) fn batches(&self) -> (Distribution, Distribution) {
        let batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        (batches.sizes.distribution(&SIZES, 1.0), batches.durations.distribution(&DURATIONS, MICROS))
    }

    /// Counts a request.
    pub(super) fn answered(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        // One route has several forms, with slashes before and after it.
        let route = route.trim_matches('/');
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(methods) = requests.get_mut(route) else {
            requests.insert(route.into(), vec![MethodRequests::first(method, status, took)]);
            return;
        };
        let found = methods.iter().position(|of_method| of_method.method == method);
        let Some(of_method) = found.and_then(|place| methods.get_mut(place)) else {
            methods.push(MethodRequests::first(method, status, took));
            return;
        };
        of_method.durations.record(&DURATIONS, micros(took));
        match of_method.statuses.iter_mut().find(|(known, _)| *known == status) {
            Some((_, count)) => *count += 1,
            None => of_method.statuses.push((status, 1)),
        }
    }

    /// The requests by route, sorted.
    pub(crate) fn requests(&self) -> Vec<(String, Vec<MethodRequests>)> {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let name = |route: &str| if route == "-" { route.to_owned() } else { format!("/{route}") };
        let mut all: Vec<_> =
            requests.iter().map(|(route, methods)| (name(route), methods.clone())).collect();
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        all
    }
}

impl MethodRequests {
    fn first(method: &'static str, status: u16, took: Duration) -> Self {
        let mut durations = Bounded::default();
        durations.record(&DURATIONS, micros(took));
        Self { method, statuses: vec![(status, 1)], durations }
    }

    /// How long they took.
    pub(crate) fn durations(&self) -> Distribution {
        self.durations.distribution(&DURATIONS, MICROS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_a_route_are_one() {
        let counts = ProcessCounts::default();
        for (route, status) in [("/task/{id}", 200), ("//task/{id}/", 404), ("/task/{id}/", 200), ("-", 404)]
        {
            counts.answered("GET", route, status, Duration::from_millis(3));
        }
        counts.answered("POST", "/task/{id}", 405, Duration::from_secs(100));
        let requests = counts.requests();
        let routes: Vec<&str> = requests.iter().map(|(route, _)| &**route).collect();
        assert_eq!(routes, ["-", "/task/{id}"]);
        let of_task = &requests[1].1;
        assert_eq!((of_task[0].method, &*of_task[0].statuses), ("GET", &[(200, 2), (404, 1)][..]));
        let took = of_task[0].durations();
        assert_eq!((took.count, took.buckets[2], took.buckets[3]), (3, (0.0025, 0), (0.005, 3)));
        let long = of_task[1].durations();
        assert_eq!(
            (long.count, long.buckets.last().copied()),
            (1, Some((60.0, 0))),
            "it is in the last bucket"
        );
    }

    #[test]
    fn batches_are_counted_by_size_and_time() {
        let counts = ProcessCounts::default();
        counts.committed(3, Duration::from_millis(1));
        let (sizes, durations) = counts.batches();
        assert_eq!(sizes.buckets[..3], [(1.0, 0), (2.0, 0), (4.0, 1)]);
        assert_eq!((durations.count, durations.buckets[1]), (1, (0.001, 1)));
    }
}
