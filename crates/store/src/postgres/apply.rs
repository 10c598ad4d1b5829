//! Applies a batch of commands in one transaction.
//!
//! Statements are set-based and travel together: a batch of any size takes three round trips at most (one
//! without polls takes two of them, as does one with polls only), and one for COMMIT and the notifications.
//! Rare cases take some more, whose number is bounded by the limit of a sweep at most: sweeps, agents that
//! are new, say something new, say what they execute or were seen before, tasks that are posted twice,
//! results of attempts that are over or not the first, tasks that expire unclaimed, and tasks that another
//! AFM was faster to take.
//!
//! Rows that exist are locked without waiting: a row that another session has locked is passed over, and the
//! command that needs it is replied [`Locked`](slamon_domain::Locked), or (where an agent was seen) its
//! heartbeat is given back to be saved later. Only inserts wait for others, for a moment (see `locks`), and
//! in one order, so that batches of several AFMs do not wait for each other in a circle: new tasks by id,
//! attempts, new agents by id.

mod agents;
mod claims;
mod endings;
mod locks;
mod operations;
mod polls;
mod running;
mod saving;
mod submits;
mod sweeps;

use std::time::Duration;

use futures_util::future::{try_join3, try_join4};
use jiff::Timestamp;
use slamon_domain::batch::Executor;
use slamon_domain::{Applied, Command, Running, Sweep};
use uuid::Uuid;

use self::agents::{Agents, SavedAgents};
use self::endings::Endings;
pub(super) use self::locks::Locks;
use self::polls::{BatchClaims, Polls};
use self::saving::Saving;
use self::submits::Submits;
use super::claiming::ClaimingBatch;
use super::errors::PgError;
use super::outgoing_notifications::OutgoingNotifications;
use super::queue_diagnostics;
use super::rows;
use super::session::Session;
use super::shared_state::SharedState;
use super::sweep_progress::SweptSpan;

/// A batch that is not committed yet.
pub(super) struct UncommittedBatch {
    pub(super) applied: Applied,
    /// Agents, and the ids of the tasks that they were given.
    pub(super) claims: Vec<(Uuid, Vec<Uuid>)>,
    /// The first time at which time changes a task that this batch has changed.
    pub(super) first_due: Option<Timestamp>,
    /// How far its sweeps have looked for what is due.
    pub(super) swept: Vec<SweptSpan>,
    /// The number of the transaction, if anything was claimed in it, or agents were told of cancellations, or
    /// tasks have changed without a notification.
    pub(super) transaction: Option<String>,
    /// The notifications that go out with the commit.
    pub(super) notifications: OutgoingNotifications,
}

/// How a batch is applied.
#[derive(Debug, Clone, Copy)]
pub(super) struct ApplyOptions {
    pub(super) locks: Locks,
    /// Whether other AFMs are notified.
    pub(super) notifies: bool,
    /// How long an attempt may take of a task that does not say.
    pub(super) default_timeout: Option<Duration>,
}

