//! Bounds how much one poll is given.

use slamon_protocol::PollRequest;

/// The most tasks that one poll is given, whatever it asks for: an answer must fit into memory.
pub const MAX_TASKS_PER_POLL: u32 = 1_000;

/// The most bytes of tasks that one poll is given; a single task may have more. What is left over waits for
/// the next poll.
pub const MAX_BYTES_PER_POLL: usize = 8 * 1024 * 1024;

/// How many bytes a task takes in an answer besides its type and data: ids, numbers, a time and the names of
/// the members.
const BYTES_BESIDE: usize = 256;

/// What a poll has been given so far, and what it may still be.
#[derive(Debug, Clone)]
pub struct ClaimBudget {
    most: u32,
    tasks: u32,
    bytes: usize,
}

impl ClaimBudget {
    /// The budget of a poll that has been given nothing yet.
    #[must_use]
    pub fn of(poll: &PollRequest) -> Self {
        Self { most: poll.max_tasks.min(MAX_TASKS_PER_POLL), tasks: 0, bytes: 0 }
    }

    /// How many bytes of a claim budget a task of this type takes, with so many bytes of data.
    #[must_use]
    pub fn size(task_type: &str, data_bytes: usize) -> usize {
        BYTES_BESIDE.saturating_add(task_type.len()).saturating_add(data_bytes)
    }

    /// How many more tasks the poll may be given.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.most - self.tasks
    }

    /// How many tasks of one type and filter are worth reading: each is read with both, which may be long.
    #[must_use]
    pub fn worth_reading(&self, task_type: &str, filter: &str) -> u32 {
        let each = Self::size(task_type, filter.len());
        let fitting = MAX_BYTES_PER_POLL.saturating_sub(self.bytes) / each + 1;
        self.left().min(u32::try_from(fitting).unwrap_or(u32::MAX))
    }

    /// Whether a task of this size may come next. Where it may not, no later one may either: the order of
    /// tasks counts for more than a full answer.
    #[must_use]
    pub fn has_room(&self, size: usize) -> bool {
        self.left() > 0 && (self.tasks == 0 || self.bytes.saturating_add(size) <= MAX_BYTES_PER_POLL)
    }

    /// Adds a task for which there is room.
    pub fn add(&mut self, size: usize) {
        self.tasks += 1;
        self.bytes = self.bytes.saturating_add(size);
    }
}
