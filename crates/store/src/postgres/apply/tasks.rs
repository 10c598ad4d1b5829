//! The tasks that a batch has locked: as they were found, and as its commands leave them.

mod saving;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use slamon_protocol::{ResultPost, TaskOutcome};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::lifecycle::{self, Change};
use crate::postgres::errors::Problem;
use crate::postgres::session::Session;
use crate::postgres::{rows, surroundings};
use crate::{
    EndedAttempt, KindCursor, QueueCursor, State, Surroundings, Task, WaitingKind, kept_from_agents,
};

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
            kept_from_agents(task, &around)
        };
        let Some(change) = lifecycle::advance(task, self.now, fleet) else { return false };
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
}
