//! A batch of commands in one transaction.
//!
//! Statements are set-based and travel together: three trips to the server for a batch of any size, a fourth where
//! somebody may be waiting for what it did, and one for COMMIT. What is rare (sweeps, offers that have changed, tasks
//! posted twice, tasks that expire unclaimed, tasks that another AFM was faster to take) takes some more, their number
//! bounded by the sweep's limit at most.
//!
//! Locks are taken in one order, so that batches of several AFMs do not wait for each other in a circle: new tasks by
//! id, tasks that end by id, their attempts, agents by id. A batch that holds locks of one kind waits for no earlier
//! one. Claims and sweeps, which find tasks by other things than their id, wait for nobody: they skip what is locked.
//! What remains (two AFMs that meet the same two agents for the first time) the server breaks up, and it is tried
//! again.

mod agents;
mod endings;
mod polls;
mod submits;
mod sweeps;
mod tasks;

use futures_util::future::try_join3;
use jiff::Timestamp;
use uuid::Uuid;

use self::agents::Agents;
use self::endings::Endings;
use self::polls::Polls;
use self::submits::Submits;
use self::tasks::{News, Tasks};
use super::connection::Session;
use super::errors::Problem;
use super::{notices, rows};
use crate::{Applied, Command, Outcome, Swept};

/// A batch that is not committed yet.
pub(super) struct Uncommitted {
    pub(super) applied: Applied,
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
pub(super) async fn apply(
    session: &Session,
    batch: &[Command],
    now: Timestamp,
) -> Result<Uncommitted, Problem> {
    let mut submits = Submits::of(batch, now);
    let endings = Endings::of(batch);
    let polls = Polls::of(batch);
    let mut agents = Agents::of(batch);
    let mut outcomes = Outcomes(vec![None; batch.len()]);
    let mut tasks = Tasks::new(now);
    let mut news = News::default();

    // Statements sent together run in the order they are sent in, which is only certain once all are prepared.
    let insert = submits.prepare(session).await?;
    let finding = endings.prepare(session).await?;
    let ((), inserted, (locked, past)) = try_join3(
        session.script("begin isolation level read committed read write"),
        submits.insert(session, insert.as_ref()),
        endings.lock(session, &finding),
    )
    .await?;
    for row in &locked {
        tasks.add(rows::task(row)?);
    }
    for row in &past {
        let (task_id, past, _) = rows::attempt(row)?;
        tasks.add_past(task_id, past);
    }
    submits.decide(session, &inserted, &mut outcomes, &mut news).await?;
    let swept = decide(session, batch, &submits, &mut tasks, &mut outcomes, &mut news).await?;

    let saving = tasks.prepare(session).await?;
    for agent_id in &tasks.seen {
        agents.see(*agent_id, now);
    }
    for (agent_id, at) in batch.iter().flat_map(seen) {
        agents.see(*agent_id, rows::as_stored(*at));
    }
    let saving_agents = agents.prepare(session).await?;
    let candidates = polls.prepare(session).await?;
    let ((), saved, found) = try_join3(
        tasks.save(session, &saving),
        agents.save(session, &saving_agents, now),
        polls.find(session, candidates.as_ref(), now),
    )
    .await?;
    agents.save_offers(session, &saved).await?;
    for (place, command) in batch.iter().enumerate() {
        if let Command::Seen(agents) = command {
            outcomes.set(place, Outcome::Seen(saved.unknown(agents)));
        }
    }
    let claims =
        polls.claim(session, candidates.as_ref(), found, saved.cancelled, now, &mut outcomes).await?;
    for (place, mut swept) in swept {
        if let Command::Sweep(sweep) = &batch[place] {
            sweeps::clean(session, sweep, &mut swept, now).await?;
            outcomes.set(place, Outcome::Sweep(swept));
        }
    }

    let News { waiting, ended, untold } = news;
    let payloads = notices::payloads(&waiting, &ended, &untold);
    if !payloads.is_empty() {
        session.query(notices::NOTIFY, &[&payloads]).await?;
    }
    let outcomes = outcomes.0.into_iter().collect::<Option<Vec<_>>>();
    let outcomes = outcomes.ok_or_else(|| Problem::Wrong("a command was left without outcome".to_owned()))?;
    Ok(Uncommitted { applied: Applied { outcomes, waiting, ended, untold }, claims })
}

fn seen(command: &Command) -> &[(Uuid, Timestamp)] {
    if let Command::Seen(agents) = command { agents } else { &[] }
}

/// Decides all commands but submits and polls, in their order; sweeps by the place of their command.
async fn decide(
    session: &Session,
    batch: &[Command],
    submits: &Submits<'_>,
    tasks: &mut Tasks,
    outcomes: &mut Outcomes,
    news: &mut News,
) -> Result<Vec<(usize, Swept)>, Problem> {
    let mut found = Vec::new();
    for command in batch {
        if let Command::Sweep(sweep) = command {
            found.push(sweeps::find(session, sweep, tasks).await?);
        }
    }
    tasks.look_around(session).await?;
    let mut found = found.iter();
    let mut swept = Vec::new();
    for (place, command) in batch.iter().enumerate() {
        if let Some(outcome) = endings::decide((place, command), tasks, submits, news) {
            outcomes.set(place, outcome);
        } else if let Command::Sweep(_) = command {
            swept.extend(found.next().map(|found| (place, sweeps::decide(found, tasks, news))));
        }
    }
    Ok(swept)
}
