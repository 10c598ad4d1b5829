//! Applies a batch of commands in one transaction.
//!
//! Statements are set-based and travel together. A batch of posts, results and claims takes two round trips,
//! whatever its size: what is found and inserted goes first, what is saved and claimed goes with the COMMIT. If
//! other AFMs listen, claims take a round trip more, since another one may be faster to take a task; so they do
//! on the second try where somebody was. Any other batch takes three at most, and one for COMMIT and the
//! notifications. Rare cases take some more, whose number is bounded by the limit of a sweep at most: sweeps,
//! agents that are new, say something new, say what they execute or were seen before, tasks that are posted
//! twice, results of attempts that are over or not the first, tasks that expire unclaimed, and tasks that another
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
mod last_trip;
mod locks;
mod open_poll;
mod operations;
mod polls;
mod running;
mod saving;
mod submits;
mod sweeps;

use std::collections::HashMap;
use std::mem;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::try_join4;
use jiff::Timestamp;
use slamon_domain::batch::{Executor, LockedTask};
use slamon_domain::{Applied, Command, Running, State, Sweep};
use tokio_postgres::Row;
use uuid::Uuid;

use self::agents::{Agents, KnownAgents, SavedAgents};
use self::endings::Endings;
use self::last_trip::LastTrip;
pub(super) use self::last_trip::LastTripFailure;
pub(super) use self::locks::Locks;
use self::polls::{BatchClaims, FoundCandidates, Polls};
use self::saving::Saving;
use self::submits::Submits;
use super::claiming::ClaimingBatch;
use super::errors::PgError;
use super::outgoing_notifications::OutgoingNotifications;
use super::queue_diagnostics;
use super::row_place::RowPlace;
use super::rows;
use super::session::Session;
use super::shared_state::SharedState;
use super::sweep_progress::SweptSpan;

/// A batch that is not committed yet.
pub(super) struct UncommittedBatch<'a> {
    /// What the batch did, but for what its polls are replied.
    applied: Applied,
    polls: Polls<'a>,
    /// The cancellations that each agent is told of.
    cancelled: HashMap<Uuid, Vec<Uuid>>,
    last_trip: LastTrip<'a>,
    now: Timestamp,
}

/// What is to be known of a batch once its commit has ended, however it did.
pub(super) struct BatchFacts {
    /// Agents, and the ids of the tasks that they were given.
    pub(super) claims: Vec<(Uuid, Vec<Uuid>)>,
    /// The cancellations that agents are told of in the replies.
    pub(super) told: Vec<(Uuid, Vec<Uuid>)>,
    /// Whether notifications go out with the commit.
    pub(super) notifies: bool,
    /// The first time at which time changes a task that this batch has changed.
    pub(super) first_due: Option<Timestamp>,
    /// How far its sweeps have looked for what is due.
    pub(super) swept: Vec<SweptSpan>,
    /// The number of the transaction: at least if anything is claimed in it, or agents are told of cancellations,
    /// or tasks change without a notification.
    pub(super) transaction: Option<String>,
}

impl UncommittedBatch<'_> {
    /// Commits the batch, and returns the number of the transaction with it, if notifications were sent.
    pub(super) async fn commit(
        self,
        session: &Session,
    ) -> Result<(Applied, Option<String>), LastTripFailure> {
        let Self { mut applied, mut polls, cancelled, last_trip, now } = self;
        let number = last_trip.commit(session, &mut polls, now).await?;
        let claimed = polls.into_claims(cancelled).map_err(LastTripFailure::Commit)?;
        let BatchClaims { polled, searched, transitions } = claimed;
        applied.searched = searched;
        applied.transitions.extend(transitions);
        applied.replies.polls = polled.into_iter().map(Ok).collect();
        Ok((applied, number))
    }
}

