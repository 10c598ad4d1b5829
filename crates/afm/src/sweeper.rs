//! Sends the commands that time asks for: expired tasks, attempts that took too long, lost agents, old tasks.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use slamon_store::{Sweep, Swept};

use crate::clock::Clock;
use crate::committer::{CommitError, Committer};

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
pub struct Watch {
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
    watch: Watch,
    /// Since when agents could reach us. An outage of ours is not their fault, so nobody is called lost until it is
    /// a full threshold ago.
    serving_since: Timestamp,
    next_round: Timestamp,
}

impl Sweeper {
    /// A sweeper for an AFM that starts now.
    #[must_use]
    pub fn new(watch: Watch, now: Timestamp) -> Self {
        Self { watch, serving_since: now, next_round: now }
    }

    /// Sweeps as often as it takes, for ever.
    pub async fn run(mut self, committer: Committer, clock: Clock) {
        let mut last = clock.now();
        loop {
            let now = clock.now();
            // The machine slept, or the database's clock was set: agents could not reach us meanwhile, or it only looks so.
            let passed = now.duration_since(last);
            if passed < -BACK || passed > GAP {
                self.serving_since = now;
                self.next_round = now;
            }
            last = now;
            let swept = self.sweep(&committer, now).await;
            tokio::time::sleep(Self::pause(swept.as_ref().ok(), clock.now())).await;
        }
    }

    /// Sweeps once, at `now`.
    ///
    /// # Errors
    /// When it could not be committed; the next one makes up for it.
    pub async fn sweep(&mut self, committer: &Committer, now: Timestamp) -> Result<Swept, CommitError> {
        let round = now >= self.next_round;
        let before = committer.now();
        if round && self.watch.lost_after.is_some() && committer.save_seen().await.is_err() {
            self.serving_since = now;
        }
        let saving = Duration::try_from(committer.now().duration_since(before)).unwrap_or_default();
        let swept = committer.sweep(self.command(round, now, saving)).await;
        match &swept {
            Ok(swept) => {
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

    /// Who was seen while signs of life were `saving` looks as silent as before.
    fn command(&self, round: bool, now: Timestamp, saving: Duration) -> Sweep {
        let reachable_for = Duration::try_from(now.duration_since(self.serving_since)).unwrap_or_default();
        let due = |after: &Duration| round && reachable_for >= *after;
        let lost_after = self.watch.lost_after.filter(due);
        let forget_after = self.watch.forget_after.filter(due);
        Sweep {
            limit: LIMIT,
            lost_after: lost_after.map(|after| after.saturating_add(saving)),
            forget_after: forget_after.map(|after| after.saturating_add(saving)),
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
