//! Agents that ask for work.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use jiff::Timestamp;
use slamon_protocol::{Location, ObjectWriter, PollRequest};
use tokio_postgres::{Row, Statement};
use uuid::Uuid;

use super::Outcomes;
use crate::postgres::connection::Session;
use crate::postgres::errors::Problem;
use crate::postgres::rows;
use crate::{Command, Delivery, Outcome, State, lifecycle};

const UPSERT: &str = "
    insert into agent (id, name, capabilities, location, last_seen)
    select id, name, capabilities, location, $5
    from unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) as polling (id, name, capabilities, location)
    -- In one order in all batches, so that none waits for one that waits for it.
    order by id
    on conflict (id) do update
    set name = excluded.name,
        capabilities = excluded.capabilities,
        location = excluded.location,
        -- Another AFM's clock may be ahead.
        last_seen = greatest(agent.last_seen, excluded.last_seen)
";

/// Candidates for all that is wanted, oldest first; also read by a test, which looks at its plan.
pub(super) const CANDIDATES: &str = "
    select wanted.place, waiting.id, waiting.seq
    from unnest($1::text[], $2::bigint[], $3::bigint[])
        with ordinality as wanted (type, version, most, place)
    cross join lateral (
        select task.id, task.seq
        from task
        -- Pending, in the words of the index of waiting tasks.
        where task.agent_id is null
            -- The index holds but the beginning of a type, which may be of any length.
            and left(task.type, 100) = left(wanted.type, 100)
            and task.type = wanted.type
            and task.version = wanted.version
        -- Without clocks; and as the index has it, so that no more is read than is taken.
        order by task.seq
        limit wanted.most
        -- What another AFM is giving out right now is passed over, not waited for: it will not be pending.
        for update skip locked
    ) as waiting
";

const CLAIM: &str = "
    update task
    set state = 'claimed', agent_id = given.agent_id, claimed_at = $3
    from unnest($1::uuid[], $2::uuid[]) as given (id, agent_id)
    -- Locked and found pending by this transaction; said again, so that whatever breaks that shows.
    where task.id = given.id and task.agent_id is null
    returning task.id, task.type, task.version, task.data
";

/// A task type in a version.
type Kind<'a> = (&'a str, i64);

