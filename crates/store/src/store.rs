//! The contract that every store fulfils.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use slamon_domain::{
    Applied, Command, EndedAttempt, KindCursor, LateResult, Pauses, QueueDiagnostics, Task, WaitingKind,
};
use slamon_protocol::Capability;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::agent_figures::AgentFiguresStore;
use crate::census::CensusStore;
use crate::connections::Connections;
use crate::error::StoreError;
use crate::event::{Published, StoreEvent};
use crate::fleet::{AgentDetails, AgentQuery, ListedAgent, Page};
use crate::listing::{TaskPage, TaskPlace, TaskQuery};
use crate::offers::{OfferedType, OffersQuery};
use crate::statistics::StatisticsStore;
use crate::tokens::TokenStore;
use crate::traces::TraceStore;
use crate::views::{AttemptSpan, AttemptView, Counts, Overview};
use crate::waiting::{WaitingHead, WaitingPart};

/// How many batches a store gains from being given at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteConcurrency {
    /// The most batches that may be under way.
    pub max: usize,
    /// How many commands have to wait before another batch begins while one is under way: so many, or half of all
    /// that there are.
    pub min_batch: usize,
    /// Smaller batches than this are made of one kind of command, since each kind takes statements of its own.
    pub one_kind_below: usize,
}

impl WriteConcurrency {
    /// One batch after the other.
    pub const ONE: Self = Self { max: 1, min_batch: 1, one_kind_below: 0 };
}

/// Keeps tasks and agents in a database.
///
/// Every call takes a bounded time; one that takes longer is [`StoreError::Unavailable`]. Dropping the future
/// of a call never leaves half a change behind.
#[async_trait]
pub trait Store: StatisticsStore + CensusStore + TraceStore + AgentFiguresStore + TokenStore {
    /// Creates or migrates the tables, and adopts those of slamon-afm 1.1.0, in one transaction.
    async fn create_tables(&self) -> Result<Prepared, StoreError>;

    /// Checks whether the tables are as this version needs them, and whether they can be written.
    ///
    /// # Errors
    /// [`StoreError::Schema`] where they are not, [`StoreError::ReadOnly`] where nothing can be written now.
    async fn check(&self) -> Result<(), StoreError>;

    /// Drops the tables of this program, and nothing else; `false` if there were none.
    async fn drop_tables(&self) -> Result<bool, StoreError>;

    /// Applies commands in their order, in one transaction: all of them, or none. Each is given a reply.
    ///
    /// Polls and claims come last, and see what the other commands of the batch have done. They are handed tasks
    /// whatever is paused: the caller leaves out what is. The agents that a
    /// sweep forgets and the tasks that it deletes may stay until the end of the batch.
    ///
    /// When agents were seen may be given back ([`Applied::heartbeats`]) instead of being saved.
    async fn apply(&self, batch: Arc<[Command]>, now: Timestamp) -> Result<Applied, StoreError>;

    /// How many batches the store gains from being given at the same time. Such batches must not depend on
    /// each other.
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

    /// Reads a task if it is small, and else only how large it is: a caller that wants it whole makes room
    /// for it, and then calls [`Store::large_task`]. This call never waits for one of the large reads, which
    /// are those of large tasks, [`Store::counts`] and [`Store::overview`], and of which one runs at a time.
    async fn small_task(&self, id: Uuid) -> Result<Option<TaskRead>, StoreError>;

    /// Reads a task however large it is: one after the other, and once for all callers that ask for the same.
    async fn large_task(&self, id: Uuid) -> Result<Option<Arc<Task>>, StoreError>;

    /// Reads the attempts of a task that ended without finishing it, the first one first, and with each the
    /// result that came after its end.
    async fn attempts(&self, id: Uuid) -> Result<Vec<(EndedAttempt, Option<LateResult>)>, StoreError>;

    /// Reads the same attempts as [`Store::attempts`], as people see them; late results larger than
    /// `result_bytes` are left out.
    async fn past(&self, id: Uuid, result_bytes: u32) -> Result<Vec<AttemptView>, StoreError>;

    /// Reads when attempts of these tasks ran that ended without finishing them: of each task the last `most`, the
    /// first one first.
    async fn attempt_spans(&self, tasks: Arc<[Uuid]>, most: u32) -> Result<Vec<AttemptSpan>, StoreError>;

    /// Reads which agents might take a waiting task, and how many tasks come before it. Agents seen at or
    /// after `seen_since` are active.
    async fn queue_diagnostics(
        &self,
        task: &Task,
        seen_since: Timestamp,
    ) -> Result<QueueDiagnostics, StoreError>;

    /// Reads which kinds of tasks wait, and which agents have pending cancellations: at most `limit` of each,
    /// and of the kinds those behind `after`, in an order of the store's own.
    async fn backlog(&self, after: Option<WaitingKind>, limit: u32) -> Result<Backlog, StoreError>;

