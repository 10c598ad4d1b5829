//! Tasks for agents that ask for work.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, VecDeque};

use jiff::Timestamp;
use slamon_protocol::{AgentFilter, PollRequest};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};
use uuid::Uuid;

use super::Outcomes;
use crate::lifecycle::{self, Portion};
use crate::postgres::connection::Session;
use crate::postgres::errors::Problem;
use crate::postgres::rows;
use crate::{Attempt, Command, Delivery, Outcome, Polled, State, Task, WaitingKind};

/// Candidates for all that is wanted, in the order they are claimed in. Nothing is locked: what is not taken after all
/// must stay for others.
const CANDIDATES: &str = concat!(
    "
    select wanted.place, task.seq, coalesce(octet_length(task.data), 0) as bytes, ",
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
    ) as task
"
);

const CLAIM: &str = "
    with given as (
        select *
        from unnest(
            $1::uuid[], $2::text[], $3::integer[], $4::uuid[], $5::uuid[], $6::text[], $7::timestamptz[],
            $8::timestamptz[]
        ) as given (id, state, attempts, alias, agent_id, agent_name, deadline_at, due_at)
    ), locked as (
        select task.id
        from task
        join given on given.id = task.id
        -- Since it was found, another AFM may have given it out, and it may wait for its next attempt by now.
        where task.state = 'pending' and task.attempts = given.attempts - 1
        -- What another AFM is giving out right now is passed over, not waited for: it will not be pending.
        for update of task skip locked
    )
    update task
    set state = given.state,
        attempts = given.attempts,
        alias = given.alias,
        agent_id = given.agent_id,
        agent_name = given.agent_name,
        claimed_at = $9,
        deadline_at = given.deadline_at,
        due_at = given.due_at
    from given
    join locked on locked.id = given.id
    where task.id = given.id
    returning task.id, task.data
";

/// How often tasks are looked for where another AFM was faster. A poll that is still short then gets less than there
/// is, and comes again.
const ROUNDS: u32 = 8;

/// A task type in a version, and a filter.
type Kind<'a> = (&'a str, i64, String);

/// The order that tasks are claimed in: priority, order of arrival, id.
type Order = (Reverse<i32>, i64, Uuid);

/// A task that waited when it was looked for.
struct Candidate {
    order: Order,
    bytes: usize,
    task: Task,
}

/// Candidates of a kind, the next one first.
type Queue = VecDeque<Candidate>;

/// The polls of a batch.
pub(super) struct Polls<'a> {
    polls: Vec<Poll<'a>>,
    /// What is wanted.
    kinds: Vec<Kind<'a>>,
    /// Tasks that another AFM was faster to take, and the places of their kinds. They may look as if they waited until
    /// that AFM has committed.
    missed: HashMap<Uuid, usize>,
}

struct Poll<'a> {
    place: usize,
    request: &'a PollRequest,
    /// Whether its agent is told what is not wanted any more.
    is_told: bool,
    /// Places in the kinds of all.
    kinds: Vec<usize>,
    portion: Portion,
    given: Vec<(Order, Delivery)>,
    /// Whether it has missed a task and is to get another for it.
    open: bool,
}

/// A task for a poll, unless another AFM is faster.
struct Chosen {
    /// The place of the poll.
    poll: usize,
    /// The place of the kind.
    kind: usize,
    candidate: Candidate,
    attempt: Attempt,
}

