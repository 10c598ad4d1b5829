//! Agents: those that ask for work, and those that gave another sign of life.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use futures_util::future::try_join4;
use jiff::Timestamp;
use slamon_protocol::{Location, ObjectWriter, PollRequest};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};
use uuid::Uuid;

use crate::Command;
use crate::postgres::connection::Session;
use crate::postgres::errors::Problem;
use crate::postgres::rows;

/// Needed where the statements after it would lock in two orders.
const LOCK: &str = "
    select asked.id
    from (select id from unnest($1::uuid[]) as given (id) order by id) as asked
    cross join lateral (select from agent where agent.id = asked.id for update) as locked
";

const SEEN: &str = "
    update agent
    set last_seen = greatest(last_seen, seen.at)
    from unnest($1::uuid[], $2::timestamptz[]) as seen (id, at)
    where agent.id = seen.id
    returning agent.id
";

const UPSERT: &str = "
    insert into agent (id, name, capabilities, location, max_tasks, last_seen, offered_at)
    select id, name, capabilities, location, max_tasks, $6, $6
    from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::integer[])
        as polling (id, name, capabilities, location, max_tasks)
    -- In one order in all batches, so that none waits for one that waits for it.
    order by id
    on conflict (id) do update
    set name = excluded.name,
        capabilities = excluded.capabilities,
        location = excluded.location,
        max_tasks = excluded.max_tasks,
        -- Another AFM's clock may be ahead.
        last_seen = greatest(agent.last_seen, excluded.last_seen),
        offered_at = case
            when agent.capabilities = excluded.capabilities then agent.offered_at
            else excluded.offered_at
        end
    -- At times more than have changed, never less.
    returning id, offered_at = $6 as changed
";

/// An attempt that another batch is changing right now is told of by the next poll.
const TELL: &str = "
    update attempt
    set untold = false
    from (
        select task_id, number
        from attempt
        where untold and agent_id = any($1::uuid[])
        for update skip locked
    ) as mine
    where attempt.task_id = mine.task_id and attempt.number = mine.number
    returning attempt.agent_id, attempt.alias, attempt.task_id
";

const WITHDRAW: &str = "delete from agent_offer where agent_id = any($1::uuid[])";

const OFFER: &str = "
    insert into agent_offer (agent_id, type, version)
    select agent_id, type, version
    from unnest($1::uuid[], $2::text[], $3::bigint[]) as offered (agent_id, type, version)
";

/// The agents of a batch.
pub(super) struct Agents<'a> {
    /// Of several polls of one agent, the last counts.
    polling: BTreeMap<Uuid, &'a PollRequest>,
    /// When agents gave another sign of life.
    seen: BTreeMap<Uuid, Timestamp>,
}

/// The statements that save agents; `None` where they are not needed.
pub(super) struct Saving {
    lock: Option<Statement>,
    seen: Option<Statement>,
    upsert: Option<Statement>,
    tell: Option<Statement>,
}

/// What was found out while agents were saved.
pub(super) struct Saved {
    /// Whose offers have changed.
    changed: Vec<Uuid>,
    /// By agent, the ids of tasks that are not wanted any more.
    pub(super) cancelled: HashMap<Uuid, Vec<Uuid>>,
    /// Agents that gave a sign of life and are known.
    seen: HashSet<Uuid>,
}

impl Saved {
    /// Those of `agents` that are not known.
    pub(super) fn unknown(&self, agents: &[(Uuid, Timestamp)]) -> Vec<Uuid> {
        agents.iter().map(|(id, _)| *id).filter(|id| !self.seen.contains(id)).collect()
    }
}

impl<'a> Agents<'a> {
    pub(super) fn of(batch: &'a [Command]) -> Self {
        let polls = batch.iter().filter_map(|command| match command {
            Command::Poll(poll) => Some((poll.agent_id, poll)),
            _ => None,
        });
        Self { polling: polls.collect(), seen: BTreeMap::new() }
    }

    /// Notes that an agent was there at `at`.
    pub(super) fn see(&mut self, agent_id: Uuid, at: Timestamp) {
        let latest = self.seen.entry(agent_id).or_insert(at);
        *latest = at.max(*latest);
    }