/// The polls of a batch.
pub(super) struct Polls<'a> {
    polls: Vec<(usize, &'a PollRequest)>,
    /// What is wanted, and at most how much of it.
    wanted: Vec<(Kind<'a>, i64)>,
}

impl<'a> Polls<'a> {
    pub(super) fn of(batch: &'a [Command]) -> Self {
        let polls: Vec<_> = batch
            .iter()
            .enumerate()
            .filter_map(|(place, command)| match command {
                Command::Poll(poll) => Some((place, poll)),
                _ => None,
            })
            .collect();
        let mut wanted: BTreeMap<Kind<'a>, i64> = BTreeMap::new();
        for (_, poll) in polls.iter().filter(|(_, poll)| poll.max_tasks > 0) {
            for kind in kinds(poll) {
                *wanted.entry(kind).or_default() += most(poll);
            }
        }
        Self { polls, wanted: wanted.into_iter().collect() }
    }

    pub(super) async fn prepare_upsert(&self, session: &Session) -> Result<Option<Statement>, Problem> {
        if self.polls.is_empty() { Ok(None) } else { session.prepare(UPSERT).await.map(Some) }
    }

    pub(super) async fn prepare_candidates(&self, session: &Session) -> Result<Option<Statement>, Problem> {
        if self.wanted.is_empty() { Ok(None) } else { session.prepare(CANDIDATES).await.map(Some) }
    }

    /// Saves the agents; of several polls of one, the last counts.
    pub(super) async fn upsert_agents(
        &self,
        session: &Session,
        statement: Option<&Statement>,
        now: Timestamp,
    ) -> Result<(), Problem> {
        let Some(statement) = statement else { return Ok(()) };
        let agents: BTreeMap<Uuid, &PollRequest> =
            self.polls.iter().map(|(_, poll)| (poll.agent_id, *poll)).collect();
        let ids: Vec<Uuid> = agents.keys().copied().collect();
        let names: Vec<&str> = agents.values().map(|poll| poll.agent_name.as_str()).collect();
        let capabilities: Vec<String> = agents.values().map(|poll| capabilities(poll)).collect();
        let locations: Vec<Option<String>> =
            agents.values().map(|poll| poll.agent_location.as_ref().map(Location::to_json)).collect();
        session.run(statement, &[&ids, &names, &capabilities, &locations, &now]).await?;
        Ok(())
    }

    /// Finds and locks waiting tasks: by place in `wanted`, id and order of arrival.
    pub(super) async fn find(
        &self,
        session: &Session,
        statement: Option<&Statement>,
    ) -> Result<Vec<Row>, Problem> {
        let Some(statement) = statement else { return Ok(Vec::new()) };
        let types: Vec<&str> = self.wanted.iter().map(|((task_type, _), _)| *task_type).collect();
        let versions: Vec<i64> = self.wanted.iter().map(|((_, version), _)| *version).collect();
        let most: Vec<i64> = self.wanted.iter().map(|(_, most)| *most).collect();
        session.run(statement, &[&types, &versions, &most]).await
    }

    /// Gives the tasks that were found to the polls in their order, oldest first.
    pub(super) async fn claim(
        &self,
        session: &Session,
        found: &[Row],
        now: Timestamp,
        outcomes: &mut Outcomes,
    ) -> Result<Vec<(Uuid, Vec<Uuid>)>, Problem> {
        let mut waiting = self.queues(found)?;
        let given: Vec<(usize, Uuid, Vec<Uuid>)> = self
            .polls
            .iter()
            .map(|(place, poll)| (*place, poll.agent_id, take(&mut waiting, poll, now)))
            .collect();
        let (ids, agents): (Vec<Uuid>, Vec<Uuid>) = given
            .iter()
            .flat_map(|(_, agent_id, tasks)| tasks.iter().map(|task_id| (*task_id, *agent_id)))
            .unzip();
        let mut deliveries = HashMap::with_capacity(ids.len());
        if !ids.is_empty() {
            for row in session.query(CLAIM, &[&ids, &agents, &now]).await? {
                let delivery = Delivery {
                    task_id: row.try_get("id")?,
                    task_type: row.try_get("type")?,
                    task_version: row.try_get("version")?,
                    task_data: rows::json(&row, "data")?,
                };
                deliveries.insert(delivery.task_id, delivery);
            }
        }
        if deliveries.len() != ids.len() {
            let (got, wanted) = (deliveries.len(), ids.len());
            return Err(Problem::Wrong(format!("{wanted} locked tasks were to be claimed, {got} were")));
        }
        let mut claims = Vec::new();
        for (place, agent_id, tasks) in given {
            let delivered = tasks.iter().filter_map(|id| deliveries.remove(id)).collect();
            outcomes.set(place, Outcome::Poll(delivered));
            if !tasks.is_empty() {
                claims.push((agent_id, tasks));
            }
        }
        Ok(claims)
    }

    /// What was found, by kind, oldest first.
    fn queues(&self, found: &[Row]) -> Result<HashMap<Kind<'a>, VecDeque<(i64, Uuid)>>, Problem> {
        let mut waiting: HashMap<Kind<'a>, VecDeque<(i64, Uuid)>> = HashMap::new();
        for row in found {
            let place = usize::try_from(row.try_get::<_, i64>("place")? - 1).unwrap_or(usize::MAX);
            let Some((kind, _)) = self.wanted.get(place) else { continue };
            waiting.entry(*kind).or_default().push_back((row.try_get("seq")?, row.try_get("id")?));
        }
        for queue in waiting.values_mut() {
            // Whatever order a plan brings them in.
            queue.make_contiguous().sort_unstable();
        }
        Ok(waiting)
    }
}

/// Takes the oldest tasks of all kinds that `poll` names.
fn take<'a>(
    waiting: &mut HashMap<Kind<'a>, VecDeque<(i64, Uuid)>>,
    poll: &'a PollRequest,
    now: Timestamp,
) -> Vec<Uuid> {
    let kinds: HashSet<Kind<'a>> = kinds(poll).filter(|kind| waiting.contains_key(kind)).collect();
    let mut taken = Vec::new();
    while (taken.len() as i64) < most(poll) {
        let front = |kind: &Kind<'a>| waiting.get(kind)?.front().map(|(seq, _)| *seq);
        let Some((_, kind)) = kinds.iter().filter_map(|kind| Some((front(kind)?, *kind))).min() else {
            break;
        };
        let Some((_, id)) = waiting.get_mut(&kind).and_then(VecDeque::pop_front) else { break };
        if lifecycle::claim(&State::Pending, poll.agent_id, now).is_some() {
            taken.push(id);
        }
    }
    taken
}

fn kinds(poll: &PollRequest) -> impl Iterator<Item = Kind<'_>> {
    poll.agent_capabilities.iter().map(|capability| (capability.task_type.as_str(), capability.version))
}

fn most(poll: &PollRequest) -> i64 {
    i64::from(poll.max_tasks.min(lifecycle::MAX_TASKS_PER_POLL))
}

fn capabilities(poll: &PollRequest) -> String {
    let mut object = ObjectWriter::new();
    for capability in &poll.agent_capabilities {
        object.integer(&capability.task_type, capability.version);
    }
    object.finish()
}