impl<'a> Polls<'a> {
    pub(super) fn of(batch: &'a [Command]) -> Self {
        let requests = || {
            batch.iter().enumerate().filter_map(|(place, command)| {
                let request = command.poll()?;
                Some((place, request, command))
            })
        };
        let kinds = |request, command: &'a Command| match command {
            Command::Claim { kinds, .. } => kinds_named(request, kinds),
            _ => kinds(request),
        };
        let all: BTreeSet<Kind<'a>> =
            requests().flat_map(|(_, request, command)| kinds(request, command)).collect();
        let places: HashMap<&Kind<'a>, usize> =
            all.iter().enumerate().map(|(place, kind)| (kind, place)).collect();
        let poll = |(place, request, command): (usize, &'a PollRequest, &'a Command)| Poll {
            place,
            request,
            is_told: matches!(command, Command::Poll(_)),
            kinds: kinds(request, command).iter().filter_map(|kind| places.get(kind).copied()).collect(),
            portion: Portion::of(request),
            given: Vec::new(),
            open: true,
        };
        let polls = requests().map(poll).collect();
        Self { polls, kinds: all.into_iter().collect(), missed: HashMap::new() }
    }

    pub(super) async fn prepare(&self, session: &Session) -> Result<Option<Statement>, Problem> {
        session.prepare_if(!self.kinds.is_empty(), CANDIDATES).await
    }

    /// Finds waiting tasks for the polls that are open.
    pub(super) async fn find(
        &self,
        session: &Session,
        statement: Option<&Statement>,
        now: Timestamp,
    ) -> Result<Vec<Row>, Problem> {
        let Some(statement) = statement else { return Ok(Vec::new()) };
        let types: Vec<&str> = self.kinds.iter().map(|(task_type, ..)| *task_type).collect();
        let versions: Vec<i64> = self.kinds.iter().map(|(_, version, _)| *version).collect();
        let filters: Vec<&str> = self.kinds.iter().map(|(.., filter)| filter.as_str()).collect();
        let mut most = vec![0_i64; self.kinds.len()];
        for poll in self.polls.iter().filter(|poll| poll.open) {
            for kind in &poll.kinds {
                most[*kind] += i64::from(poll.portion.left());
            }
        }
        for kind in self.missed.values() {
            most[*kind] += 1;
        }
        session.run(statement, &[&types, &versions, &filters, &most, &now]).await
    }

    /// Gives the tasks that were found to the polls in their order; the agents and what they were given.
    pub(super) async fn claim(
        mut self,
        session: &Session,
        statement: Option<&Statement>,
        mut found: Vec<Row>,
        mut cancelled: HashMap<Uuid, Vec<Uuid>>,
        now: Timestamp,
        outcomes: &mut Outcomes,
    ) -> Result<Vec<(Uuid, Vec<Uuid>)>, Problem> {
        for round in 1..=ROUNDS {
            let chosen = self.choose(&found, now)?;
            let claimed = save_claims(session, &chosen, now).await?;
            self.give(chosen, claimed)?;
            if round == ROUNDS || !self.polls.iter().any(|poll| poll.open) {
                break;
            }
            found = self.find(session, statement, now).await?;
        }
        let mut claims = Vec::new();
        for Poll { place, request, is_told, mut given, .. } in self.polls {
            // Those of a later round may come before those of an earlier one.
            given.sort_unstable_by_key(|(order, _)| *order);
            let tasks: Vec<Delivery> = given.into_iter().map(|(_, delivery)| delivery).collect();
            if !tasks.is_empty() {
                claims.push((request.agent_id, tasks.iter().map(|task| task.task_id).collect()));
            }
            let cancelled = if is_told { cancelled.remove(&request.agent_id) } else { None };
            let cancelled = cancelled.unwrap_or_default();
            outcomes.set(place, Outcome::Poll(Polled { tasks, cancelled }));
        }
        Ok(claims)
    }

    /// What to claim for each open poll.
    fn choose(&self, found: &[Row], now: Timestamp) -> Result<Vec<Chosen>, Problem> {
        let mut queues = self.queues(found)?;
        let mut chosen = Vec::new();
        for (place, poll) in self.polls.iter().enumerate().filter(|(_, poll)| poll.open) {
            poll.choose(place, &mut queues, now, &mut chosen);
        }
        Ok(chosen)
    }

    /// What was found, but for what was missed before; by the place of its kind.
    fn queues(&self, found: &[Row]) -> Result<Vec<Queue>, Problem> {
        let mut queues: Vec<Queue> = self.kinds.iter().map(|_| Queue::new()).collect();
        for row in found {
            let place = usize::try_from(row.try_get::<_, i64>("place")? - 1).unwrap_or(usize::MAX);
            let Some(queue) = queues.get_mut(place) else { continue };
            let task = rows::task_without_data(row)?;
            let id = task.posted.task_id;
            if !self.missed.contains_key(&id) {
                let order = (Reverse(task.posted.terms.priority), row.try_get("seq")?, id);
                let bytes = usize::try_from(row.try_get::<_, i32>("bytes")?).unwrap_or_default();
                queue.push_back(Candidate { order, bytes, task });
            }
        }
        for queue in &mut queues {
            // Whatever order a plan brings them in.
            queue.make_contiguous().sort_unstable_by_key(|candidate| candidate.order);
        }
        Ok(queues)
    }

    /// Notes what was claimed, with its data, and what was missed.
    fn give(&mut self, chosen: Vec<Chosen>, mut claimed: HashMap<Uuid, Row>) -> Result<(), Problem> {
        for poll in &mut self.polls {
            poll.open = false;
        }
        for Chosen { poll, kind, candidate, .. } in chosen {
            let Candidate { order, bytes, task } = candidate;
            let poll = &mut self.polls[poll];
            match claimed.remove(&task.posted.task_id) {
                Some(row) => {
                    poll.portion.add(bytes);
                    poll.given.push((order, deliver(task, &row)?));
                }
                None => {
                    poll.open = true;
                    self.missed.insert(task.posted.task_id, kind);
                }
            }
        }
        Ok(())
    }
}

