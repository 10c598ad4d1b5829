//! Saves the agents of a batch: those that poll, and those that were seen before.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use futures_util::future::{BoxFuture, try_join3};
use jiff::{SignedDuration, Timestamp};
use slamon_domain::Command;
use slamon_protocol::{Location, PollRequest};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};
use uuid::Uuid;

use super::locks::{Inserted, Locks, locked_by_others};
use crate::postgres::errors::PgError;
use crate::postgres::rows;
use crate::postgres::session::Session;

/// Reads what is stored of agents that polled or were seen, and whether those that polled say nothing new.
const KNOWN: &str = "
    select asked.id, known.*,
        -- EXISTS might read all that is untold, of any agent.
        (select true from attempt where untold and attempt.agent_id = asked.id limit 1) is not null as untold
    from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::integer[])
        as asked (id, name, capabilities, location, max_tasks)
    left join lateral (
        select last_seen,
            coalesce(
                name = asked.name
                    and capabilities = asked.capabilities
                    and location is not distinct from asked.location
                    and max_tasks = asked.max_tasks
                    and offered_at > '-infinity',
                true
            ) as same
        from agent
        where agent.id = asked.id
        limit 1
    ) as known on true
";

/// Saves when agents were seen. A row that another session has locked is passed over: its heartbeat is saved
/// later.
const SEEN: &str = "
    update agent
    set last_seen = greatest(last_seen, seen.time)
    from (
        select seen.time, known.at
        from unnest($1::uuid[], $2::timestamptz[]) as seen (id, time)
        cross join lateral (
            select ctid as at from agent where agent.id = seen.id for update skip locked
        ) as known
    ) as seen
    where agent.ctid = seen.at
    returning agent.id
";

/// Saves what known agents say. A row that another session has locked is passed over.
const RENEW: &str = "
    update agent
    set name = polling.name,
        capabilities = polling.capabilities,
        location = polling.location,
        max_tasks = polling.max_tasks,
        -- Another AFM's clock may be ahead.
        last_seen = greatest(agent.last_seen, $6),
        offered_at = case
            when agent.capabilities = polling.capabilities and agent.offered_at > '-infinity'
                then agent.offered_at
            else $6
        end
    from (
        select polling.*, known.at
        from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::integer[])
            as polling (id, name, capabilities, location, max_tasks)
        cross join lateral (
            select ctid as at from agent where agent.id = polling.id for update skip locked
        ) as known
    ) as polling
    where agent.ctid = polling.at
    -- At times more than have changed, never less.
    returning agent.id, agent.offered_at = $6 as changed
";

/// Inserts agents that are not known. One that another AFM inserts at the same time is updated after that.
const REGISTER: &str = "
    insert into agent (id, name, capabilities, location, max_tasks, last_seen, offered_at)
    select id, name, capabilities, location, max_tasks, $6, $6
    from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::integer[])
        as polling (id, name, capabilities, location, max_tasks)
    -- In one order in all batches, so that none waits for one that waits for it.
    order by id
    on conflict (id) do nothing
    returning id, true as changed
";

/// Takes the pending cancellations of agents. An attempt that another batch is changing is left to the next
/// poll.
const TELL: &str = "
    update attempt
    set untold = false
    from (
        select ctid as at
        from attempt
        where untold and agent_id = any($1::uuid[])
        for update skip locked
    ) as mine
    where attempt.ctid = mine.at
    returning attempt.agent_id, attempt.alias, attempt.task_id
";

/// Deletes what agents do not offer any more. Where another session has locked any offer of an agent, all of
/// them stay; these agents are answered.
const WITHDRAW: &str = concat!(
    "with ",
    locked_by_others!("agent_offer", "agent_id", "$1::uuid[]"),
    ", withdrawn as (
        delete from agent_offer
        where agent_id = any($1::uuid[]) and agent_id not in (select agent_id from locked)
    )
    select agent_id from locked"
);

/// Has the offers of agents written when they poll again.
const OFFER_LATER: &str = "update agent set offered_at = '-infinity' where id = any($1::uuid[])";