    /// Reads as [`Store::backlog`] does, but of the kinds only those given, all of them; none of them may
    /// have a waiting task before its cursor.
    async fn backlog_of(&self, kinds: Arc<[KindCursor]>, limit: u32) -> Result<Backlog, StoreError>;

    /// Reads of each kind that waits, and each priority, the task that has arrived first: at most `limit`, and those
    /// behind `after`. Agents seen at or after `seen_since` are active.
    async fn waiting_heads(
        &self,
        after: Option<WaitingHead>,
        seen_since: Timestamp,
        limit: u32,
    ) -> Result<WaitingPart, StoreError>;

    /// Reads all pauses.
    async fn pauses(&self) -> Result<Pauses, StoreError>;

    /// Lists agents, in an order of the store's own. A page passes over 5,000 agents at most: it may be short, or
    /// empty, and not the last.
    async fn list_agents(&self, query: AgentQuery) -> Result<Page<ListedAgent>, StoreError>;

    /// Lists the types that agents offer, in an order of the store's own. A page ends once 5,000 agents were counted.
    async fn list_offers(&self, query: OffersQuery) -> Result<Page<OfferedType>, StoreError>;

    /// Reads how many agents offer these types; a type that no agent offers may be left out.
    async fn offers_of(
        &self,
        types: Arc<[Capability]>,
        seen_since: Timestamp,
    ) -> Result<Vec<OfferedType>, StoreError>;

    /// Reads an agent, with the tasks that it executes; `None` if there is none with this id.
    async fn agent_details(&self, id: Uuid) -> Result<Option<AgentDetails>, StoreError>;

    /// Counts the agents seen at or after `seen_since`, and the waiting tasks.
    async fn counts(&self, seen_since: Timestamp) -> Result<Counts, StoreError>;

    /// Reads the newest `limit` of each list; results larger than `result_bytes` are left out.
    async fn overview(&self, limit: u32, result_bytes: u32) -> Result<Overview, StoreError>;

    /// Reads a page of a list of tasks. It passes over a bounded number of tasks, however many are stored.
    async fn list_tasks(&self, query: Arc<TaskQuery>) -> Result<TaskPage, StoreError>;

    /// Reads the last place in the order of arrival that is taken; `None` if there are no tasks.
    async fn last_place(&self) -> Result<Option<TaskPlace>, StoreError>;

    /// Passes on what other processes have done to the same database, until `events` is closed. An event may
    /// be missed: whoever waits for one must look for itself from time to time.
    async fn listen(&self, events: mpsc::Sender<StoreEvent>);

    /// Tells other processes on the same database of something, which may get lost.
    ///
    /// # Errors
    /// Where the database is away.
    async fn publish(&self, _: Published) -> Result<(), StoreError> {
        Ok(())
    }

    /// Reads the time of the database, where that is another clock than this machine's.
    async fn time(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Says how the connections are used; asks no database.
    fn connections(&self) -> Connections;

    /// Waits for the calls that run, and closes the connections.
    async fn close(&self);
}

/// The largest size of a small task, in bytes of its texts.
pub const SMALL_TASK: usize = 16 * 1024;

/// What [`Store::small_task`] has read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskRead {
    /// The whole task.
    Small(Arc<Task>),
    /// The size of a task that is larger than [`SMALL_TASK`].
    Large {
        /// The size, in bytes of its texts.
        bytes: usize,
        /// Whether the task has ended.
        has_ended: bool,
    },
}

/// How many bytes the texts of the kinds of one [`Backlog`] may have. Where there are more, others follow.
pub(crate) const BACKLOG_BYTES: u32 = 8 * 1024 * 1024;

/// How many characters at the beginning of a type decide what is [`Backlog::left_out`].
pub const TYPE_BEGINNING: usize = 100;

/// What there is for agents to poll for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Backlog {
    /// The kinds that have waiting tasks, each with the place of the first one.
    pub kinds: Vec<KindCursor>,
    /// The agents that have pending cancellations.
    pub pending_cancellations: Vec<Uuid>,
    /// There may be more kinds with these capabilities than are listed, and likewise with those whose type
    /// begins with the same [`TYPE_BEGINNING`] characters, in the same version.
    pub left_out: Vec<Capability>,
    /// The last of the kinds, if others follow.
    pub next: Option<WaitingKind>,
    /// Whether all agents with pending cancellations are listed.
    pub is_complete: bool,
}

/// What [`Store::create_tables`] found and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prepared {
    /// The tables existed in this version.
    Present,
    /// The tables were made.
    Created,
    /// The tables were migrated from an earlier version.
    Migrated {
        /// The version that they had before.
        from: i64,
    },
    /// The tables of slamon-afm 1.1.0 were adopted.
    Adopted(Adopted),
}

/// How much was adopted from slamon-afm 1.1.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adopted {
    /// The number of tasks in all.
    pub tasks: u64,
    /// The number of tasks that are not claimed yet.
    pub pending: u64,
    /// The number of agents.
    pub agents: u64,
    /// The number of tasks that got a new id, because another has theirs (in other letter case, or with a
    /// newline after it).
    pub renamed: u64,
}
