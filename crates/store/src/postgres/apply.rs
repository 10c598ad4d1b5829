//! A batch of commands in one transaction.
//!
//! Statements are set-based and travel together: for a batch of any size three trips to the server at most (one that brings
//! no polls takes two of them, as does one that brings only polls), and one for COMMIT and what is said to other AFMs.
//! What is rare (sweeps, agents that are new, say something new, say what they execute or were not seen for a
//! second, tasks posted twice, results of attempts that are over or not the first, tasks that expire unclaimed, tasks
//! that another AFM was faster to take) takes some more, their number bounded by the sweep's limit at most.
//!
//! Rows that are there are locked without waiting: a row that somebody else has locked is passed over, and the command that
//! needs it has the outcome [`Outcome::Locked`], or (when an agent was seen) saves it later. Only inserts wait for others, for
//! a moment (see `locks`), and in one order, so that batches of several AFMs do not wait for each other in a circle: new
//! tasks by id, attempts, new agents by id.

mod agents;
mod claims;
mod endings;
mod locks;
mod polls;
mod running;
mod submits;
mod sweeps;
mod tasks;

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::{try_join3, try_join4};
use jiff::Timestamp;
use uuid::Uuid;

use self::agents::{Agents, Saved};
use self::endings::Endings;
pub(super) use self::locks::Locks;
use self::polls::{Claimed, Polls};
use self::running::{Accounts, Held};
use self::submits::Submits;
use self::tasks::{News, Tasks};
use super::claiming::ClaimingBatch;
use super::connection::Session;
use super::errors::Problem;
use super::memory::{Done, Memory};
use super::notices::Notices;
use super::rows;
use crate::{Applied, Command, Outcome, Running, Swept};

/// A batch that is not committed yet.
pub(super) struct Uncommitted {
    pub(super) applied: Applied,
    /// Agents and the tasks they were given.
    pub(super) claims: Vec<(Uuid, Vec<Uuid>)>,
    /// The first time at which time changes a task that this batch has changed.
    pub(super) first_due: Option<Timestamp>,
    /// How far its sweeps have looked.
    pub(super) swept: Vec<Done>,
    /// Signs of life that were kept before, and are saved with it.
    pub(super) signs: HashMap<Uuid, Timestamp>,
    /// The number of the transaction, if anything was claimed in it, or agents were told of cancels.
    pub(super) transaction: Option<String>,
    /// What is said with the commit.
    pub(super) notices: Notices,
}

/// How a batch is applied.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    pub(super) locks: Locks,
    /// Whether other AFMs are told.
    pub(super) says: bool,
    /// How long an attempt may take of a task that does not say.
    pub(super) default_timeout: Option<Duration>,
}

/// Outcomes by the place of their command.
struct Outcomes(Vec<Option<Outcome>>);

impl Outcomes {
    fn set(&mut self, place: usize, outcome: Outcome) {
        self.0[place] = Some(outcome);
    }
}

