//! The tasks that a batch has locked: as they were found, as its commands leave them, and as they are saved.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use slamon_protocol::{JsonText, ResultPost, TaskOutcome};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};
use uuid::Uuid;

use super::locks::Locks;
use crate::lifecycle::{self, Change};
use crate::postgres::connection::Session;
use crate::postgres::errors::Problem;
use crate::postgres::{rows, surroundings};
use crate::{
    AttemptEnd, EndedAttempt, KindCursor, QueueCursor, State, Surroundings, Task, WaitingKind, waiting,
};

/// Statements that change rows find each by its key and change it where it was found: joined by the key, a plan that was
/// made while the table was small might read all of it. A row that somebody else moves meanwhile is not changed then: so
/// all rows are locked by a statement before it, and how many have changed is counted.
const SAVE: &str = "
    update task
    set state = changed.state,
        attempts = changed.attempts,
        available_at = changed.available_at,
        due_at = changed.due_at,
        alias = changed.alias,
        agent_id = changed.agent_id,
        claimed_at = changed.claimed_at,
        deadline_at = changed.deadline_at,
        finished_at = changed.finished_at,
        result = changed.result,
        error = changed.error
    from (
        select changed.*, locked.at
        from unnest(
            $1::uuid[], $2::text[], $3::integer[], $4::timestamptz[], $5::timestamptz[], $6::uuid[], $7::uuid[],
            $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::text[], $12::text[]
        ) as changed (
            id, state, attempts, available_at, due_at, alias, agent_id,
            claimed_at, deadline_at, finished_at, result, error
        )
        cross join lateral (select ctid as at from task where task.id = changed.id limit 1) as locked
    ) as changed
    where task.ctid = changed.at
    returning task.id
";

const SAVE_ATTEMPTS: &str = "
    insert into attempt (
        task_id, number, alias, agent_id, claimed_at, deadline_at, ended_at, ending, error, untold
    )
    select task_id, number, alias, agent_id, claimed_at, deadline_at, $9, ending, error,
        ending in ('expired', 'cancelled')
    from unnest(
        $1::uuid[], $2::integer[], $3::uuid[], $4::uuid[], $5::timestamptz[], $6::timestamptz[],
        $7::text[], $8::text[]
    ) as ended (task_id, number, alias, agent_id, claimed_at, deadline_at, ending, error)
    -- Somebody may have posted a task under an alias: that must not stop the sweep of all others.
    on conflict do nothing
    returning task_id
";

/// Of attempts that have no late result: the first one is kept.
const SAVE_LATE: &str = "
    update attempt
    set late_at = $5, late_result = late.result, late_error = late.error
    from (
        select late.*, ended.at
        from unnest($1::uuid[], $2::integer[], $3::text[], $4::text[]) as late (task_id, number, result, error)
        cross join lateral (
            select ctid as at from attempt
            where attempt.task_id = late.task_id and attempt.number = late.number and attempt.late_at is null
            limit 1
        ) as ended
    ) as late
    where attempt.ctid = late.at
    returning attempt.task_id
";

/// What others may be waiting for.
#[derive(Default)]
pub(super) struct News {
    /// Tasks that came to wait, with the place of each in its line.
    pub(super) waiting: Vec<(Uuid, KindCursor)>,
    pub(super) ended: Vec<Uuid>,
    pub(super) untold: Vec<Uuid>,
}

impl News {
    pub(super) fn note(&mut self, task: &Task, seq: i64) {
        match &task.state {
            State::Pending => {
                let posted = &task.posted;
                let (kind, cursor) = (WaitingKind::of(posted), QueueCursor::of(posted, seq));
                self.waiting.push((posted.task_id, KindCursor { kind, cursor }));
            }
            State::Ended { .. } => self.ended.push(task.posted.task_id),
            State::Delayed { .. } | State::Claimed(_) => {}
        }
    }

    /// Who came to wait and was claimed or ended since does not wait.
    pub(super) fn forget_gone(&mut self, claims: &[(Uuid, Vec<Uuid>)]) {
        if !self.waiting.is_empty() {
            let claimed = claims.iter().flat_map(|(_, task_ids)| task_ids);
            let gone: HashSet<Uuid> = claimed.chain(&self.ended).copied().collect();
            self.waiting.retain(|(id, ..)| !gone.contains(id));
        }
    }
}

