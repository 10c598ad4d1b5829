//! What one connection has done.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::checks::Checks;
use crate::latencies::Latencies;

/// How many sets of times a run has: enough that threads do not wait for each other, and few enough for the cache and
/// for thousands of connections.
const SHARDS: usize = 8;

/// Counts of the measured part; checks of all of it.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Whether the unit that runs now belongs to the measured part.
    pub(crate) measuring: bool,
    pub(crate) done: u64,
    pub(crate) requests: u64,
    pub(crate) refused: u64,
    pub(crate) errors: BTreeMap<String, u64>,
    pub(crate) checks: Checks,
    /// When the last unit was done.
    pub(crate) last_done: Option<Instant>,
    /// What the requests of a unit are called.
    pub(crate) steps: &'static [&'static str],
    times: Arc<Mutex<Times>>,
}

/// How long units, and each request of a unit, took.
#[derive(Debug)]
pub(crate) struct Times {
    pub(crate) whole: Latencies,
    /// In the order of the steps.
    pub(crate) steps: Vec<Latencies>,
}

/// The times of all connections.
#[derive(Debug)]
pub(crate) struct Shards(Vec<Arc<Mutex<Times>>>);

impl Tally {
    /// A request of a unit was answered.
    pub(crate) fn answered(&mut self, step: usize, took: Duration) {
        if self.measuring {
            self.requests += 1;
            // A step that is all of the unit has no times of its own.
            if self.steps.len() > 1 {
                lock(&self.times).steps[step].record(took);
            }
        }
    }

    /// A unit was done.
    pub(crate) fn done(&mut self, took: Duration, now: Instant) {
        if self.measuring {
            self.done += 1;
            self.last_done = Some(now);
            lock(&self.times).whole.record(took);
        }
    }

    /// The server had no time for a unit.
    pub(crate) fn refused(&mut self) {
        self.refused += u64::from(self.measuring);
    }

    /// A unit failed.
    pub(crate) fn failed(&mut self, why: String) {
        if self.measuring {
            *self.errors.entry(why).or_default() += 1;
        }
    }

    /// Adds the counts of another connection.
    pub(crate) fn add(&mut self, other: Self) {
        self.done += other.done;
        self.requests += other.requests;
        self.refused += other.refused;
        for (why, times) in other.errors {
            *self.errors.entry(why).or_default() += times;
        }
        self.checks.add(other.checks);
        self.last_done = self.last_done.max(other.last_done);
    }
}

impl Shards {
    pub(crate) fn new(steps: usize) -> Self {
        Self((0..SHARDS).map(|_| Arc::new(Mutex::new(Times::new(steps)))).collect())
    }

    /// A tally for the connection with this number.
    pub(crate) fn tally(&self, connection: usize, steps: &'static [&'static str]) -> Tally {
        Tally {
            measuring: false,
            done: 0,
            requests: 0,
            refused: 0,
            errors: BTreeMap::new(),
            checks: Checks::default(),
            last_done: None,
            steps,
            times: Arc::clone(&self.0[connection % SHARDS]),
        }
    }

    /// All times together.
    pub(crate) fn sum(&self, steps: usize) -> Times {
        let mut sum = Times::new(steps);
        for shard in &self.0 {
            let shard = lock(shard);
            sum.whole.add(&shard.whole);
            for (step, more) in sum.steps.iter_mut().zip(&shard.steps) {
                step.add(more);
            }
        }
        sum
    }
}

impl Times {
    fn new(steps: usize) -> Self {
        Self { whole: Latencies::new(), steps: vec![Latencies::new(); steps] }
    }
}

fn lock(times: &Mutex<Times>) -> MutexGuard<'_, Times> {
    times.lock().unwrap_or_else(PoisonError::into_inner)
}
