//! Claims tasks for the polls of a batch.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use slamon_domain::{
    ClaimBudget, Command, Delivery, KindCursor, Polled, QueueCursor, Transition, WaitingKind,
};
use slamon_protocol::PollRequest;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};
use uuid::Uuid;

use super::claims::{self, Candidate, Chosen};
use super::open_poll::{OpenPoll, Queue, kinds_of};
use crate::postgres::claiming::ClaimingBatch;
use crate::postgres::errors::PgError;
use crate::postgres::rows;
use crate::postgres::session::Session;
use crate::postgres::stored_kind::StoredKind;

/// Finds candidates for all that polls ask for, in the order in which they are claimed. Nothing is locked:
/// what is not taken after all must stay for others.
const CANDIDATES: &str = concat!(
    "
    select wanted.place, task.row_place, task.seq, coalesce(octet_length(task.data), 0) as bytes,
        -- A claim will follow, and its commit may be left unanswered.
        pg_current_xact_id()::text as transaction, ",
    rows::waiting_columns!(),
    "
    from unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::integer[], $6::bigint[])
        with ordinality as wanted (type, version, filter, most, rank, seq, place)
    cross join lateral (
        select ctid as row_place, *
        from task
        where task.state = 'pending'
            -- The index holds but the beginning of a type and of a filter, which may be of any length.
            and left(task.type, 100) = left(wanted.type, 100)
            and task.type = wanted.type
            and task.version = wanted.version
            and left(task.agent_filter, 100) = left(wanted.filter, 100)
            and task.agent_filter = wanted.filter
            -- Before it nobody waits, but there may be much that did.
            and (-task.priority, task.seq) >= (wanted.rank, wanted.seq)
            -- What has expired takes no other's place: a sweep ends it.
            and (task.due_at is null or task.due_at > $7)
        -- Without clocks; and as the index has it, so that no more is read than is taken.
        order by -task.priority, task.seq
        limit wanted.most
    ) as task
"
);

/// How many times tasks are looked for where another AFM was faster. A poll that still gets too few comes
/// again.
const ROUNDS: u32 = 8;

/// The candidates that were found, and what was looked for: kinds, from where, and how many of each.
#[derive(Default)]
pub(super) struct FoundCandidates {
    pub(super) rows: Vec<Row>,
    wanted: Vec<(usize, QueueCursor, i64)>,
}

/// What a batch has claimed.
pub(super) struct BatchClaims {
    /// The reply to each poll.
    pub(super) polled: Vec<Polled>,
    /// For each kind that was looked for, the place from which on tasks may still wait; `None`: none do.
    pub(super) searched: Vec<(WaitingKind, Option<QueueCursor>)>,
    /// The claims, as changes of the tasks' states.
    pub(super) transitions: Vec<Transition>,
}

/// The polls of a batch.
pub(super) struct Polls<'a> {
    polls: Vec<OpenPoll<'a>>,
    /// How long an attempt may take of a task that does not say.
    default_timeout: Option<Duration>,
    /// The kinds that polls ask for.
    kinds: Vec<StoredKind>,
    /// The statement that finds candidates, if any are asked for.
    statement: Option<Statement>,
    /// The place from which on each kind is searched; [`QueueCursor::END`]: not at all.
    cursors: Vec<QueueCursor>,
    /// How far each kind was read: up to a place, or (`None`) to the end of its queue.
    read: HashMap<usize, Option<QueueCursor>>,
    /// The tasks that were found and are not claimed: which kind each is of, and its place in the queue.
    left: HashMap<Uuid, (usize, QueueCursor)>,
    /// The tasks that another AFM was faster to take, and which kind each is of. They look as if they waited
    /// until that AFM has committed.
    missed: HashMap<Uuid, usize>,
    /// The kinds of which tasks were just found that another batch of this AFM is claiming.
    passed_over: BTreeSet<usize>,
    /// How many tasks other batches of this AFM are claiming.
    taken: i64,
    /// Whether another batch of this AFM was just faster to take one of the tasks that were chosen.
    is_contended: bool,
    /// The claims so far.
    transitions: Vec<Transition>,
    /// The first time at which time changes one of the tasks that were claimed.
    first_due: Option<Timestamp>,
}

