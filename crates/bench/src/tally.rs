//! What one connection has done.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::checks::Checks;
use crate::latencies::Latencies;

/// Counts and times of the measured part; checks of all of it.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Whether the unit that runs now belongs to the measured part.
    pub(crate) measuring: bool,
    pub(crate) done: u64,
    pub(crate) requests: u64,
    pub(crate) refused: u64,
    pub(crate) errors: BTreeMap<String, u64>,
    pub(crate) checks: Checks,
    pub(crate) whole: Latencies,
    /// The requests of a unit: what they are called, and how long they took.
    pub(crate) steps: Vec<(&'static str, Latencies)>,
    /// When the last unit was done.
    pub(crate) last_done: Option<Instant>,
}

impl Tally {
    pub(crate) fn new(steps: &[&'static str]) -> Self {
        Self {
            measuring: false,
            done: 0,
            requests: 0,
            refused: 0,
            errors: BTreeMap::new(),
            checks: Checks::default(),
            whole: Latencies::new(),
            steps: steps.iter().map(|name| (*name, Latencies::new())).collect(),
            last_done: None,
        }
    }

    /// A unit was done.
    pub(crate) fn done(&mut self, took: Duration, now: Instant) {
        if self.measuring {
            self.done += 1;
            self.whole.record(took);
            self.last_done = Some(now);
        }
    }

    /// A request of a unit was answered.
    pub(crate) fn answered(&mut self, step: usize, took: Duration) {
        if self.measuring {
            self.requests += 1;
            self.steps[step].1.record(took);
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

    pub(crate) fn add(&mut self, other: Self) {
        self.done += other.done;
        self.requests += other.requests;
        self.refused += other.refused;
        for (why, times) in other.errors {
            *self.errors.entry(why).or_default() += times;
        }
        self.checks.add(other.checks);
        self.whole.add(&other.whole);
        for ((_, step), (_, other)) in self.steps.iter_mut().zip(&other.steps) {
            step.add(other);
        }
        self.last_done = self.last_done.max(other.last_done);
    }
}