/// Locked tasks.
pub(super) struct Tasks {
    pub(super) now: Timestamp,
    tasks: HashMap<Uuid, Task>,
    /// Their order of arrival.
    seqs: HashMap<Uuid, i64>,
    /// Which of them run, or ran last, under another id than their own.
    aliases: HashMap<Uuid, Uuid>,
    /// Attempts that have ended, by the id they were handed out under, and whose they are.
    past: HashMap<Uuid, (Uuid, EndedAttempt)>,
    /// The ids, of those that commands name, under which there is a task that somebody else has locked.
    locked: HashSet<Uuid>,
    /// The aliases of attempts that have ended, and that somebody else has locked.
    locked_attempts: HashSet<Uuid>,
    /// The aliases of attempts that have a late result.
    kept_late: HashSet<Uuid>,
    /// Of those that may expire while they wait.
    around: HashMap<Uuid, Surroundings>,
    changed: BTreeSet<Uuid>,
    ended: Vec<(Uuid, EndedAttempt)>,
    late: BTreeMap<(Uuid, u32), TaskOutcome>,
    /// Agents that gave a sign of life.
    pub(super) seen: BTreeSet<Uuid>,
}

/// The statements that save; `None` where there is nothing to save.
pub(super) struct Saving {
    tasks: Option<Statement>,
    attempts: Option<Statement>,
    late: Option<Statement>,
}

