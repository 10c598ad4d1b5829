//! How much one poll is given.

use slamon_protocol::PollRequest;

/// The most tasks that one poll is given, whatever it asks for: an answer must fit into memory.
pub const MAX_TASKS_PER_POLL: u32 = 1_000;

/// The most bytes of task data that one poll is given; a single task may have more. What is left over waits for the
/// next poll.
pub const MAX_BYTES_PER_POLL: usize = 8 * 1024 * 1024;

/// What a poll has been given so far, and what it may still be.
#[derive(Debug, Clone)]
pub struct Portion {
    most: u32,
    tasks: u32,
    bytes: usize,
}

impl Portion {
    /// Nothing yet.
    #[must_use]
    pub fn of(poll: &PollRequest) -> Self {
        Self { most: poll.max_tasks.min(MAX_TASKS_PER_POLL), tasks: 0, bytes: 0 }
    }

    /// How many more tasks it may hold.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.most - self.tasks
    }

    /// Whether a task with `bytes` of data may come next. Where it may not, no later one does either: the order of
    /// tasks counts for more than a full answer.
    #[must_use]
    pub fn has_room(&self, bytes: usize) -> bool {
        self.left() > 0 && (self.tasks == 0 || self.bytes.saturating_add(bytes) <= MAX_BYTES_PER_POLL)
    }

    /// Adds a task that there is room for.
    pub fn add(&mut self, bytes: usize) {
        self.tasks += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}
