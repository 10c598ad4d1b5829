//! Sends the commands that time asks for: expired tasks, attempts that took too long, lost agents, old tasks.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use slamon_store::{Sweep, Swept};

use crate::clock::Clock;
use crate::dispatch::committer::{CommitError, Committer};
use crate::dispatch::heartbeats::Heartbeats;

/// The most tasks to change in one transaction, so that claims never wait long for it.
const LIMIT: u32 = 100;

/// A task that was posted meanwhile may be due before the next one known, so never sleep longer.
const LONGEST_SLEEP: Duration = Duration::from_millis(500);

/// And never shorter, unless there is more to do at once.
const SHORTEST_SLEEP: Duration = Duration::from_millis(10);

/// The least time between two looks for lost agents and old tasks.
const SHORTEST_ROUND: Duration = Duration::from_secs(1);

/// The most time between them.
const LONGEST_ROUND: Duration = Duration::from_secs(10);

/// Sweeps that are further apart than this were held up.
const GAP: SignedDuration = SignedDuration::from_secs(15);

/// By how much a clock that is followed may go back without having been set.
const BACK: SignedDuration = SignedDuration::from_secs(1);

/// What is watched over.
#[derive(Debug, Clone, Copy)]
pub struct SweepPolicy {
    /// AGENT_ACTIVE_THRESHOLD; `None` without AUTO_CLEANUP.
    pub lost_after: Option<Duration>,
    /// AGENT_DROP_THRESHOLD; `None` without AUTO_CLEANUP.
    pub forget_after: Option<Duration>,
    /// TASK_RETENTION; `None`: finished tasks are kept.
    pub delete_after: Option<Duration>,
}

/// Knows what to sweep for, and when.
#[derive(Debug)]
pub struct Sweeper {
    watch: SweepPolicy,
    committer: Committer,
    heartbeats: Heartbeats,
    clock: Clock,
    /// Since when agents could reach us. An outage of ours is not their fault, so nobody is called lost until it is
    /// a full threshold ago.
    serving_since: Timestamp,
    next_round: Timestamp,
}

impl Sweeper {
    /// A sweeper for an AFM that starts now.
    #[must_use]
    pub fn new(watch: SweepPolicy, committer: Committer, heartbeats: Heartbeats, clock: Clock) -> Self {
        let now = clock.now();
        Self { watch, committer, heartbeats, clock, serving_since: now, next_round: now }
    }

    /// Sweeps as often as it takes, for ever.
    pub async fn run(mut self) {
        let mut last = self.clock.now();
        loop {
            let now = self.clock.now();
            // The machine slept, or the database's clock was set: agents could not reach us meanwhile, or it only looks so.
            let passed = now.duration_since(last);
            if passed < -BACK || passed > GAP {
                self.serving_since = now;
                self.next_round = now;
            }
            last = now;
            let swept = self.sweep().await;
            tokio::time::sleep(Self::pause(swept.as_ref().ok(), self.clock.now())).await;
        }
    }

    /// Sweeps once.
    ///
    /// # Errors
    /// When it could not be committed; the next one makes up for it.
    pub async fn sweep(&mut self) -> Result<Swept, CommitError> {
        let now = self.clock.now();
        let round = now >= self.next_round;
        if round && self.watch.lost_after.is_some() && self.heartbeats.flush().await.is_err() {
            self.serving_since = now;
        }
        let flushing = Duration::try_from(self.clock.now().duration_since(now)).unwrap_or_default();
        let sweep = self.command(round, now, flushing);
        let swept = self.committer.sweep(sweep).await;
        match &swept {
            Ok(swept) => {
                if let Some(silence) = sweep.forget_after.filter(|_| swept.forgotten > 0) {
                    self.heartbeats.forget_silent(silence, self.clock.now());
                }
                if round && !swept.more {
                    self.next_round = now.checked_add(self.round()).unwrap_or(now);
                }
                if swept.lost + swept.forgotten + swept.deleted > 0 {
                    tracing::info!(
                        lost_attempts = swept.lost,
                        forgotten_agents = swept.forgotten,
                        deleted_tasks = swept.deleted,
                        "swept"
                    );
                }
            }
            Err(_) => self.serving_since = now,
        }
        swept
    }

    /// Who was seen while heartbeats were `flushing` looks as silent as before.
    fn command(&self, round: bool, now: Timestamp, flushing: Duration) -> Sweep {
        let reachable_for = Duration::try_from(now.duration_since(self.serving_since)).unwrap_or_default();
        let due = |after: &Duration| round && reachable_for >= *after;
        let lost_after = self.watch.lost_after.filter(due);
        let forget_after = self.watch.forget_after.filter(due);
        Sweep {
            limit: LIMIT,
            lost_after: lost_after.map(|after| after.saturating_add(flushing)),
            forget_after: forget_after.map(|after| after.saturating_add(flushing)),
            delete_after: self.watch.delete_after.filter(|_| round),
        }
    }

    /// How often to look for lost agents: often enough to be within a tenth of the threshold.
    fn round(&self) -> Duration {
        self.watch.lost_after.map_or(LONGEST_ROUND, |after| after / 10).clamp(SHORTEST_ROUND, LONGEST_ROUND)
    }

    fn pause(swept: Option<&Swept>, now: Timestamp) -> Duration {
        let Some(swept) = swept else { return LONGEST_SLEEP };
        if swept.more {
            return Duration::ZERO;
        }
        let until_due =
            swept.next_due.map(|due| Duration::try_from(due.duration_since(now)).unwrap_or_default());
        // What is due may be another AFM's to do, which has it locked.
        until_due.unwrap_or(LONGEST_SLEEP).clamp(SHORTEST_SLEEP, LONGEST_SLEEP)
    }
}