const OFFER: &str = "
    insert into agent_offer (agent_id, type, version)
    select agent_id, type, version
    from unnest($1::uuid[], $2::text[], $3::bigint[]) as offered (agent_id, type, version)
";

/// How soon an agent that polls again, and says nothing new, is not written for it. It may poll all the time:
/// while a transaction is held open, every version of its row stays, and is read past.
const SOON: SignedDuration = SignedDuration::from_secs(1);

/// The agents of a batch.
pub(super) struct Agents<'a> {
    /// The polls; of several of one agent, the last counts.
    polling: BTreeMap<Uuid, &'a PollRequest>,
    /// The times at which agents were seen before.
    seen: BTreeMap<Uuid, Timestamp>,
}

/// What is stored of the agents of a batch.
#[derive(Default)]
pub(super) struct KnownAgents {
    agents: HashMap<Uuid, KnownAgent>,
    /// The agents that polled and have pending cancellations.
    pending_cancellations: Vec<Uuid>,
}

struct KnownAgent {
    last_seen: Timestamp,
    /// Whether its poll says what it has said before, if it polls.
    same: bool,
}

/// What saving the agents of a batch has brought.
pub(super) struct SavedAgents {
    /// The cancellations that each agent is told of, by the ids that it knows.
    pub(super) cancelled: HashMap<Uuid, Vec<Uuid>>,
    /// The agents that were seen before, and are known.
    seen: HashSet<Uuid>,
    /// The times at which agents were seen, where these are not saved.
    pub(super) heartbeats: Vec<(Uuid, Timestamp)>,
    /// The agents that polled, and whose polls are not saved, or not wholly.
    pub(super) unsaved: Vec<Uuid>,
}

impl SavedAgents {
    /// Tells which of `agents` are not known.
    pub(super) fn unknown(&self, agents: &[(Uuid, Timestamp)]) -> Vec<Uuid> {
        agents.iter().map(|(id, _)| *id).filter(|id| !self.seen.contains(id)).collect()
    }
}

impl<'a> Agents<'a> {
    pub(super) fn of(batch: &'a [Command]) -> Self {
        let polls = batch.iter().filter_map(|command| match command {
            Command::Poll { poll, .. } => Some((poll.agent_id, poll)),
            _ => None,
        });
        Self { polling: polls.collect(), seen: BTreeMap::new() }
    }

    /// Notes that an agent was seen at `at`.
    pub(super) fn see(&mut self, agent_id: Uuid, at: Timestamp) {
        let latest = self.seen.entry(agent_id).or_insert(at);
        *latest = at.max(*latest);
    }

    pub(super) async fn prepare(&self, session: &Session) -> Result<Option<Statement>, PgError> {
        session.prepare_if(!self.polling.is_empty() || !self.seen.is_empty(), KNOWN).await
    }

    /// Reads what is stored of the agents.
    pub(super) async fn look(
        &self,
        session: &Session,
        statement: Option<&Statement>,
    ) -> Result<KnownAgents, PgError> {
        let ids: BTreeSet<Uuid> = self.seen.keys().chain(self.polling.keys()).copied().collect();
        let ids: Vec<Uuid> = ids.into_iter().collect();
        let polls = || ids.iter().map(|id| self.polling.get(id));
        let names: Vec<Option<&str>> = polls().map(|poll| Some(poll?.agent_name.as_str())).collect();
        let capabilities: Vec<Option<String>> =
            polls().map(|poll| Some(poll?.capabilities_to_json())).collect();
        let locations: Vec<Option<String>> =
            polls().map(|poll| poll?.agent_location.as_ref().map(Location::to_json)).collect();
        let max_tasks: Vec<Option<i32>> = polls().map(|poll| Some(rows::small(poll?.max_tasks))).collect();
        let asked: [&(dyn ToSql + Sync); 5] = [&ids, &names, &capabilities, &locations, &max_tasks];
        let mut known =
            KnownAgents { agents: HashMap::with_capacity(ids.len()), pending_cancellations: Vec::new() };
        for row in &session.run_if(statement, &asked).await? {
            let id = row.try_get("id")?;
            if let Some(last_seen) = row.try_get("last_seen")? {
                known.agents.insert(id, KnownAgent { last_seen, same: row.try_get("same")? });
            }
            if row.try_get("untold")? && self.polling.contains_key(&id) {
                known.pending_cancellations.push(id);
            }
        }
        Ok(known)
    }

