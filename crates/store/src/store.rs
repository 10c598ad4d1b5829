//! What every store does.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use slamon_domain::{
    Applied, Command, EndedAttempt, KindCursor, LateResult, Surroundings, Task, WaitingKind,
};
use slamon_protocol::Capability;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::error::StoreError;
use crate::event::StoreEvent;
use crate::views::{AttemptView, Counts, Overview};

/// How many batches a store gains from being given at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteConcurrency {
    /// The most batches that may be under way.
    pub max: usize,
    /// How many commands have to wait before another batch begins while one is under way.
    pub min_batch: usize,
}

impl WriteConcurrency {
    /// One batch after the other.
    pub const ONE: Self = Self { max: 1, min_batch: 1 };
}

/// A place that keeps tasks and agents.
///
/// Every call has a bounded time; one that runs out is [`StoreError::Unavailable`]. Dropping the future of a
/// call never leaves half a change behind.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Creates or migrates the tables, and adopts those of slamon-afm 1.1.0, in one transaction.
    async fn create_tables(&self) -> Result<Prepared, StoreError>;

    /// Looks whether the tables are as this version needs them, and whether they can be written.
    ///
    /// # Errors
    /// [`StoreError::Schema`] where they are not, [`StoreError::ReadOnly`] where nothing can be written now.
    async fn check(&self) -> Result<(), StoreError>;

    /// Drops the tables of this program, and nothing else; `false` if there were none.
    async fn drop_tables(&self) -> Result<bool, StoreError>;

    /// Applies commands in their order, in one transaction: all of them, or none; and gives a reply to each.
    ///
    /// Polls and claims come last, and see what the other commands of the batch have done. Whom a
    /// sweep forgets and what it deletes may stay until the end of the batch.
    ///
    /// When an agent was seen may be saved a second late, where it says nothing else that is new.
    async fn apply(&self, batch: Arc<[Command]>, now: Timestamp) -> Result<Applied, StoreError>;

    /// How many batches the store gains from being given at the same time. Such batches must not depend on each other.
    fn write_concurrency(&self) -> WriteConcurrency {
        WriteConcurrency::ONE
    }

    /// Reads a task, however large it is; `None` if there is none with this id.
    async fn task(&self, id: Uuid) -> Result<Option<Task>, StoreError> {
        let task = match self.small_task(id).await? {
            None => None,
            Some(TaskRead::Small(task)) => Some(task),
            Some(TaskRead::Large { .. }) => self.large_task(id).await?,
        };
        Ok(task.map(Arc::unwrap_or_clone))
    }

    /// Reads a task if it is small, and else how large it is: whoever wants it whole makes room for it, and then asks for
    /// [`Store::large_task`]. It is never behind one of the large reads: those of large tasks, [`Store::counts`] and
    /// [`Store::overview`], of which one runs at a time.
    async fn small_task(&self, id: Uuid) -> Result<Option<TaskRead>, StoreError>;

    /// Reads a task that may be large, one after the other, and once for all who ask for the same.
    async fn large_task(&self, id: Uuid) -> Result<Option<Arc<Task>>, StoreError>;

    /// Reads the attempts of a task that ended without finishing it, the first one first, and with each the result
    /// that came after its end.
    async fn attempts(&self, id: Uuid) -> Result<Vec<(EndedAttempt, Option<LateResult>)>, StoreError>;

    /// What people see of [`Store::attempts`]; late results larger than `result_bytes` are left out.
    async fn past(&self, id: Uuid, result_bytes: u32) -> Result<Vec<AttemptView>, StoreError>;

    /// Looks for who might take a waiting task, and what is before it. Agents seen at or after `seen_since` are
    /// active.
    async fn surroundings(&self, task: &Task, seen_since: Timestamp) -> Result<Surroundings, StoreError>;

    /// What there is for agents, at most `limit` of each; of the kinds of tasks those behind `after`, in an order of the
    /// store's own.
    async fn backlog(&self, after: Option<WaitingKind>, limit: u32) -> Result<Backlog, StoreError>;

    /// As [`Store::backlog`], but of the kinds of tasks only those given, all of them, none of which has a task before its
    /// cursor.
    async fn backlog_of(&self, kinds: Arc<[KindCursor]>, limit: u32) -> Result<Backlog, StoreError>;

    /// Counts agents seen at or after `seen_since`, and waiting tasks.
    async fn counts(&self, seen_since: Timestamp) -> Result<Counts, StoreError>;

    /// The newest `limit` of each list; results larger than `result_bytes` are left out.
    async fn overview(&self, limit: u32, result_bytes: u32) -> Result<Overview, StoreError>;

    /// Passes on what other processes have done to the same database, until `events` is closed. An event may be
    /// missed: whoever waits for one must look for itself from time to time.
    async fn listen(&self, events: mpsc::Sender<StoreEvent>);

    /// What time it is at the database, where that is another clock than this machine's.
    async fn time(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Finishes what runs and closes the connections.
    async fn close(&self);
}

/// Up to which size a task is small, in bytes of its texts.
pub const SMALL_TASK: usize = 16 * 1024;

/// What [`Store::small_task`] has read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskRead {
    /// All of it.
    Small(Arc<Task>),
    /// Only what a task is that is larger than [`SMALL_TASK`].
    Large {
        /// How large, in bytes of its texts.
        bytes: usize,
        /// Whether it is over.
        has_ended: bool,
    },
}

/// How much the texts of the kinds may be that are read as a [`Backlog`], in bytes. Where they are more, others follow.
pub(crate) const BACKLOG_BYTES: u32 = 8 * 1024 * 1024;

/// How much of a type decides what is [`Backlog::left_out`], in characters.
pub const TYPE_BEGINNING: usize = 100;

/// What there is for agents.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Backlog {
    /// The kinds of the tasks that wait, and where the first of each does.
    pub kinds: Vec<KindCursor>,
    /// The agents that have something to be told.
    pub untold: Vec<Uuid>,
    /// Of these there may be more kinds than are told, and likewise of those whose type begins with the same
    /// [`TYPE_BEGINNING`] characters, in the same version.
    pub left_out: Vec<Capability>,
    /// The last of the kinds, where others follow.
    pub next: Option<WaitingKind>,
    /// Whether these are all agents.
    pub is_complete: bool,
}

/// What [`Store::create_tables`] found and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prepared {
    /// The tables were there.
    Present,
    /// They were made.
    Created,
    /// They were brought up from this version.
    Migrated {
        /// The version before.
        from: i64,
    },
    /// The tables of slamon-afm 1.1.0 were taken over.
    Adopted(Adopted),
}

/// How much was taken over from slamon-afm 1.1.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adopted {
    /// Tasks in all.
    pub tasks: u64,
    /// Those of them not claimed yet.
    pub pending: u64,
    /// Agents.
    pub agents: u64,
    /// Tasks that got a new id, because another has theirs (in other letter case, or with a newline after it).
    pub renamed: u64,
}