/// Applies `batch` in a transaction that the statement `begin` begins, and leaves it open. `now` must be as
/// it is stored: in whole microseconds.
pub(super) async fn apply(
    session: &Session,
    begin: &str,
    batch: &[Command],
    now: Timestamp,
    shared: &SharedState,
    claiming: &ClaimingBatch<'_>,
    ApplyOptions { locks, notifies, default_timeout }: ApplyOptions,
) -> Result<UncommittedBatch, PgError> {
    let mut submits = Submits::of(batch, now);
    let endings = Endings::of(batch);
    let mut polls = Polls::of(batch, default_timeout);
    let mut agents = Agents::of(batch);
    let mut executor = Executor::new(now);

    submits.leave_out_attempts(session, &mut executor.snapshot).await?;
    // Statements sent together run in the order they are sent in, which is only certain once all are
    // prepared.
    let insert = submits.prepare(session).await?;
    let lock = endings.prepare(session).await?;
    // Where the first round trip has nothing else to do, the second begins the transaction.
    let says_what_runs = Running::of(batch).next().is_some();
    let releases = batch.iter().any(|command| matches!(command, Command::Release { .. }));
    let is_needed =
        insert.is_some() || lock.is_some() || releases || says_what_runs || sweeps_in(batch).next().is_some();
    let (at_first, later) = if is_needed { (Some(begin), None) } else { (None, Some(begin)) };
    let begun = session.script_if(at_first);
    let inserting = submits.insert(session, insert.as_ref(), locks);
    let locking = endings.lock(session, lock.as_ref());
    let (inserted, locked) = if locks == Locks::Sorting {
        // Rows that inserts lock while they are tried are let go when these are taken back.
        begun.await?;
        (inserting.await?, locking.await?)
    } else {
        let ((), inserted, locked) = try_join3(begun, inserting, locking).await?;
        (inserted, locked)
    };
    endings::add_tasks(&locked, &mut executor.snapshot)?;
    endings.find_rest(session, &mut executor.snapshot).await?;
    submits.find(session, &inserted, &mut executor.snapshot).await?;
    let mut swept_until = Vec::new();
    for sweep in sweeps_in(batch) {
        swept_until.extend(sweeps::find(session, sweep, now, &mut executor.snapshot, shared).await?);
    }
    running::find(session, batch, &mut executor.snapshot).await?;
    for (id, diagnostics) in queue_diagnostics::of_expired(session, executor.snapshot.expired(now)).await? {
        executor.snapshot.add_diagnostics(id, diagnostics);
    }

    executor.execute(batch);

    endings::tell_again(session, batch, &mut executor).await?;
    let saving = Saving::prepare(session, &executor).await?;
    for (agent_id, at) in seen_in(batch).flatten() {
        agents.see(*agent_id, rows::as_stored(*at));
    }
    let looking_at_agents = agents.prepare(session).await?;
    polls.look_also_for(&executor.effects.waiting, claiming);
    polls.prepare(session).await?;
    let ((), (), known_agents, found) = try_join4(
        session.script_if(later),
        saving.save(session, &executor, locks),
        agents.look(session, looking_at_agents.as_ref()),
        polls.find(session, now),
    )
    .await?;
    let saved = agents.save(session, known_agents, now, locks).await?;
    let changed_due = executor.first_due();
    let Executor { mut replies, mut effects, .. } = executor;
    replies.seen = seen_in(batch).map(|agents| Ok(saved.unknown(agents))).collect();
    let SavedAgents { cancelled, unsaved, heartbeats, .. } = saved;
    for (agent_id, at) in heartbeats {
        effects.add_heartbeat(agent_id, at);
    }
    let tells = !cancelled.is_empty();
    let claimed = polls.claim(session, found, claiming, cancelled, now).await?;
    for (sweep, swept) in sweeps_in(batch).zip(replies.sweeps.iter_mut().flatten()) {
        sweeps::clean(session, sweep, swept, now, &shared.sweep_progress).await?;
    }

    let (operations, pauses_changed) = operations::apply(session, batch, now).await?;
    replies.operations = operations;

    let BatchClaims { polled, claims, searched, transitions, first_due, mut transaction } = claimed;
    effects.transitions.extend(transitions);
    replies.polls = polled.into_iter().map(Ok).collect();
    let claimed_ids = claims.iter().flat_map(|(_, task_ids)| task_ids).copied();
    let applied = Applied { searched, unsaved, pauses_changed, ..effects.into_applied(replies, claimed_ids) };
    let notifications = if notifies {
        OutgoingNotifications::prepare(session, shared.instance, &applied).await?
    } else {
        OutgoingNotifications::none()
    };
    let counts_alone = !applied.transitions.is_empty() && notifications.is_empty();
    if (tells || counts_alone) && transaction.is_none() {
        // With the number it can be found out after a cut connection whether agents were told, and by a count
        // whether it has seen these changes. Notifications bring it along.
        let number = session.query("select pg_current_xact_id()::text", &[]).await?;
        transaction = number.first().map(|row| row.try_get(0)).transpose()?;
    }
    let first_due = [changed_due, first_due].into_iter().flatten().min();
    Ok(UncommittedBatch { applied, claims, first_due, swept: swept_until, transaction, notifications })
}

fn sweeps_in(batch: &[Command]) -> impl Iterator<Item = &Sweep> {
    batch.iter().filter_map(|command| if let Command::Sweep(sweep) = command { Some(sweep) } else { None })
}

fn seen_in(batch: &[Command]) -> impl Iterator<Item = &Vec<(Uuid, Timestamp)>> {
    batch.iter().filter_map(|command| if let Command::Seen(agents) = command { Some(agents) } else { None })
}