impl<'a> Polls<'a> {
    pub(super) fn of(batch: &'a [Command], default_timeout: Option<Duration>) -> Self {
        let requests = || batch.iter().filter_map(|command| Some((command.poll()?, command)));
        let mut all: BTreeMap<StoredKind, QueueCursor> = BTreeMap::new();
        for (kind, cursor) in requests().flat_map(|(request, command)| kinds_of(request, command)) {
            let lowest = all.entry(kind).or_insert(cursor);
            *lowest = cursor.min(*lowest);
        }
        let places: HashMap<&StoredKind, usize> =
            all.keys().enumerate().map(|(place, kind)| (kind, place)).collect();
        let poll = |(request, command): (&'a PollRequest, &'a Command)| OpenPoll {
            request,
            is_told: matches!(command, Command::Poll { .. }),
            kinds: kinds_of(request, command).keys().filter_map(|kind| places.get(kind).copied()).collect(),
            budget: ClaimBudget::of(request),
            given: Vec::new(),
            open: true,
        };
        let polls = requests().map(poll).collect();
        let (kinds, cursors) = all.into_iter().unzip();
        Self {
            polls,
            default_timeout,
            statement: None,
            kinds,
            cursors,
            read: HashMap::new(),
            left: HashMap::new(),
            missed: HashMap::new(),
            passed_over: BTreeSet::new(),
            taken: 0,
            is_contended: false,
            transitions: Vec::new(),
            first_due: None,
        }
    }

    /// Whether the batch has no polls.
    pub(super) fn is_empty(&self) -> bool {
        self.polls.is_empty()
    }

    pub(super) async fn prepare(&mut self, session: &Session) -> Result<(), PgError> {
        let is_needed = self.cursors.iter().any(|cursor| *cursor < QueueCursor::END);
        self.statement = session.prepare_if(is_needed, CANDIDATES).await?;
        Ok(())
    }