    /// Takes the pending cancellations of agents that have some.
    async fn tell(
        &self,
        session: &Session,
        pending_cancellations: &[Uuid],
    ) -> Result<HashMap<Uuid, Vec<Uuid>>, PgError> {
        let mut cancelled: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
        if pending_cancellations.is_empty() {
            return Ok(cancelled);
        }
        let mut by_task: Vec<(Uuid, Uuid, Uuid)> = Vec::new();
        for row in &session.query(TELL, &[&pending_cancellations]).await? {
            by_task.push((row.try_get("task_id")?, row.try_get("agent_id")?, row.try_get("alias")?));
        }
        by_task.sort_unstable();
        for (_, agent_id, alias) in by_task {
            cancelled.entry(agent_id).or_default().push(alias);
        }
        Ok(cancelled)
    }

    /// Saves what is new of the agents.
    pub(super) async fn save(
        &self,
        session: &Session,
        known: KnownAgents,
        now: Timestamp,
        locks: Locks,
    ) -> Result<SavedAgents, PgError> {
        let KnownAgents { agents, pending_cancellations } = known;
        // All batches change attempts before agents.
        let cancelled = self.tell(session, &pending_cancellations).await?;
        let (mut polling, mut heartbeats) = (Vec::new(), Vec::new());
        for (id, poll) in &self.polling {
            match agents.get(id) {
                Some(known) if known.same && now.duration_since(known.last_seen) < SOON => {
                    heartbeats.push((*id, now));
                }
                _ => polling.push(*poll),
            }
        }
        let (mut seen, mut times) = (Vec::new(), Vec::new());
        for (id, at) in &self.seen {
            match agents.get(id) {
                Some(known) if *at > known.last_seen => {
                    seen.push(*id);
                    times.push(*at);
                }
                _ => {}
            }
        }
        let is_known = |id: &Uuid| agents.contains_key(id);
        let (known, new): (Vec<&PollRequest>, Vec<&PollRequest>) =
            polling.iter().partition(|poll| is_known(&poll.agent_id));
        let written = self.write(session, (&known, &new), (&seen, &times), now, locks).await?;
        let unseen = seen.iter().zip(times).filter(|(id, _)| !written.seen.contains(id));
        // What another session has locked is saved later.
        heartbeats.extend(unseen.map(|(id, at)| (*id, at)));
        let polls = polling.iter().map(|poll| poll.agent_id);
        let mut unsaved: Vec<Uuid> = polls.filter(|id| !written.polling.contains(id)).collect();
        heartbeats.extend(unsaved.iter().filter(|id| is_known(id)).map(|id| (*id, now)));
        unsaved.extend(self.save_offers(session, &written.changed).await?);
        let seen = self.seen.keys().copied().filter(is_known).collect();
        Ok(SavedAgents { cancelled, seen, heartbeats, unsaved })
    }