    pub(super) async fn prepare(&self, session: &Session) -> Result<Saving, Problem> {
        let (polls, seen) = (!self.polling.is_empty(), !self.seen.is_empty());
        Ok(Saving {
            lock: session.prepare_if(seen, LOCK).await?,
            seen: session.prepare_if(seen, SEEN).await?,
            upsert: session.prepare_if(polls, UPSERT).await?,
            tell: session.prepare_if(polls, TELL).await?,
        })
    }

    /// Saves those that polled and those that were seen, and takes what the former are to be told.
    pub(super) async fn save(
        &self,
        session: &Session,
        saving: &Saving,
        now: Timestamp,
    ) -> Result<Saved, Problem> {
        let polling: Vec<Uuid> = self.polling.keys().copied().collect();
        let (seen, times): (Vec<Uuid>, Vec<Timestamp>) = self.seen.iter().unzip();
        let all: Vec<Uuid> =
            seen.iter().chain(&polling).copied().collect::<BTreeSet<_>>().into_iter().collect();
        let all: [&(dyn ToSql + Sync); 1] = [&all];
        let seen: [&(dyn ToSql + Sync); 2] = [&seen, &times];
        let told: [&(dyn ToSql + Sync); 1] = [&polling];
        let (_, seen, upserted, told) = try_join4(
            session.run_if(saving.lock.as_ref(), &all),
            session.run_if(saving.seen.as_ref(), &seen),
            self.upsert(session, saving.upsert.as_ref(), now),
            session.run_if(saving.tell.as_ref(), &told),
        )
        .await?;
        let mut changed = Vec::new();
        for row in &upserted {
            if row.try_get("changed")? {
                changed.push(row.try_get("id")?);
            }
        }
        let mut by_task: Vec<(Uuid, Uuid, Uuid)> = Vec::new();
        for row in &told {
            by_task.push((row.try_get("task_id")?, row.try_get("agent_id")?, row.try_get("alias")?));
        }
        by_task.sort_unstable();
        let mut cancelled: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
        for (_, agent_id, alias) in by_task {
            cancelled.entry(agent_id).or_default().push(alias);
        }
        let seen = seen.iter().map(|row| row.try_get("id")).collect::<Result<_, _>>()?;
        Ok(Saved { changed, cancelled, seen })
    }

    async fn upsert(
        &self,
        session: &Session,
        statement: Option<&Statement>,
        now: Timestamp,
    ) -> Result<Vec<Row>, Problem> {
        let Some(statement) = statement else { return Ok(Vec::new()) };
        let polls = || self.polling.values();
        let ids: Vec<Uuid> = self.polling.keys().copied().collect();
        let names: Vec<&str> = polls().map(|poll| poll.agent_name.as_str()).collect();
        let capabilities: Vec<String> = polls().map(|poll| capabilities(poll)).collect();
        let locations: Vec<Option<String>> =
            polls().map(|poll| poll.agent_location.as_ref().map(Location::to_json)).collect();
        let max_tasks: Vec<i32> = polls().map(|poll| rows::small(poll.max_tasks)).collect();
        session.run(statement, &[&ids, &names, &capabilities, &locations, &max_tasks, &now]).await
    }

    /// Writes what agents offer where it has changed. They are locked.
    pub(super) async fn save_offers(&self, session: &Session, saved: &Saved) -> Result<(), Problem> {
        if saved.changed.is_empty() {
            return Ok(());
        }
        session.query(WITHDRAW, &[&saved.changed]).await?;
        let offers = saved.changed.iter().filter_map(|id| self.polling.get(id)).flat_map(|poll| {
            poll.agent_capabilities
                .iter()
                .map(|offer| ((poll.agent_id, offer.task_type.as_str()), offer.version))
        });
        let (kinds, versions): (Vec<(Uuid, &str)>, Vec<i64>) = offers.unzip();
        let (agents, types): (Vec<Uuid>, Vec<&str>) = kinds.into_iter().unzip();
        session.query(OFFER, &[&agents, &types, &versions]).await?;
        Ok(())
    }
}

fn capabilities(poll: &PollRequest) -> String {
    let mut object = ObjectWriter::new();
    for capability in &poll.agent_capabilities {
        object.integer(&capability.task_type, capability.version);
    }
    object.finish()
}
