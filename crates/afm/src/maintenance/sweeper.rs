//! Sweeps: sends commands that expire tasks, end attempts that took too long, rescue the tasks of lost agents
//! and purge old tasks.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use slamon_domain::{Sweep, Swept};

use crate::clock::Clock;
use crate::dispatch::committer::{CommitError, Committer};
use crate::dispatch::heartbeats::Heartbeats;

/// A sweep changes this many tasks in one transaction at most, so that claims never wait long for it.
const LIMIT: u32 = 100;

/// The sweeper never sleeps longer, since a task that was posted meanwhile may be due before the next one it
/// knows of.
const LONGEST_SLEEP: Duration = Duration::from_millis(500);

/// The sweeper never sleeps shorter, unless there is more to do at once.
const SHORTEST_SLEEP: Duration = Duration::from_millis(10);

/// Between two searches for lost agents and old tasks at least this much time passes.
const SHORTEST_ROUND: Duration = Duration::from_secs(1);

/// Between two searches for lost agents and old tasks at most this much time passes.
const LONGEST_ROUND: Duration = Duration::from_secs(10);

/// If two sweeps are further apart than this, the machine was suspended or the clock was set.
const GAP: SignedDuration = SignedDuration::from_secs(15);

/// A clock that is followed slowly may go back by this much without having been set.
const BACK: SignedDuration = SignedDuration::from_secs(1);

/// What the sweeper looks for.
#[derive(Debug, Clone, Copy)]
pub struct SweepPolicy {
    /// An agent that is silent for this long is lost: AGENT_ACTIVE_THRESHOLD. `None` without AUTO_CLEANUP.
    pub lost_after: Option<Duration>,
    /// An agent that is silent for this long is forgotten: AGENT_DROP_THRESHOLD. `None` without AUTO_CLEANUP.
    pub forget_after: Option<Duration>,
    /// A finished task is deleted after this long: TASK_RETENTION. With `None`, it is kept.
    pub delete_after: Option<Duration>,
}

/// Decides what to sweep for, and when.
#[derive(Debug)]
pub struct Sweeper {
    policy: SweepPolicy,
    committer: Committer,
    heartbeats: Heartbeats,
    clock: Clock,
    /// Since when agents can reach this AFM. An outage is not their fault, so no agent counts as lost until a
    /// full threshold has passed since.
    serving_since: Timestamp,
    next_round: Timestamp,
}

impl Sweeper {
    /// Creates a sweeper for an AFM that starts now.
    #[must_use]
    pub fn new(policy: SweepPolicy, committer: Committer, heartbeats: Heartbeats, clock: Clock) -> Self {
        let now = clock.now();
        Self { policy, committer, heartbeats, clock, serving_since: now, next_round: now }
    }

    /// Sweeps for ever, as often as needed.
    pub async fn run(mut self) {
        let mut last = self.clock.now();
        loop {
            let now = self.clock.now();
            // The machine was suspended, and agents could not reach it; or the database's clock was set,
            // which looks the same.
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
    /// Fails when the sweep could not be committed; the next one makes up for it.
    pub async fn sweep(&mut self) -> Result<Swept, CommitError> {
        let now = self.clock.now();
        let round = now >= self.next_round;
        if round && self.policy.lost_after.is_some() && self.heartbeats.flush().await.is_err() {
            self.serving_since = now;
        }
        let flushing = Duration::try_from(self.clock.now().duration_since(now)).unwrap_or_default();
        let sweep = self.command(round, now, flushing);
        let forget_after = sweep.forget_after;
        let swept = self.committer.sweep(sweep).await;
        match &swept {
            Ok(swept) => {
                if let Some(silence) = forget_after.filter(|_| swept.forgotten > 0) {
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

    /// Builds the command. It adds the time of `flushing` to both thresholds, since agents that were seen
    /// meanwhile are not saved yet.
    fn command(&self, round: bool, now: Timestamp, flushing: Duration) -> Sweep {
        let reachable_for = Duration::try_from(now.duration_since(self.serving_since)).unwrap_or_default();
        let due = |after: &Duration| round && reachable_for >= *after;
        let lost_after = self.policy.lost_after.filter(due);
        let forget_after = self.policy.forget_after.filter(due);
        Sweep {
            limit: LIMIT,
            lost_after: lost_after.map(|after| after.saturating_add(flushing)),
            forget_after: forget_after.map(|after| after.saturating_add(flushing)),
            delete_after: self.policy.delete_after.filter(|_| round),
            // Some came meanwhile, and some could not be saved because another session has locked the agent.
            heartbeats: if lost_after.is_some() { self.heartbeats.unsaved() } else { Vec::new() },
        }
    }

    /// Returns how often to search for lost agents: a tenth of the threshold, so that none is found late by
    /// more.
    fn round(&self) -> Duration {
        self.policy.lost_after.map_or(LONGEST_ROUND, |after| after / 10).clamp(SHORTEST_ROUND, LONGEST_ROUND)
    }

    fn pause(swept: Option<&Swept>, now: Timestamp) -> Duration {
        let Some(swept) = swept else { return LONGEST_SLEEP };
        if swept.more {
            return Duration::ZERO;
        }
        let until_due =
            swept.next_due.map(|due| Duration::try_from(due.duration_since(now)).unwrap_or_default());
        // What is due may be locked by another AFM, which does it.
        until_due.unwrap_or(LONGEST_SLEEP).clamp(SHORTEST_SLEEP, LONGEST_SLEEP)
    }
}
