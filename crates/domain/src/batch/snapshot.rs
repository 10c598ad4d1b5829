//! What a store has found and locked for the commands of a batch.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};

use jiff::Timestamp;
use slamon_protocol::PostTask;
use uuid::Uuid;

use crate::cursor::QueueCursor;
use crate::pending_reason::QueueDiagnostics;
use crate::task::{EndedAttempt, State, Task};

/// What a store has found and locked for the commands of a batch: the tasks that they name, and those that
/// sweeps and agents are about. What it does not hold is not there, or was locked by another session where it
/// says so.
#[derive(Debug, Default)]
pub struct Snapshot<'a> {
    pub(super) posts: HashMap<Uuid, PostLookup<'a>>,
    pub(super) tasks: HashMap<Uuid, LockedTask>,
    /// Which of the tasks run, or ran last, under another id than their own.
    aliases: HashMap<Uuid, Uuid>,
    /// Attempts that have ended, by the id that they were handed out under, and whose they are.
    past: HashMap<Uuid, (Uuid, EndedAttempt)>,
    locked: HashSet<Uuid>,
    pub(super) locked_attempts: HashSet<Uuid>,
    pub(super) kept_late: HashSet<Uuid>,
    pub(super) diagnostics: HashMap<Uuid, QueueDiagnostics>,
    pub(super) due: VecDeque<DueTasks>,
    pub(super) held: HashMap<Uuid, HeldTasks>,
}

/// A task as it was found, and locked.
#[derive(Debug, Clone)]
pub struct LockedTask {
    /// The task. It may come without its data, unless it is to be cancelled, and without the name of its
    /// agent where no error can name that.
    pub task: Task,
    /// Its order of arrival.
    pub seq: i64,
    /// Where it waits when it waits.
    pub cursor: QueueCursor,
}

/// What was found under the id of a task that is posted.
#[derive(Debug, Clone)]
pub enum PostLookup<'a> {
    /// Nothing: the task is inserted, and has this place in its queue.
    Inserted(QueueCursor),
    /// A task that was posted before.
    Stored(Box<PostTask>),
    /// A task that was posted before in the same batch.
    Posted(&'a PostTask),
    /// The attempt of another task.
    OfAttempt,
    /// Another session is inserting a task.
    Locked,
}

/// What a sweep is to look at.
#[derive(Debug, Clone, Default)]
pub struct DueTasks {
    /// Tasks that time changes, those first that were due first.
    pub due: Vec<Uuid>,
    /// Claimed tasks whose agents are silent, and when each of these was last seen.
    pub silent: Vec<(Uuid, Timestamp)>,
}

/// What an agent has that says what it executes.
#[derive(Debug, Clone, Default)]
pub struct HeldTasks {
    /// Its tasks.
    pub tasks: Vec<Uuid>,
    /// Whether it has others that another session has locked.
    pub has_more: bool,
}

impl<'a> Snapshot<'a> {
    /// Adds what was found under the id of a post.
    pub fn add_post(&mut self, id: Uuid, lookup: PostLookup<'a>) {
        self.posts.insert(id, lookup);
    }

    /// Adds a task, unless it is there.
    pub fn add_task(&mut self, locked: LockedTask) {
        let id = locked.task.posted.task_id;
        match self.tasks.entry(id) {
            Entry::Vacant(place) => {
                if let Some(attempt) = locked.task.last_attempt().filter(|attempt| attempt.alias != id) {
                    self.aliases.insert(attempt.alias, id);
                }
                place.insert(locked);
            }
            // Locked for a result, it may have come without the name that a sweep writes into an error.
            Entry::Occupied(mut known) => {
                if let (State::Claimed(attempt), Some(named)) =
                    (&mut known.get_mut().task.state, locked.task.last_attempt())
                    && attempt.agent_name.is_empty()
                {
                    attempt.agent_name.clone_from(&named.agent_name);
                }
            }
        }
    }

    /// Adds an attempt that has ended, and whether it has a late result.
    pub fn add_past(&mut self, task_id: Uuid, past: EndedAttempt, has_late_result: bool) {
        if has_late_result {
            self.kept_late.insert(past.attempt.alias);
        }
        self.past.insert(past.attempt.alias, (task_id, past));
    }

    /// Notes that there is a task under an id that a command names, and that another session has locked it.
    pub fn add_locked(&mut self, named: Uuid) {
        self.locked.insert(named);
    }

    /// Notes that another session has locked the attempt of this alias, which has ended.
    pub fn add_locked_attempt(&mut self, alias: Uuid) {
        self.locked_attempts.insert(alias);
    }

    /// Adds what the next sweep is to look at.
    pub fn add_due(&mut self, due: DueTasks) {
        self.due.push_back(due);
    }

    /// Adds what an agent has.
    pub fn add_held(&mut self, agent_id: Uuid, held: HeldTasks) {
        self.held.insert(agent_id, held);
    }

    /// Adds what was found around a task of [`Snapshot::expired`].
    pub fn add_diagnostics(&mut self, id: Uuid, diagnostics: QueueDiagnostics) {
        self.diagnostics.insert(id, diagnostics);
    }

    /// Tasks that time may end while they wait: the error says what was around them.
    pub fn expired(&self, now: Timestamp) -> impl Iterator<Item = &Task> {
        // One that is claimed may be released before it expires.
        let may_wait = |task: &&Task| matches!(task.state, State::Pending | State::Claimed(_));
        let expired = move |task: &&Task| task.expires().is_some_and(|time| time <= now);
        self.tasks.values().map(|locked| &locked.task).filter(may_wait).filter(expired)
    }

    /// The task of this id.
    #[must_use]
    pub fn task(&self, id: Uuid) -> Option<&Task> {
        self.tasks.get(&id).map(|locked| &locked.task)
    }

    /// The id of the task that was handed out under `alias`.
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

    pub(super) fn end_attempt(&mut self, task_id: Uuid, ended: &EndedAttempt) {
        self.past.insert(ended.attempt.alias, (task_id, ended.clone()));
    }

    /// The running attempt of a task was never handed out: nobody knows its alias.
    pub(super) fn forget_alias(&mut self, task_id: Uuid) {
        let attempt = self.tasks.get(&task_id).and_then(|locked| locked.task.last_attempt());
        if let Some(attempt) = attempt {
            self.aliases.remove(&attempt.alias);
        }
    }

    pub(super) fn is_locked(&self, named: Uuid) -> bool {
        self.locked.contains(&named)
    }

    pub(super) fn clear(&mut self) {
        let Self { posts, tasks, aliases, past, locked, locked_attempts, kept_late, diagnostics, due, held } =
            self;
        posts.clear();
        tasks.clear();
        aliases.clear();
        past.clear();
        locked.clear();
        locked_attempts.clear();
        kept_late.clear();
        diagnostics.clear();
        due.clear();
        held.clear();
    }
}