/// Applies `batch` in a transaction that `begin` begins, and leaves it open. `now` must be as it is stored.
pub(super) async fn apply(
    session: &Session,
    begin: &str,
    batch: &[Command],
    now: Timestamp,
    memory: &Memory,
    claiming: &ClaimingBatch<'_>,
    Manner { locks, says, default_timeout }: Manner,
) -> Result<Uncommitted, Problem> {
    let mut submits = Submits::of(batch, now);
    let endings = Endings::of(batch);
    let mut polls = Polls::of(batch, default_timeout);
    let mut agents = Agents::of(batch);
    let mut outcomes = Outcomes(vec![None; batch.len()]);
    let mut tasks = Tasks::new(now);
    let mut news = News::default();

    submits.leave_out_attempts(session).await?;
    // Statements sent together run in the order they are sent in, which is only certain once all are prepared.
    let insert = submits.prepare(session).await?;
    let lock = endings.prepare(session).await?;
    let begin = &*locks.begin(session, begin);
    // Where the first trip has nothing else to do, the second begins.
    let says_what_runs = Running::of(batch).next().is_some();
    let releases = batch.iter().any(|command| matches!(command, Command::Release { .. }));
    let is_needed =
        insert.is_some() || lock.is_some() || releases || says_what_runs || batch.iter().any(is_sweep);
    let (at_first, later) = if is_needed { (Some(begin), None) } else { (None, Some(begin)) };
    let ((), inserted, locked) = try_join3(
        session.script_if(at_first),
        submits.insert(session, insert.as_ref(), locks),
        endings.lock(session, lock.as_ref()),
    )
    .await?;
    tasks.add_all(&locked)?;
    endings.find_rest(session, &mut tasks).await?;
    submits.decide(session, &inserted, &mut outcomes, &mut news).await?;
    let Decided { swept, done, accounts } =
        decide(session, batch, memory, &submits, &mut tasks, &mut outcomes, &mut news).await?;

    endings::tell_again(session, batch, &mut outcomes, &mut news).await?;

    let saving = tasks.prepare(session).await?;
    for agent_id in &tasks.seen {
        if !memory.signs.keeps(*agent_id, now) {
            agents.see(*agent_id, now);
        }
    }
    for (agent_id, at) in batch.iter().flat_map(seen) {
        agents.see(*agent_id, rows::as_stored(*at));
    }
    let mut signs = HashMap::new();
    if batch.iter().any(looks_for_silent_agents) {
        signs = memory.signs.all();
        agents.see_exactly(&signs);
    }
    let looking_at_agents = agents.prepare(session).await?;
    polls.look_also_for(&news, claiming);
    polls.prepare(session).await?;
    let ((), (), known_agents, found) = try_join4(
        session.script_if(later),
        tasks.save(session, &saving, locks),
        agents.look(session, looking_at_agents.as_ref()),
        polls.find(session, now),
    )
    .await?;
    let saved = agents.save(session, known_agents, now, &memory.signs, locks).await?;
    signs.retain(|id, _| !saved.locked.contains(id));
    for (place, command) in batch.iter().enumerate() {
        if let Command::Seen(agents) = command {
            outcomes.set(place, Outcome::Seen(saved.unknown(agents)));
        }
    }
    let Saved { cancelled, unsaved, .. } = saved;
    let tells = !cancelled.is_empty();
    let claimed = polls.claim(session, found, claiming, cancelled, now, &mut outcomes).await?;
    for (place, mut swept) in swept {
        if let Command::Sweep(sweep) = &batch[place] {
            sweeps::clean(session, sweep, &mut swept, now, &memory.swept).await?;
            outcomes.set(place, Outcome::Sweep(swept));
        }
    }

    news.forget_gone(&claimed.claims);
    let News { waiting, ended, untold } = news;
    let outcomes = outcomes.0.into_iter().collect::<Option<Vec<_>>>();
    let outcomes = outcomes.ok_or_else(|| Problem::Wrong("a command was left without outcome".to_owned()))?;
    let waiting = waiting.into_iter().map(|(_, waiting)| waiting).collect();
    let Accounts { accounted, abandoned } = accounts;
    let Claimed { claims, searched, first_due, mut transaction } = claimed;
    let applied = Applied { outcomes, waiting, searched, ended, untold, accounted, abandoned, unsaved };
    let notices = if says { Notices::prepare(session, memory.me, &applied).await? } else { Notices::none() };
    if tells && transaction.is_none() {
        // What agents are told is given back only once it is known whether they were.
        let number = session.query("select pg_current_xact_id()::text", &[]).await?;
        transaction = number.first().map(|row| row.try_get(0)).transpose()?;
    }
    let first_due = [submits.first_due(), tasks.first_due(), first_due].into_iter().flatten().min();
    Ok(Uncommitted { applied, claims, first_due, swept: done, signs, transaction, notices })
}

fn is_sweep(command: &Command) -> bool {
    matches!(command, Command::Sweep(_))
}

fn looks_for_silent_agents(command: &Command) -> bool {
    matches!(command, Command::Sweep(sweep) if sweep.lost_after.is_some() || sweep.forget_after.is_some())
}

fn seen(command: &Command) -> &[(Uuid, Timestamp)] {
    if let Command::Seen(agents) = command { agents } else { &[] }
}

/// What was decided before anything is handed out.
struct Decided {
    /// By the place of their command.
    swept: Vec<(usize, Swept)>,
    /// How far sweeps have looked.
    done: Vec<Done>,
    accounts: Accounts,
}

/// Decides all commands but submits and polls, in their order, and then what agents that poll have lost.
async fn decide(
    session: &Session,
    batch: &[Command],
    memory: &Memory,
    submits: &Submits<'_>,
    tasks: &mut Tasks,
    outcomes: &mut Outcomes,
    news: &mut News,
) -> Result<Decided, Problem> {
    let mut found = Vec::new();
    for command in batch {
        if let Command::Sweep(sweep) = command {
            found.push(sweeps::find(session, sweep, tasks, memory).await?);
        }
    }
    let held = Held::find(session, batch, tasks).await?;
    tasks.look_around(session).await?;
    let done = found.iter().filter_map(|found| found.done).collect();
    let mut found = found.iter();
    let mut swept = Vec::new();
    for (place, command) in batch.iter().enumerate() {
        if let Some(outcome) = endings::decide((place, command), tasks, submits, news) {
            outcomes.set(place, outcome);
        } else if let Command::Sweep(_) = command {
            swept.extend(found.next().map(|found| (place, sweeps::decide(found, tasks, news))));
        }
    }
    let accounts = held.decide(batch, tasks, news);
    Ok(Decided { swept, done, accounts })
}
