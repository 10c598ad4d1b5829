//! Tasks for agents that ask for work.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use jiff::Timestamp;
use slamon_protocol::{AgentFilter, PollRequest};
use tokio_postgres::{Row, Statement};
use uuid::Uuid;

use super::Outcomes;
use crate::lifecycle::{self, MAX_TASKS_PER_POLL};
use crate::postgres::connection::Session;
use crate::postgres::errors::Problem;
use crate::postgres::rows;
use crate::{Attempt, Command, Delivery, Outcome, Polled, State, Task};

/// Candidates for all that is wanted, in the order they are claimed in.
const CANDIDATES: &str = concat!(
    "
    select wanted.place, task.seq, ",
    rows::task_columns!(),
    "
    from unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[])
        with ordinality as wanted (type, version, filter, most, place)
    cross join lateral (
        select *
        from task
        where task.state = 'pending'
            -- The index holds but the beginning of a type and of a filter, which may be of any length.
            and left(task.type, 100) = left(wanted.type, 100)
            and task.type = wanted.type
            and task.version = wanted.version
            and left(task.agent_filter, 100) = left(wanted.filter, 100)
            and task.agent_filter = wanted.filter
            -- What has expired takes no other's place: a sweep ends it.
            and (task.due_at is null or task.due_at > $5)
        -- Without clocks; and as the index has it, so that no more is read than is taken.
        order by task.priority desc, task.seq
        limit wanted.most
        -- What another AFM is giving out right now is passed over, not waited for: it will not be pending.
        for update skip locked
    ) as task
"
);

const CLAIM: &str = "
    update task
    set state = 'claimed',
        attempts = given.attempts,
        alias = given.alias,
        agent_id = given.agent_id,
        agent_name = given.agent_name,
        claimed_at = $8,
        deadline_at = given.deadline_at,
        due_at = given.due_at
    from unnest(
        $1::uuid[], $2::integer[], $3::uuid[], $4::uuid[], $5::text[], $6::timestamptz[], $7::timestamptz[]
    ) as given (id, attempts, alias, agent_id, agent_name, deadline_at, due_at)
    -- Locked and found pending by this transaction; said again, so that whatever breaks that shows.
    where task.id = given.id and task.state = 'pending'
    returning task.id, task.data
";

/// A task type in a version, and a filter.
type Kind<'a> = (&'a str, i64, String);

/// Waiting tasks of a kind, the next one first: priority, order of arrival, id.
type Queue = VecDeque<(Reverse<i32>, i64, Uuid)>;

/// The polls of a batch.
pub(super) struct Polls<'a> {
    polls: Vec<Poll<'a>>,
    /// What is wanted, and at most how much of it.
    wanted: Vec<(Kind<'a>, i64)>,
}

struct Poll<'a> {
    place: usize,
    request: &'a PollRequest,
    /// Places in `wanted`.
    kinds: Vec<usize>,
}

/// A poll, and the tasks it is given.
struct Given<'a> {
    place: usize,
    request: &'a PollRequest,
    tasks: Vec<Task>,
}

impl<'a> Polls<'a> {
    pub(super) fn of(batch: &'a [Command]) -> Self {
        let mut wanted: BTreeMap<Kind<'a>, i64> = BTreeMap::new();
        let mut polls = Vec::new();
        for (place, command) in batch.iter().enumerate() {
            let Command::Poll(request) = command else { continue };
            let kinds = kinds(request);
            for kind in &kinds {
                *wanted.entry(kind.clone()).or_default() += i64::from(most(request));
            }
            polls.push((place, request, kinds));
        }
        let places: HashMap<&Kind<'a>, usize> =
            wanted.keys().enumerate().map(|(place, kind)| (kind, place)).collect();
        let polls = polls
            .into_iter()
            .map(|(place, request, kinds)| {
                let kinds = kinds.iter().filter_map(|kind| places.get(kind).copied()).collect();
                Poll { place, request, kinds }
            })
            .collect();
        Self { polls, wanted: wanted.into_iter().collect() }
    }