    /// Writes all except the offers of agents, and passes over rows that another session has locked.
    async fn write(
        &self,
        session: &Session,
        (known, new): (&[&PollRequest], &[&PollRequest]),
        (seen, times): (&[Uuid], &[Timestamp]),
        now: Timestamp,
        locks: Locks,
    ) -> Result<WrittenAgents, PgError> {
        let see = session.prepare_if(!seen.is_empty(), SEEN).await?;
        let renew = session.prepare_if(!known.is_empty(), RENEW).await?;
        let register = session.prepare_if(!new.is_empty(), REGISTER).await?;
        let seen: [&(dyn ToSql + Sync); 2] = [&seen, &times];
        let (seen, renewed, registered) = try_join3(
            session.run_if(see.as_ref(), &seen),
            save_with(session, renew.as_ref(), known, now),
            async {
                let Some(register) = &register else { return Ok(Inserted::default()) };
                let insert = |places: Vec<usize>| -> BoxFuture<'_, _> {
                    let polls: Vec<&PollRequest> = places.into_iter().map(|place| new[place]).collect();
                    Box::pin(async move { save_with(session, Some(register), &polls, now).await })
                };
                locks.insert(session, new.len(), insert).await
            },
        )
        .await?;
        let mut written = WrittenAgents::default();
        for row in &seen {
            written.seen.insert(row.try_get("id")?);
        }
        written.add(&renewed)?;
        written.add(&registered.rows)?;
        let polls = || known.iter().chain(new).copied();
        if written.polling.len() < known.len() + new.len() {
            let missed: Vec<&PollRequest> =
                polls().filter(|poll| !written.polling.contains(&poll.agent_id)).collect();
            // Other batches may have let go of rows just before they were looked for.
            let renew = session.prepare(RENEW).await?;
            written.add(&save_with(session, Some(&renew), &missed, now).await?)?;
        }
        Ok(written)
    }

    /// Writes the offers of agents where they have changed; the agents are locked. Gives the agents for which
    /// that must be done later.
    async fn save_offers(&self, session: &Session, changed: &[Uuid]) -> Result<Vec<Uuid>, PgError> {
        if changed.is_empty() {
            return Ok(Vec::new());
        }
        let kept = session.query(WITHDRAW, &[&changed]).await?;
        let kept = kept.iter().map(|row| row.try_get(0)).collect::<Result<Vec<Uuid>, _>>()?;
        if !kept.is_empty() {
            session.query(OFFER_LATER, &[&kept]).await?;
        }
        let changed = changed.iter().filter(|id| !kept.contains(id));
        let offers = changed.filter_map(|id| self.polling.get(id)).flat_map(|poll| {
            poll.agent_capabilities
                .iter()
                .map(|offer| ((poll.agent_id, offer.task_type.as_str()), offer.version))
        });
        let (kinds, versions): (Vec<(Uuid, &str)>, Vec<i64>) = offers.unzip();
        let (agents, types): (Vec<Uuid>, Vec<&str>) = kinds.into_iter().unzip();
        session.query(OFFER, &[&agents, &types, &versions]).await?;
        Ok(kept)
    }
}

/// What was written of the agents of a batch.
#[derive(Default)]
struct WrittenAgents {
    /// The agents of whom it was saved that they were seen.
    seen: HashSet<Uuid>,
    /// The agents whose polls were saved.
    polling: HashSet<Uuid>,
    /// Those of them that offer something new.
    changed: Vec<Uuid>,
}

impl WrittenAgents {
    fn add(&mut self, polling: &[Row]) -> Result<(), PgError> {
        for row in polling {
            let id = row.try_get("id")?;
            self.polling.insert(id);
            if row.try_get("changed")? {
                self.changed.push(id);
            }
        }
        Ok(())
    }
}

async fn save_with(
    session: &Session,
    statement: Option<&Statement>,
    polling: &[&PollRequest],
    now: Timestamp,
) -> Result<Vec<Row>, PgError> {
    let Some(statement) = statement else { return Ok(Vec::new()) };
    let polls = || polling.iter();
    let ids: Vec<Uuid> = polls().map(|poll| poll.agent_id).collect();
    let names: Vec<&str> = polls().map(|poll| poll.agent_name.as_str()).collect();
    let capabilities: Vec<String> = polls().map(|poll| poll.capabilities_to_json()).collect();
    let locations: Vec<Option<String>> =
        polls().map(|poll| poll.agent_location.as_ref().map(Location::to_json)).collect();
    let max_tasks: Vec<i32> = polls().map(|poll| rows::small(poll.max_tasks)).collect();
    session.run(statement, &[&ids, &names, &capabilities, &locations, &max_tasks, &now]).await
}