impl Tasks {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            now,
            tasks: HashMap::new(),
            seqs: HashMap::new(),
            aliases: HashMap::new(),
            past: HashMap::new(),
            locked: HashSet::new(),
            locked_attempts: HashSet::new(),
            kept_late: HashSet::new(),
            around: HashMap::new(),
            changed: BTreeSet::new(),
            ended: Vec::new(),
            late: BTreeMap::new(),
            seen: BTreeSet::new(),
        }
    }

    /// Adds a task that was locked just now, unless it is there.
    pub(super) fn add(&mut self, task: Task, seq: i64) {
        let id = task.posted.task_id;
        self.seqs.insert(id, seq);
        match self.tasks.entry(id) {
            Entry::Vacant(place) => {
                if let Some(attempt) = task.last_attempt().filter(|attempt| attempt.alias != id) {
                    self.aliases.insert(attempt.alias, id);
                }
                place.insert(task);
            }
            // Locked for a result, it may have come without the name that a sweep writes into an error.
            Entry::Occupied(mut known) => {
                if let (State::Claimed(attempt), Some(named)) =
                    (&mut known.get_mut().state, task.last_attempt())
                    && attempt.agent_name.is_empty()
                {
                    attempt.agent_name.clone_from(&named.agent_name);
                }
            }
        }
    }

    /// Adds the tasks of rows that were locked just now.
    pub(super) fn add_all(&mut self, rows: &[Row]) -> Result<(), Problem> {
        for row in rows {
            self.add(rows::task(row)?, row.try_get("seq")?);
        }
        Ok(())
    }

    pub(super) fn add_locked(&mut self, name: Uuid) {
        self.locked.insert(name);
    }

    /// Whether somebody else has locked what a command names so.
    pub(super) fn is_locked(&self, name: Uuid) -> bool {
        self.locked.contains(&name)
    }

    pub(super) fn add_locked_attempt(&mut self, alias: Uuid) {
        self.locked_attempts.insert(alias);
    }

    pub(super) fn add_kept_late(&mut self, alias: Uuid) {
        self.kept_late.insert(alias);
    }

    pub(super) fn is_locked_attempt(&self, alias: Uuid) -> bool {
        self.locked_attempts.contains(&alias)
    }

    pub(super) fn add_past(&mut self, task_id: Uuid, past: EndedAttempt) {
        self.past.insert(past.attempt.alias, (task_id, past));
    }

    /// Reads what is around those tasks whose end needs it to be put into words.
    pub(super) async fn look_around(&mut self, session: &Session) -> Result<(), Problem> {
        // A claimed one may be released before it expires.
        let may_wait = |task: &&Task| matches!(task.state, State::Pending | State::Claimed(_));
        let expired = |task: &&Task| task.expires().is_some_and(|time| time <= self.now);
        let expired = self.tasks.values().filter(may_wait).filter(expired);
        self.around = surroundings::of_expired(session, expired).await?;
        Ok(())
    }

    pub(super) fn get(&self, id: Uuid) -> Option<&Task> {
        self.tasks.get(&id)
    }

    /// Which task was handed out under `alias`.
    pub(super) fn id_of(&self, alias: Uuid) -> Option<Uuid> {
        if self.tasks.contains_key(&alias) {
            return Some(alias);
        }
        let past = || self.past.get(&alias).map(|(id, _)| *id);
        self.aliases.get(&alias).copied().or_else(past).filter(|id| self.tasks.contains_key(id))
    }

    /// The attempt of `alias`, if it has ended without finishing its task.
    pub(super) fn past(&self, alias: Uuid) -> Option<&EndedAttempt> {
        self.past.get(&alias).map(|(_, past)| past)
    }

    /// Brings a task to where time has brought it; `false` if it was there.
    pub(super) fn settle(&mut self, id: Uuid, news: &mut News) -> bool {
        let Some(task) = self.tasks.get(&id) else { return false };
        let fleet = || {
            let around = self.around.get(&id).cloned().unwrap_or_default();
            waiting::kept_from_agents(task, &around)
        };
        let Some(change) = lifecycle::settle(task, self.now, fleet) else { return false };
        self.change(id, change, news);
        true
    }

    pub(super) fn change(&mut self, id: Uuid, change: Change, news: &mut News) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        task.state = change.state;
        self.changed.insert(id);
        news.note(task, self.seqs.get(&id).copied().unwrap_or(i64::MIN));
        if let Some(ended) = change.ended {
            if ended.end.is_to_be_told() {
                news.untold.push(ended.attempt.agent_id);
            }
            self.past.insert(ended.attempt.alias, (id, ended.clone()));
            self.ended.push((id, ended));
        }
    }

    /// The running attempt was never handed out: it does not count, and nobody knows its alias.
    pub(super) fn release(&mut self, id: Uuid, state: State, news: &mut News) {
        if let Some(task) = self.tasks.get_mut(&id) {
            if let Some(attempt) = task.last_attempt() {
                self.aliases.remove(&attempt.alias);
            }
            task.attempts = task.attempts.saturating_sub(1);
        }
        self.change(id, state.into(), news);
    }

    pub(super) fn keep_late(&mut self, task_id: Uuid, attempt: u32, result: &ResultPost) {
        if !self.kept_late.contains(&result.task_id) {
            self.late.entry((task_id, attempt)).or_insert_with(|| result.outcome.clone());
        }
    }

    /// When time first changes one of those that have changed.
    pub(super) fn first_due(&self) -> Option<Timestamp> {
        self.changed.iter().filter_map(|id| self.tasks.get(id)?.due()).min()
    }

    pub(super) async fn prepare(&self, session: &Session) -> Result<Saving, Problem> {
        Ok(Saving {
            tasks: session.prepare_if(!self.changed.is_empty(), SAVE).await?,
            attempts: session.prepare_if(!self.ended.is_empty(), SAVE_ATTEMPTS).await?,
            late: session.prepare_if(!self.late.is_empty(), SAVE_LATE).await?,
        })
    }

    /// Saves what has changed, and checks that all of it is.
    pub(super) async fn save(&self, session: &Session, saving: &Saving, locks: Locks) -> Result<(), Problem> {
        let saves = futures_util::future::try_join3(
            self.save_tasks(session, saving.tasks.as_ref()),
            self.save_attempts(session, saving.attempts.as_ref(), locks),
            self.save_late(session, saving.late.as_ref()),
        );
        let (tasks, attempts, late) = saves.await?;
        all_of("locked tasks", self.changed.len(), tasks)?;
        if attempts < self.ended.len() {
            // It is not known which.
            let missing = self.ended.len() - attempts;
            tracing::warn!(missing, "attempts that ended cannot be kept: others have their ids");
            return Ok(());
        }
        all_of("attempts with a late result", self.late.len(), late)
    }

    async fn save_tasks(&self, session: &Session, statement: Option<&Statement>) -> Result<usize, Problem> {
        let Some(statement) = statement else { return Ok(0) };
        let columns = Columns::of(self.changed.iter().filter_map(|id| self.tasks.get(id)));
        let rows = session
            .run(
                statement,
                &[
                    &columns.ids,
                    &columns.states,
                    &columns.attempts,
                    &columns.available,
                    &columns.due,
                    &columns.aliases,
                    &columns.agents,
                    &columns.claimed,
                    &columns.deadlines,
                    &columns.finished,
                    &columns.results,
                    &columns.errors,
                ],
            )
            .await?;
        Ok(rows.len())
    }

    async fn save_attempts(
        &self,
        session: &Session,
        statement: Option<&Statement>,
        locks: Locks,
    ) -> Result<usize, Problem> {
        let Some(statement) = statement else { return Ok(0) };
        let attempts = || self.ended.iter().map(|(_, ended)| &ended.attempt);
        let task_ids: Vec<Uuid> = self.ended.iter().map(|(id, _)| *id).collect();
        let numbers: Vec<i32> = attempts().map(|a| rows::small(a.number)).collect();
        let aliases: Vec<Uuid> = attempts().map(|a| a.alias).collect();
        let agents: Vec<Uuid> = attempts().map(|a| a.agent_id).collect();
        let claimed: Vec<Timestamp> = attempts().map(|a| a.at).collect();
        let deadlines: Vec<Option<Timestamp>> = attempts().map(|a| a.deadline).collect();
        let (endings, errors): (Vec<&str>, Vec<Option<&str>>) =
            self.ended.iter().map(|(_, ended)| ending(&ended.end)).unzip();
        let parameters: [&(dyn ToSql + Sync); 9] =
            [&task_ids, &numbers, &aliases, &agents, &claimed, &deadlines, &endings, &errors, &self.now];
        // None can be left out: the task of each has ended with it.
        Ok(locks.insert_all(session, session.run(statement, &parameters)).await?.len())
    }

    async fn save_late(&self, session: &Session, statement: Option<&Statement>) -> Result<usize, Problem> {
        let Some(statement) = statement else { return Ok(0) };
        let task_ids: Vec<Uuid> = self.late.keys().map(|(id, _)| *id).collect();
        let numbers: Vec<i32> = self.late.keys().map(|(_, number)| rows::small(*number)).collect();
        let (results, errors): (Vec<Option<&str>>, Vec<Option<&str>>) = self
            .late
            .values()
            .map(|outcome| match outcome {
                TaskOutcome::Completed(result) => (Some(result.as_str()), None),
                TaskOutcome::Failed(error) => (None, Some(error.as_str())),
            })
            .unzip();
        let saved = session.run(statement, &[&task_ids, &numbers, &results, &errors, &self.now]).await?;
        Ok(saved.len())
    }
}

