//! A batch, tried until it is committed or cannot be.

use jiff::Timestamp;
use uuid::Uuid;

use super::PostgresStore;
use super::apply::{self, Locks, Manner};
use super::errors::Problem;
use crate::{Applied, Command, StoreError};

impl PostgresStore {
    /// Applies a batch in a transaction. `now` must be as it is stored.
    pub(super) async fn commit(&self, batch: &[Command], now: Timestamp) -> Result<Applied, StoreError> {
        let quiet = &self.memory.quiet;
        let default_timeout = self.default_timeout;
        let mut manner = Manner { locks: Locks::Brief, says: !quiet.is_quiet(), default_timeout };
        let (mut tried, mut of_notify) = (0, None);
        loop {
            tried += 1;
            let problem = match self.try_apply(batch, now, manner).await {
                Ok(result) => {
                    match (&result, &of_notify) {
                        (Ok(_), Some(problem)) => quiet.begin(problem),
                        (Ok(_), None) if !manner.says => quiet.said_nothing(),
                        _ => {}
                    }
                    return result;
                }
                Err(Failure::OfNotify(problem)) => {
                    // It was rolled back; whether that was why, the next try tells.
                    (tried, manner.says) = (0, false);
                    of_notify = Some(problem);
                    continue;
                }
                Err(Failure::Other(problem)) => problem,
            };
            if problem.waits_for_insert() {
                if manner.locks == Locks::Sorting {
                    return Err(StoreError::Locked(anyhow::Error::msg(problem.describe())));
                }
                (tried, manner.locks) = (0, Locks::Sorting);
            } else if problem.waits_for_lock() && manner.locks == Locks::Brief {
                (tried, manner.locks) = (0, Locks::Long);
            } else if !self.another_try(&problem, tried) {
                return Err(self.explain(problem).await);
            }
        }
    }

    async fn try_apply(
        &self,
        batch: &[Command],
        now: Timestamp,
        manner: Manner,
    ) -> Result<Result<Applied, StoreError>, Failure> {
        let _running = self.running.read().await;
        let mut session = self.open(self.statement_timeout).await?;
        if manner.locks != Locks::Brief {
            session.wait_long(self.statement_timeout).await?;
        }
        let memory = &*self.memory;
        if batch.iter().any(|command| matches!(command, Command::Release { .. })) {
            session.bounded(memory.doubts.are_over(&session)).await?;
        }
        let claiming = memory.claiming.begin();
        let begin = self.fitness.begin();
        let applied = apply::apply(&session, begin, batch, now, memory, &claiming, manner);
        let uncommitted = match session.bounded(applied).await {
            Ok(uncommitted) => uncommitted,
            Err(problem) => {
                if problem.is_refused() {
                    // The server tells of an error before it lets go of the locks: the next try must not meet them.
                    if session.bounded(session.script("rollback")).await.is_ok() {
                        session.finish();
                    }
                }
                return Err(problem.into());
            }
        };
        match session.bounded(uncommitted.notices.commit(&session)).await {
            Ok(()) => {
                session.finish();
                for done in uncommitted.swept {
                    memory.swept.done(done);
                }
                if let Some(due) = uncommitted.first_due {
                    memory.swept.note(due);
                }
                memory.signs.saved(&uncommitted.signs);
                Ok(Ok(uncommitted.applied))
            }
            Err(problem) if problem.is_rolled_back() => {
                let of_notify = !uncommitted.notices.is_empty() && problem.may_be_of_notify();
                Err(if of_notify { Failure::OfNotify(problem) } else { problem.into() })
            }
            Err(problem) => {
                if let Some(transaction) = uncommitted.transaction {
                    memory.doubts.add(transaction);
                }
                Ok(Err(StoreError::InDoubt {
                    cause: anyhow::Error::msg(problem.describe()),
                    claimed_at: now,
                    claims: uncommitted.claims,
                    cancelled: told(batch, &uncommitted.applied),
                }))
            }
        }
    }
}

/// Why a batch was not committed.
enum Failure {
    /// It may be so because of what is said with it.
    OfNotify(Problem),
    Other(Problem),
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Other(problem)
    }
}

/// What agents are told that is not wanted any more.
fn told(batch: &[Command], applied: &Applied) -> Vec<(Uuid, Vec<Uuid>)> {
    let polls = batch.iter().filter_map(Command::poll).zip(&applied.replies.polls);
    polls
        .filter_map(|(poll, reply)| Some((poll.agent_id, reply.as_ref().ok()?.cancelled.clone())))
        .filter(|(_, cancelled)| !cancelled.is_empty())
        .collect()
}