    pub(super) fn requests(&self) -> impl Iterator<Item = &'a PollRequest> {
        self.polls.iter().map(|poll| poll.request)
    }

    pub(super) async fn prepare(&self, session: &Session) -> Result<Option<Statement>, Problem> {
        session.prepare_if(!self.wanted.is_empty(), CANDIDATES).await
    }

    /// Finds and locks waiting tasks.
    pub(super) async fn find(
        &self,
        session: &Session,
        statement: Option<&Statement>,
        now: Timestamp,
    ) -> Result<Vec<Row>, Problem> {
        let Some(statement) = statement else { return Ok(Vec::new()) };
        let types: Vec<&str> = self.wanted.iter().map(|((task_type, ..), _)| *task_type).collect();
        let versions: Vec<i64> = self.wanted.iter().map(|((_, version, _), _)| *version).collect();
        let filters: Vec<&str> = self.wanted.iter().map(|((.., filter), _)| filter.as_str()).collect();
        let most: Vec<i64> = self.wanted.iter().map(|(_, most)| *most).collect();
        session.run(statement, &[&types, &versions, &filters, &most, &now]).await
    }

    /// Gives the tasks that were found to the polls in their order; the agents and what they were given.
    pub(super) async fn claim(
        &self,
        session: &Session,
        found: &[Row],
        mut cancelled: HashMap<Uuid, Vec<Uuid>>,
        now: Timestamp,
        outcomes: &mut Outcomes,
    ) -> Result<Vec<(Uuid, Vec<Uuid>)>, Problem> {
        let (mut queues, tasks) = self.queues(found)?;
        let given: Vec<Given<'a>> =
            self.polls.iter().map(|poll| poll.take(&mut queues, &tasks, now)).collect();
        let mut data = save_claims(session, &given, now).await?;
        let mut claims = Vec::new();
        for Given { place, request, tasks } in given {
            let ids: Vec<Uuid> = tasks.iter().map(|task| task.posted.task_id).collect();
            let deliver = |task| deliver(task, &mut data);
            let tasks = tasks.into_iter().map(deliver).collect::<Result<_, _>>()?;
            let cancelled = cancelled.remove(&request.agent_id).unwrap_or_default();
            outcomes.set(place, Outcome::Poll(Polled { tasks, cancelled }));
            if !ids.is_empty() {
                claims.push((request.agent_id, ids));
            }
        }
        Ok(claims)
    }

    /// What was found: in the order of each place in `wanted`, and by id.
    fn queues(&self, found: &[Row]) -> Result<(Vec<Queue>, HashMap<Uuid, Task>), Problem> {
        let mut tasks = HashMap::with_capacity(found.len());
        let mut queues = vec![Queue::new(); self.wanted.len()];
        for row in found {
            let place = usize::try_from(row.try_get::<_, i64>("place")? - 1).unwrap_or(usize::MAX);
            let Some(queue) = queues.get_mut(place) else { continue };
            let task = rows::task_without_data(row)?;
            queue.push_back((Reverse(task.posted.terms.priority), row.try_get("seq")?, task.posted.task_id));
            tasks.insert(task.posted.task_id, task);
        }
        for queue in &mut queues {
            // Whatever order a plan brings them in.
            queue.make_contiguous().sort_unstable();
        }
        Ok((queues, tasks))
    }
}

impl<'a> Poll<'a> {
    /// Takes the next tasks of all kinds that it names.
    fn take(&self, queues: &mut [Queue], tasks: &HashMap<Uuid, Task>, now: Timestamp) -> Given<'a> {
        let mut taken = Vec::new();
        while taken.len() < most(self.request) as usize {
            let next = self.kinds.iter().filter_map(|kind| Some((queues.get(*kind)?.front()?, *kind))).min();
            let Some((&(.., id), kind)) = next else { break };
            queues[kind].pop_front();
            let Some(task) = tasks.get(&id) else { continue };
            if let Some(attempt) = lifecycle::claim(task, self.request, Uuid::new_v4(), now) {
                let attempts = attempt.number;
                taken.push(Task { attempts, state: State::Claimed(attempt), ..task.clone() });
            }
        }
        Given { place: self.place, request: self.request, tasks: taken }
    }
}

/// Saves claims; the data of the tasks.
async fn save_claims(
    session: &Session,
    given: &[Given<'_>],
    now: Timestamp,
) -> Result<HashMap<Uuid, Row>, Problem> {
    let tasks: Vec<(&Task, &Attempt)> = given
        .iter()
        .flat_map(|given| &given.tasks)
        .filter_map(|task| Some((task, task.last_attempt()?)))
        .collect();
    if tasks.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<Uuid> = tasks.iter().map(|(task, _)| task.posted.task_id).collect();
    let numbers: Vec<i32> = tasks.iter().map(|(_, attempt)| rows::small(attempt.number)).collect();
    let aliases: Vec<Option<Uuid>> = tasks
        .iter()
        .map(|(task, attempt)| Some(attempt.alias).filter(|alias| *alias != task.posted.task_id))
        .collect();
    let agents: Vec<Uuid> = tasks.iter().map(|(_, attempt)| attempt.agent_id).collect();
    let names: Vec<&str> = tasks.iter().map(|(_, attempt)| attempt.agent_name.as_str()).collect();
    let deadlines: Vec<Option<Timestamp>> = tasks.iter().map(|(_, attempt)| attempt.deadline).collect();
    let due: Vec<Option<Timestamp>> = tasks.iter().map(|(task, _)| task.due()).collect();
    let claimed =
        session.query(CLAIM, &[&ids, &numbers, &aliases, &agents, &names, &deadlines, &due, &now]).await?;
    if claimed.len() != ids.len() {
        let (got, wanted) = (claimed.len(), ids.len());
        return Err(Problem::Wrong(format!("{wanted} locked tasks were to be claimed, {got} were")));
    }
    claimed.into_iter().map(|row| Ok((row.try_get("id")?, row))).collect()
}

fn deliver(task: Task, data: &mut HashMap<Uuid, Row>) -> Result<Delivery, Problem> {
    let attempt = task.last_attempt();
    let alias = attempt.map_or(task.posted.task_id, |attempt| attempt.alias);
    let row = data.remove(&task.posted.task_id);
    Ok(Delivery {
        task_id: task.posted.task_id,
        alias,
        task_data: row.map(|row| rows::json(&row, "data")).transpose()?.flatten(),
        attempt: task.attempts,
        // What time changes first about a claimed task is that it is too late.
        deadline: task.due(),
        task_type: task.posted.task_type,
        task_version: task.posted.task_version,
    })
}

fn kinds(poll: &PollRequest) -> BTreeSet<Kind<'_>> {
    if most(poll) == 0 {
        return BTreeSet::new();
    }
    let filters = AgentFilter::keys_matching(poll.agent_id, &poll.agent_name, poll.agent_location.as_ref());
    let of_filter = |filter: &String| {
        let filter = filter.clone();
        poll.agent_capabilities
            .iter()
            .map(move |offer| (offer.task_type.as_str(), offer.version, filter.clone()))
    };
    filters.iter().flat_map(of_filter).collect()
}

fn most(poll: &PollRequest) -> u32 {
    poll.max_tasks.min(MAX_TASKS_PER_POLL)
}