/// Fails where `saved` of `expected` were.
fn all_of(what: &str, expected: usize, saved: usize) -> Result<(), Problem> {
    if saved == expected {
        return Ok(());
    }
    Err(Problem::Wrong(format!("{expected} {what} were to change, {saved} did")))
}

fn ending(end: &AttemptEnd) -> (&'static str, Option<&str>) {
    match end {
        AttemptEnd::Error(error) => ("error", Some(error.as_str())),
        AttemptEnd::Lost => ("lost", None),
        AttemptEnd::Abandoned => ("abandoned", None),
        AttemptEnd::TimedOut => ("timed_out", None),
        AttemptEnd::Expired => ("expired", None),
        AttemptEnd::Cancelled => ("cancelled", None),
    }
}

/// Tasks, spread over columns.
#[derive(Default)]
struct Columns<'t> {
    ids: Vec<Uuid>,
    states: Vec<&'static str>,
    attempts: Vec<i32>,
    available: Vec<Option<Timestamp>>,
    due: Vec<Option<Timestamp>>,
    aliases: Vec<Option<Uuid>>,
    agents: Vec<Option<Uuid>>,
    claimed: Vec<Option<Timestamp>>,
    deadlines: Vec<Option<Timestamp>>,
    finished: Vec<Option<Timestamp>>,
    results: Vec<Option<&'t str>>,
    errors: Vec<Option<&'t str>>,
}

impl<'t> Columns<'t> {
    fn of(tasks: impl Iterator<Item = &'t Task>) -> Self {
        let mut columns = Self::default();
        for task in tasks {
            let id = task.posted.task_id;
            let attempt = task.last_attempt();
            let (available, finished, end) = match &task.state {
                State::Delayed { until } => (Some(*until), None, None),
                State::Ended { at, end, .. } => (None, Some(*at), Some(end.outcome())),
                State::Pending | State::Claimed(_) => (None, None, None),
            };
            columns.ids.push(id);
            columns.states.push(rows::state_name(&task.state));
            columns.attempts.push(rows::small(task.attempts));
            columns.available.push(available);
            columns.due.push(task.due());
            columns.aliases.push(attempt.map(|a| a.alias).filter(|alias| *alias != id));
            columns.agents.push(attempt.map(|a| a.agent_id));
            columns.claimed.push(attempt.map(|a| a.at));
            columns.deadlines.push(attempt.and_then(|a| a.deadline));
            columns.finished.push(finished);
            columns.results.push(end.and_then(Result::ok).map(JsonText::as_str));
            columns.errors.push(end.and_then(Result::err).map(JsonText::as_str));
        }
        columns
    }
}