impl Poll<'_> {
    /// Takes the next tasks of all kinds that it names.
    fn choose(&self, place: usize, queues: &mut [Queue], now: Timestamp, chosen: &mut Vec<Chosen>) {
        let mut portion = self.portion.clone();
        loop {
            let fronts = self.kinds.iter().filter_map(|kind| Some((queues.get(*kind)?.front()?, *kind)));
            let Some((next, kind)) = fronts.min_by_key(|(next, _)| next.order) else { return };
            if !portion.has_room(next.bytes) {
                return;
            }
            let Some(mut candidate) = queues[kind].pop_front() else { return };
            let Some(attempt) = lifecycle::claim(&candidate.task, self.request, Uuid::new_v4, now) else {
                continue;
            };
            portion.add(candidate.bytes);
            candidate.task.attempts = attempt.number;
            candidate.task.state = State::Claimed(attempt.clone());
            chosen.push(Chosen { poll: place, kind, candidate, attempt });
        }
    }
}

/// Saves claims, but for those of tasks that do not wait any more; the data of the tasks.
async fn save_claims(
    session: &Session,
    chosen: &[Chosen],
    now: Timestamp,
) -> Result<HashMap<Uuid, Row>, Problem> {
    if chosen.is_empty() {
        return Ok(HashMap::new());
    }
    let tasks = || chosen.iter().map(|chosen| (&chosen.candidate.task, &chosen.attempt));
    let ids: Vec<Uuid> = tasks().map(|(task, _)| task.posted.task_id).collect();
    let states: Vec<&str> = tasks().map(|(task, _)| rows::state_name(&task.state)).collect();
    let numbers: Vec<i32> = tasks().map(|(_, attempt)| rows::small(attempt.number)).collect();
    let aliases: Vec<Option<Uuid>> = tasks()
        .map(|(task, attempt)| Some(attempt.alias).filter(|alias| *alias != task.posted.task_id))
        .collect();
    let agents: Vec<Uuid> = tasks().map(|(_, attempt)| attempt.agent_id).collect();
    let names: Vec<&str> = tasks().map(|(_, attempt)| attempt.agent_name.as_str()).collect();
    let deadlines: Vec<Option<Timestamp>> = tasks().map(|(_, attempt)| attempt.deadline).collect();
    let due: Vec<Option<Timestamp>> = tasks().map(|(task, _)| task.due()).collect();
    let parameters: [&(dyn ToSql + Sync); 9] =
        [&ids, &states, &numbers, &aliases, &agents, &names, &deadlines, &due, &now];
    let claimed = session.query(CLAIM, &parameters).await?;
    claimed.into_iter().map(|row| Ok((row.try_get("id")?, row))).collect()
}

fn deliver(task: Task, row: &Row) -> Result<Delivery, Problem> {
    let alias = task.last_attempt().map_or(task.posted.task_id, |attempt| attempt.alias);
    Ok(Delivery {
        task_id: task.posted.task_id,
        alias,
        task_data: rows::json(row, "data")?,
        attempt: task.attempts,
        // What time changes first about a claimed task is that it is too late.
        deadline: task.due(),
        task_type: task.posted.task_type,
        task_version: task.posted.task_version,
    })
}

/// Those of `kinds`, if the poll asks for tasks at all.
fn kinds_named<'a>(poll: &PollRequest, kinds: &'a [WaitingKind]) -> BTreeSet<Kind<'a>> {
    if Portion::of(poll).left() == 0 {
        return BTreeSet::new();
    }
    let kind = |kind: &'a WaitingKind| {
        (kind.capability.task_type.as_str(), kind.capability.version, kind.agent_filter.key())
    };
    kinds.iter().map(kind).collect()
}

fn kinds(poll: &PollRequest) -> BTreeSet<Kind<'_>> {
    if Portion::of(poll).left() == 0 {
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
