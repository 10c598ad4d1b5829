//! Inserts the tasks that a batch posts.

use jiff::Timestamp;
use rusqlite::params;
use slamon_domain::batch::PostLookup;
use slamon_domain::{QueueCursor, State, expires, lifecycle};
use slamon_protocol::{JsonText, PostTask, Terms};

use super::BatchTransaction;
use crate::encoding::{micros, state_name};
use crate::error::StoreError;
use crate::sqlite::{rows, test_index};

impl BatchTransaction<'_> {
    /// Inserts a task, unless a task or an attempt has its id.
    pub(super) fn submit(&self, posted: &PostTask) -> Result<PostLookup<'static>, StoreError> {
        if rows::is_of_attempt(self.transaction, posted.task_id)? {
            return Ok(PostLookup::OfAttempt);
        }
        if self.insert(posted, &lifecycle::first_state(posted, self.now))? {
            return Ok(PostLookup::Inserted(QueueCursor::START));
        }
        let stored = rows::task(self.transaction, posted.task_id)?;
        // It existed a moment ago, and nobody else writes.
        Ok(stored.map_or(PostLookup::Locked, |found| PostLookup::Stored(Box::new(found.task.posted))))
    }

    /// Inserts a task; `false` if another one has its id.
    fn insert(&self, posted: &PostTask, state: &State) -> rusqlite::Result<bool> {
        let inserted = if posted.terms == Terms::default() {
            self.insert_plain(posted)?
        } else {
            self.insert_under_terms(posted, state)?
        };
        if inserted == 1 {
            test_index::inserted(self.transaction, self.transaction.last_insert_rowid())?;
        }
        Ok(inserted == 1)
    }

    /// Inserts a task without terms, as nearly all are: what its columns hold by default need not be said, which
    /// takes longer than to write it.
    fn insert_plain(&self, posted: &PostTask) -> rusqlite::Result<usize> {
        self.transaction
            .prepare_cached(
                "insert into task (id, test_id, type, version, data, created_at, posted_by, state)
                 values (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'pending') on conflict (id) do nothing",
            )?
            .execute(params![
                posted.task_id.as_bytes(),
                posted.test_id.as_bytes(),
                posted.task_type,
                posted.task_version,
                posted.task_data.as_ref().map(JsonText::as_str),
                self.now.as_microsecond(),
                posted.posted_by,
            ])
    }

    fn insert_under_terms(&self, posted: &PostTask, state: &State) -> rusqlite::Result<usize> {
        let terms = &posted.terms;
        let available = match state {
            State::Delayed { until } => Some(until.as_microsecond()),
            _ => None,
        };
        let due = state.due(expires(posted, self.now));
        self.transaction
            .prepare_cached(
                "insert into task (id, test_id, type, version, data, created_at, ttl, timeout, max_attempts,
                                   retry_errors, retry_delay, priority, delay, agent_filter,
                                   state, available_at, due_at, posted_by)
                 values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)
                 on conflict (id) do nothing",
            )?
            .execute(params![
                posted.task_id.as_bytes(),
                posted.test_id.as_bytes(),
                posted.task_type,
                posted.task_version,
                posted.task_data.as_ref().map(JsonText::as_str),
                self.now.as_microsecond(),
                terms.ttl.map(micros),
                terms.timeout.map(micros),
                terms.max_attempts,
                terms.retry_errors,
                micros(terms.retry_delay),
                terms.priority,
                micros(terms.delay),
                terms.agent_filter.key(),
                state_name(state),
                available,
                due.map(Timestamp::as_microsecond),
                posted.posted_by,
            ])
    }
}
