//! A batch of commands in one transaction.
//!
//! Statements are set-based and travel together: three trips to the server for a batch of any size, and a fourth
//! for COMMIT. Locks are taken in one order (new tasks by id, tasks that end by id, agents by id), so that
//! batches of several AFMs do not wait for each other in a circle; claims wait for nobody.

mod endings;
mod polls;
mod submits;

use futures_util::future::try_join3;
use jiff::Timestamp;
use uuid::Uuid;

use self::endings::Endings;
use self::polls::Polls;
use self::submits::Submits;
use super::connection::Session;
use super::errors::Problem;
use crate::{Command, Outcome};

/// What came of a batch that is not committed yet.
pub(super) struct Applied {
    pub(super) outcomes: Vec<Outcome>,
    /// Agents and the tasks they were given.
    pub(super) claims: Vec<(Uuid, Vec<Uuid>)>,
}

/// Outcomes by the place of their command.
struct Outcomes(Vec<Option<Outcome>>);

impl Outcomes {
    fn set(&mut self, place: usize, outcome: Outcome) {
        self.0[place] = Some(outcome);
    }
}

/// Applies `batch`, and leaves the transaction open. `now` must be as it is stored.
pub(super) async fn apply(session: &Session, batch: &[Command], now: Timestamp) -> Result<Applied, Problem> {
    let mut submits = Submits::of(batch);
    let mut endings = Endings::of(batch);
    let polls = Polls::of(batch);
    let mut outcomes = Outcomes(vec![None; batch.len()]);

    // Statements sent together run in the order they are sent in, which is only certain once all are prepared.
    let (insert, lock, (save, upsert, candidates)) = try_join3(
        submits.prepare(session),
        endings.prepare_lock(session),
        try_join3(
            endings.prepare_save(session),
            polls.prepare_upsert(session),
            polls.prepare_candidates(session),
        ),
    )
    .await?;

    let ((), inserted, locked) = try_join3(
        session.script("begin isolation level read committed read write"),
        submits.insert(session, insert.as_ref(), now),
        endings.lock(session, lock.as_ref()),
    )
    .await?;
    submits.decide(session, &inserted, &mut outcomes).await?;
    endings.decide(&locked, &submits, now, &mut outcomes)?;

    let (saved, _, found) = try_join3(
        endings.save(session, save.as_ref()),
        polls.upsert_agents(session, upsert.as_ref(), now),
        polls.find(session, candidates.as_ref()),
    )
    .await?;
    endings.check(saved)?;
    let claims = polls.claim(session, &found, now, &mut outcomes).await?;

    let outcomes = outcomes.0.into_iter().collect::<Option<Vec<_>>>();
    let outcomes = outcomes.ok_or_else(|| Problem::Wrong("a command was left without outcome".to_owned()))?;
    Ok(Applied { outcomes, claims })
}