/// How a batch is applied.
#[derive(Debug, Clone, Copy)]
pub(super) struct ApplyOptions {
    pub(super) locks: Locks,
    /// Whether other AFMs are notified.
    pub(super) notifies: bool,
    /// Whether claims may be saved with the commit, where they fail if somebody else is faster to take a task.
    pub(super) claims_last: bool,
    /// How long an attempt may take of a task that does not say.
    pub(super) default_timeout: Option<Duration>,
}

/// Applies `batch` in a transaction that the statement `begin` begins, up to its last round trip. `now` must be
/// as it is stored: in whole microseconds.
pub(super) async fn apply<'a>(
    session: &Session,
    begin: &str,
    batch: &'a [Command],
    now: Timestamp,
    shared: &SharedState,
    claiming: &ClaimingBatch<'_>,
    ApplyOptions { locks, notifies, claims_last, default_timeout }: ApplyOptions,
) -> Result<(UncommittedBatch<'a>, BatchFacts), PgError> {
    let mut submits = Submits::of(batch, now);
    let endings = Endings::of(batch);
    let mut polls = Polls::of(batch, default_timeout);
    let mut agents = Agents::of(batch);
    let mut executor = Executor::new(now);

    submits.leave_out_attempts(session, &mut executor.snapshot).await?;
    // What these commands do makes no other task wait, and saves no agent: candidates can be looked for at
    // once.
    let is_short = locks != Locks::Sorting
        && batch.iter().all(|command| {
            matches!(command, Command::Submit(_) | Command::Report(_) | Command::Claim { .. })
        });
    // Statements sent together run in the order they are sent in, which is only certain once all are
    // prepared.
    let insert = submits.prepare(session).await?;
    let lock = endings.prepare(session).await?;
    let looks_early = is_short && !polls.is_empty();
    if looks_early {
        let arrived = shared.arrivals.load(Ordering::Relaxed);
        polls.look_also_for(&submits.will_wait(arrived), claiming);
        polls.prepare(session).await?;
    }
    // Where the first round trip has nothing else to do, the second begins the transaction.
    let says_what_runs = Running::of(batch).next().is_some();
    let releases = batch.iter().any(|command| matches!(command, Command::Release { .. }));
    let is_needed = is_short
        || insert.is_some()
        || lock.is_some()
        || releases
        || says_what_runs
        || sweeps_in(batch).next().is_some();
    let (at_first, later) = if is_needed { (Some(begin), None) } else { (None, Some(begin)) };
    let begun = session.script_if(at_first);
    let inserting = submits.insert(session, insert.as_ref(), locks);
    let locking = endings.lock(session, lock.as_ref());
    let (inserted, locked, found) = if locks == Locks::Sorting {
        // Rows that inserts lock while they are tried are let go when these are taken back.
        begun.await?;
        (inserting.await?, locking.await?, FoundCandidates::default())
    } else {
        let finding = async {
            if looks_early { polls.find(session, now).await } else { Ok(FoundCandidates::default()) }
        };
        let ((), inserted, locked, found) = try_join4(begun, inserting, locking, finding).await?;
        (inserted, locked, found)
    };
    let number = |rows: &[Row]| rows.first().map(|row| row.try_get("transaction")).transpose();
    let mut transaction: Option<String> = match number(&inserted.rows)? {
        None => number(&locked)?,
        inserted => inserted,
    };
    endings::add_tasks(&locked, &mut executor.snapshot)?;
    let places = locked.iter().map(|row| Ok((row.try_get("id")?, row.try_get("place")?)));
    let places: HashMap<Uuid, RowPlace> = places.collect::<Result<_, PgError>>()?;
    endings.find_rest(session, &mut executor.snapshot).await?;
    submits.find(session, &inserted, &mut executor.snapshot, &shared.arrivals).await?;
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
    let saving = Saving::prepare(session, &executor, places).await?;
    for (agent_id, at) in seen_in(batch).flatten() {
        agents.see(*agent_id, rows::as_stored(*at));
    }
    // A report may find that its task has come to wait: that one was not looked for.
    let waits = |locked: &LockedTask| matches!(locked.task.state, State::Pending);
    let is_short = is_short && saving.is_of_tasks() && !executor.changed_tasks().any(waits);
    let (found, known_agents) = if is_short {
        (found, KnownAgents::default())
    } else {
        let looking_at_agents = agents.prepare(session).await?;
        polls.look_also_for(executor.effects.waiting.iter().map(|(_, kind)| kind), claiming);
        polls.prepare(session).await?;
        let ((), (), known_agents, found) = try_join4(
            session.script_if(later),
            saving.save(session, &executor, locks),
            agents.look(session, looking_at_agents.as_ref()),
            polls.find(session, now),
        )
        .await?;
        (found, known_agents)
    };
    let saved = agents.save(session, known_agents, now, locks).await?;
    let changed_due = executor.first_due();
    let mut replies = mem::take(&mut executor.replies);
    let mut effects = mem::take(&mut executor.effects);
    replies.seen = seen_in(batch).map(|agents| Ok(saved.unknown(agents))).collect();
    let SavedAgents { cancelled, unsaved, heartbeats, .. } = saved;
    for (agent_id, at) in heartbeats {
        effects.add_heartbeat(agent_id, at);
    }
    let chosen = polls.choose(&found, claiming, now)?;
    if transaction.is_none() {
        transaction = number(&found.rows)?;
    }
    let is_last = is_short && (chosen.is_empty() || claims_last) && polls.ends_with(&chosen);
    let mut last_trip = LastTrip { saving: None, claims: None, notifications: OutgoingNotifications::none() };
    let claims = if is_last {
        let claims = polls.expected_claims(&chosen);
        last_trip.claims = claims::prepare(session, &chosen).await?.map(|statement| (chosen, statement));
        last_trip.saving = Some((saving, executor));
        claims
    } else {
        if is_short {
            saving.save_tasks(session, &executor).await?;
        }
        polls.claim(session, chosen, claiming, now).await?;
        polls.expected_claims(&[])
    };
    for (sweep, swept) in sweeps_in(batch).zip(replies.sweeps.iter_mut().flatten()) {
        sweeps::clean(session, sweep, swept, now, &shared.sweep_progress).await?;
    }

    let (operations, pauses_changed) = operations::apply(session, batch, now).await?;
    replies.operations = operations;

    let claimed_ids = claims.iter().flat_map(|(_, task_ids)| task_ids).copied();
    let applied = Applied { unsaved, pauses_changed, ..effects.into_applied(replies, claimed_ids) };
    if notifies {
        last_trip.notifications = OutgoingNotifications::prepare(session, shared.instance, &applied).await?;
    }
    let counts_alone =
        !(applied.transitions.is_empty() && claims.is_empty()) && last_trip.notifications.is_empty();
    if (!cancelled.is_empty() || counts_alone) && transaction.is_none() {
        // With the number it can be found out after a cut connection whether agents were told, and by a count
        // whether it has seen these changes. Notifications bring it along.
        transaction = number(&session.query("select pg_current_xact_id()::text as transaction", &[]).await?)?;
    }
    let first_due = [changed_due, polls.first_due()].into_iter().flatten().min();
    let told = cancelled.iter().map(|(agent_id, ids)| (*agent_id, ids.clone())).collect();
    let notifies = !last_trip.notifications.is_empty();
    let facts = BatchFacts { claims, told, notifies, first_due, swept: swept_until, transaction };
    Ok((UncommittedBatch { applied, polls, cancelled, last_trip, now }, facts))
}

fn sweeps_in(batch: &[Command]) -> impl Iterator<Item = &Sweep> {
    batch.iter().filter_map(|command| if let Command::Sweep(sweep) = command { Some(sweep) } else { None })
}

fn seen_in(batch: &[Command]) -> impl Iterator<Item = &Vec<(Uuid, Timestamp)>> {
    batch.iter().filter_map(|command| if let Command::Seen(agents) = command { Some(agents) } else { None })
}