    /// Includes the tasks that have come to wait in this batch, or will, and as many more as other batches are
    /// claiming.
    pub(super) fn look_also_for<'k>(
        &mut self,
        waiting: impl IntoIterator<Item = &'k KindCursor>,
        claiming: &ClaimingBatch<'_>,
    ) {
        self.taken = i64::try_from(claiming.taken_by_others().len()).unwrap_or(i64::MAX);
        if self.cursors.iter().all(|cursor| *cursor == QueueCursor::START) {
            return;
        }
        for KindCursor { kind, cursor } in waiting {
            if let Ok(at) = self.kinds.binary_search(&StoredKind::of(kind)) {
                self.cursors[at] = (*cursor).min(self.cursors[at]);
            }
        }
    }

    /// Finds waiting tasks for the polls that are open.
    pub(super) async fn find(&self, session: &Session, now: Timestamp) -> Result<FoundCandidates, PgError> {
        let wanted = self.wanted();
        let statement = self.statement.as_ref().filter(|_| !wanted.is_empty());
        let Some(statement) = statement else { return Ok(FoundCandidates::default()) };
        let kinds = || wanted.iter().map(|(kind, ..)| &self.kinds[*kind]);
        let types: Vec<&str> = kinds().map(|kind| kind.task_type.as_str()).collect();
        let versions: Vec<i64> = kinds().map(|kind| kind.version).collect();
        let filters: Vec<&str> = kinds().map(|kind| kind.filter.as_str()).collect();
        let most: Vec<i64> = wanted.iter().map(|(_, _, most)| *most).collect();
        let (ranks, seqs): (Vec<i32>, Vec<i64>) =
            wanted.iter().map(|(_, from, _)| (from.rank, from.seq)).unzip();
        let parameters: [&(dyn ToSql + Sync); 7] = [&types, &versions, &filters, &most, &ranks, &seqs, &now];
        let rows = session.run(statement, &parameters).await?;
        Ok(FoundCandidates { rows, wanted })
    }

    /// The kinds to look for: each with where to start, and how many of it at most.
    fn wanted(&self) -> Vec<(usize, QueueCursor, i64)> {
        let mut most = vec![0_i64; self.kinds.len()];
        for poll in self.polls.iter().filter(|poll| poll.open) {
            for at in &poll.kinds {
                let kind = &self.kinds[*at];
                most[*at] += i64::from(poll.budget.worth_reading(&kind.task_type, &kind.filter));
            }
        }
        for kind in self.missed.values().filter(|kind| most[**kind] > 0).copied().collect::<Vec<_>>() {
            most[kind] += 1;
        }
        let wanted = self.cursors.iter().copied().zip(most).enumerate();
        let wanted = wanted.filter(|(_, (from, most))| *from < QueueCursor::END && *most > 0);
        wanted.map(|(kind, (from, most))| (kind, from, most + self.taken)).collect()
    }

    /// Claims the tasks that were chosen, and others where another AFM was faster.
    pub(super) async fn claim(
        &mut self,
        session: &Session,
        mut chosen: Vec<Chosen>,
        claiming: &ClaimingBatch<'_>,
        now: Timestamp,
    ) -> Result<(), PgError> {
        for round in 1..=ROUNDS {
            let save = claims::prepare(session, &chosen).await?;
            let claimed = claims::save(session, save.as_ref(), &chosen, now, false).await?;
            self.give(chosen, claimed)?;
            if round == ROUNDS || !self.polls.iter().any(|poll| poll.open) {
                break;
            }
            let found = self.find(session, now).await?;
            chosen = self.choose(&found, claiming, now)?;
        }
        Ok(())
    }

    /// The claims that the polls get if all tasks that were chosen are claimed: agents, and the tasks' ids.
    pub(super) fn expected_claims(&self, chosen: &[Chosen]) -> Vec<(Uuid, Vec<Uuid>)> {
        let mut claims: Vec<(Uuid, Vec<Uuid>)> =
            self.polls.iter().map(|poll| (poll.request.agent_id, poll.given_ids())).collect();
        for Chosen { poll, candidate, .. } in chosen {
            claims[*poll].1.push(candidate.task.posted.task_id);
        }
        claims.retain(|(_, task_ids)| !task_ids.is_empty());
        claims
    }

    /// The first time at which time changes one of the tasks that were chosen.
    pub(super) fn first_due(&self) -> Option<Timestamp> {
        self.first_due
    }

    /// Whether no poll would be open once all tasks that were chosen are claimed, and they are likely to be.
    pub(super) fn ends_with(&self, chosen: &[Chosen]) -> bool {
        let is_passed_over =
            |poll: &OpenPoll<'_>| poll.kinds.iter().any(|kind| self.passed_over.contains(kind));
        let mut budgets: HashMap<usize, ClaimBudget> = self
            .polls
            .iter()
            .enumerate()
            .filter(|(_, poll)| is_passed_over(poll))
            .map(|(place, poll)| (place, poll.budget.clone()))
            .collect();
        for Chosen { poll, candidate, .. } in chosen {
            if let Some(budget) = budgets.get_mut(poll) {
                budget.add(candidate.size);
            }
        }
        !self.is_contended && budgets.values().all(|budget| budget.left() == 0)
    }

    /// Gives the replies, in the order of the polls.
    pub(super) fn into_claims(self, mut cancelled: HashMap<Uuid, Vec<Uuid>>) -> Result<BatchClaims, PgError> {
        let (searched, transitions) = (self.searched()?, self.transitions);
        let mut polled = Vec::with_capacity(self.polls.len());
        for OpenPoll { request, is_told, mut given, .. } in self.polls {
            // Tasks of a later round may come before those of an earlier one.
            given.sort_unstable_by_key(|(order, _)| *order);
            let tasks: Vec<Delivery> = given.into_iter().map(|(_, delivery)| delivery).collect();
            let cancelled = if is_told { cancelled.remove(&request.agent_id) } else { None };
            let cancelled = cancelled.unwrap_or_default();
            polled.push(Polled { tasks, cancelled });
        }
        Ok(BatchClaims { polled, searched, transitions })
    }

    /// For each kind that was looked for, the place from which on tasks may still wait.
    fn searched(&self) -> Result<Vec<(WaitingKind, Option<QueueCursor>)>, PgError> {
        let mut cursors = self.read.clone();
        for (kind, place) in self.left.values() {
            let first = cursors.entry(*kind).or_insert(None);
            *first = Some(first.map_or(*place, |first| first.min(*place)));
        }
        cursors
            .into_iter()
            .map(|(kind, first)| Ok((self.kinds[kind].clone().into_waiting()?, first)))
            .collect()
    }

    /// Chooses what to claim for each open poll.
    pub(super) fn choose(
        &mut self,
        found: &FoundCandidates,
        claiming: &ClaimingBatch<'_>,
        now: Timestamp,
    ) -> Result<Vec<Chosen>, PgError> {
        let mut queues = self.queues(found, &claiming.taken_by_others())?;
        let mut chosen = Vec::new();
        for (place, poll) in self.polls.iter().enumerate().filter(|(_, poll)| poll.open) {
            poll.choose(place, &mut queues, now, self.default_timeout, &mut chosen);
        }
        self.is_contended = !claiming.take(chosen.iter().map(|chosen| chosen.candidate.order.1));
        let due = chosen.iter().filter_map(|chosen| chosen.candidate.task.due());
        self.first_due = due.chain(self.first_due).min();
        Ok(chosen)
    }

    /// Queues the candidates that were found, kind by kind, except those that were missed before and those
    /// that another batch is claiming. Notes how far each kind was read.
    fn queues(&mut self, found: &FoundCandidates, taken: &HashSet<Uuid>) -> Result<Vec<Queue>, PgError> {
        self.passed_over.clear();
        let mut queues: Vec<Queue> = self.kinds.iter().map(|_| Queue::new()).collect();
        let mut counts = vec![0_i64; found.wanted.len()];
        let mut last = vec![QueueCursor::START; found.wanted.len()];
        for row in &found.rows {
            let at = usize::try_from(row.try_get::<_, i64>("place")? - 1).unwrap_or(usize::MAX);
            let Some((kind, ..)) = found.wanted.get(at) else { continue };
            let task = rows::task_without_data(row)?;
            let (id, seq) = (task.posted.task_id, row.try_get("seq")?);
            let place = QueueCursor::of(&task.posted, seq);
            counts[at] += 1;
            last[at] = place.max(last[at]);
            self.left.insert(id, (*kind, place));
            if taken.contains(&id) && self.missed.insert(id, *kind).is_none() {
                self.passed_over.insert(*kind);
            }
            if !self.missed.contains_key(&id) {
                let bytes = usize::try_from(row.try_get::<_, i32>("bytes")?).unwrap_or_default();
                let size = ClaimBudget::size(&task.posted.task_type, bytes);
                let row_place = row.try_get("row_place")?;
                queues[*kind].push_back(Candidate { order: (place, id), size, task, row_place });
            }
        }
        for (at, (kind, _, most)) in found.wanted.iter().enumerate() {
            self.read.insert(*kind, Some(last[at]).filter(|_| counts[at] >= *most));
        }
        for queue in &mut queues {
            // A plan may bring them in any order.
            queue.make_contiguous().sort_unstable_by_key(|candidate| candidate.order);
        }
        Ok(queues)
    }

    /// Gives the polls what was claimed, with its data, and notes what was missed.
    pub(super) fn give(
        &mut self,
        chosen: Vec<Chosen>,
        mut claimed: HashMap<Uuid, Row>,
    ) -> Result<(), PgError> {
        for poll in &mut self.polls {
            poll.open = poll.kinds.iter().any(|kind| self.passed_over.contains(kind));
        }
        for Chosen { poll, kind, candidate, attempt } in chosen {
            let Candidate { order, size, task, .. } = candidate;
            let poll = &mut self.polls[poll];
            match claimed.remove(&task.posted.task_id) {
                Some(row) => {
                    self.left.remove(&task.posted.task_id);
                    poll.budget.add(size);
                    self.transitions.push(Transition::claimed(&task.posted, task.created, &attempt));
                    poll.given.push((order, claims::deliver(task, &row)?));
                }
                None => {
                    poll.open = true;
                    self.missed.insert(task.posted.task_id, kind);
                }
            }
        }
        for poll in &mut self.polls {
            poll.open &= poll.budget.left() > 0;
        }
        Ok(())
    }
}
