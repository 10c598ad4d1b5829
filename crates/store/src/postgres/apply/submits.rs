//! Inserts the tasks that a batch posts.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicI64, Ordering};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use slamon_domain::batch::{PostLookup, Snapshot};
use slamon_domain::{Command, KindCursor, QueueCursor, State, WaitingKind, alias, expires, lifecycle};
use slamon_protocol::{JsonText, PostTask};
use tokio_postgres::{Row, Statement};
use uuid::Uuid;

use super::locks::{Inserted, Locks};
use crate::encoding::{micros, state_name};
use crate::postgres::errors::PgError;
use crate::postgres::rows;
use crate::postgres::session::Session;

const INSERT: &str = "
    insert into task (
        id, seq, test_id, type, version, data, created_at, ttl, timeout, max_attempts, retry_errors,
        retry_delay,
        priority, delay, agent_filter, state, available_at, due_at, posted_by
    )
    overriding system value
    select id, seq, test_id, type, version, data, $18, ttl, timeout, max_attempts, retry_errors, retry_delay,
        priority, delay, agent_filter, state, available_at, due_at, posted_by
    from (
        -- The commands' order is the order of arrival, whatever order the rows go in.
        select nextval('task_arrival') as seq, in_order.*
        from (
            select *
            from unnest(
                $1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::text[], $6::bigint[], $7::bigint[],
                $8::integer[], $9::boolean[], $10::bigint[], $11::integer[], $12::bigint[], $13::text[],
                $14::text[], $15::timestamptz[], $16::timestamptz[], $17::text[]
            ) with ordinality as posted (
                id, test_id, type, version, data, ttl, timeout,
                max_attempts, retry_errors, retry_delay, priority, delay, agent_filter,
                state, available_at, due_at, posted_by, place
            )
            order by place
        ) as in_order
    ) as numbered
    -- Two batches that post the same tasks meet at the first of them; in any other order, each could wait
    -- for the other.
    order by id
    on conflict (id) do nothing
    returning id, seq, pg_current_xact_id()::text as transaction
";

const READ: &str =
    concat!("select ", rows::task_columns!(), ", task.data from task where id = any($1::uuid[])");

/// Finds which ids are those of attempts.
const OF_ATTEMPTS: &str = "
    select alias from task where alias is not null and alias = any($1::uuid[])
    union
    select alias from attempt where alias = any($1::uuid[]) and task_id <> alias
";

/// The posts of a batch.
pub(super) struct Submits<'a> {
    /// The first post of each id, and the state of the task that it may become.
    first: Vec<(&'a PostTask, State)>,
    now: Timestamp,
}

impl<'a> Submits<'a> {
    pub(super) fn of(batch: &'a [Command], now: Timestamp) -> Self {
        let posts = batch.iter().filter_map(|command| match command {
            Command::Submit(post) => Some(post),
            _ => None,
        });
        let mut seen = HashSet::new();
        let first = posts.filter(|post| seen.insert(post.task_id));
        Self { first: first.map(|post| (post, lifecycle::first_state(post, now))).collect(), now }
    }

    fn ids(&self) -> impl Iterator<Item = Uuid> {
        self.first.iter().map(|(post, _)| post.task_id)
    }

    /// Leaves out posts under the id of an attempt: a result under that id could be of either. Whoever knows
    /// such an id knows it from a commit that is over, so it is found before the transaction begins.
    pub(super) async fn leave_out_attempts(
        &mut self,
        session: &Session,
        snapshot: &mut Snapshot<'_>,
    ) -> Result<(), PgError> {
        let possible: Vec<Uuid> = self.ids().filter(|id| alias::is_possible(*id)).collect();
        if possible.is_empty() {
            return Ok(());
        }
        let mut of_attempts = HashSet::new();
        for row in session.query(OF_ATTEMPTS, &[&possible]).await? {
            let id = row.try_get("alias")?;
            of_attempts.insert(id);
            snapshot.add_post(id, PostLookup::OfAttempt);
        }
        self.first.retain(|(post, _)| !of_attempts.contains(&post.task_id));
        Ok(())
    }

    pub(super) async fn prepare(&self, session: &Session) -> Result<Option<Statement>, PgError> {
        session.prepare_if(!self.first.is_empty(), INSERT).await
    }

    pub(super) async fn insert(
        &self,
        session: &Session,
        statement: Option<&Statement>,
        locks: Locks,
    ) -> Result<Inserted, PgError> {
        let Some(statement) = statement else { return Ok(Inserted::default()) };
        let insert = |places: Vec<usize>| -> BoxFuture<'_, _> {
            let tasks: Vec<&(&PostTask, State)> =
                places.into_iter().map(|place| &self.first[place]).collect();
            Box::pin(async move { self.insert_tasks(session, statement, &tasks).await })
        };
        locks.insert(session, self.first.len(), insert).await
    }

    async fn insert_tasks(
        &self,
        session: &Session,
        statement: &Statement,
        tasks: &[&(&PostTask, State)],
    ) -> Result<Vec<Row>, PgError> {
        let posts = || tasks.iter().map(|(post, _)| post);
        let terms = || posts().map(|post| &post.terms);
        let ids: Vec<Uuid> = posts().map(|post| post.task_id).collect();
        let test_ids: Vec<Uuid> = posts().map(|post| post.test_id).collect();
        let types: Vec<&str> = posts().map(|post| post.task_type.as_str()).collect();
        let versions: Vec<i64> = posts().map(|post| post.task_version).collect();
        let data: Vec<Option<&str>> =
            posts().map(|post| post.task_data.as_ref().map(JsonText::as_str)).collect();
        let ttls: Vec<Option<i64>> = terms().map(|terms| terms.ttl.map(micros)).collect();
        let timeouts: Vec<Option<i64>> = terms().map(|terms| terms.timeout.map(micros)).collect();
        let max_attempts: Vec<i32> = terms().map(|terms| rows::small(terms.max_attempts)).collect();
        let retry_errors: Vec<bool> = terms().map(|terms| terms.retry_errors).collect();
        let retry_delays: Vec<i64> = terms().map(|terms| micros(terms.retry_delay)).collect();
        let priorities: Vec<i32> = terms().map(|terms| terms.priority).collect();
        let delays: Vec<i64> = terms().map(|terms| micros(terms.delay)).collect();
        let filters: Vec<String> = terms().map(|terms| terms.agent_filter.key()).collect();
        let states: Vec<&str> = tasks.iter().map(|(_, state)| state_name(state)).collect();
        let available: Vec<Option<Timestamp>> = tasks
            .iter()
            .map(|(_, state)| match state {
                State::Delayed { until } => Some(*until),
                _ => None,
            })
            .collect();
        let due: Vec<Option<Timestamp>> =
            tasks.iter().map(|(post, state)| state.due(expires(post, self.now))).collect();
        let posters: Vec<Option<&str>> = posts().map(|post| post.posted_by.as_deref()).collect();
        session
            .run(
                statement,
                &[
                    &ids,
                    &test_ids,
                    &types,
                    &versions,
                    &data,
                    &ttls,
                    &timeouts,
                    &max_attempts,
                    &retry_errors,
                    &retry_delays,
                    &priorities,
                    &delays,
                    &filters,
                    &states,
                    &available,
                    &due,
                    &posters,
                    &self.now,
                ],
            )
            .await
    }

    /// The queues in which these tasks will wait, each with a place before which they do not: no task that is
    /// inserted from now on arrives before `last`.
    pub(super) fn will_wait(&self, last: i64) -> Vec<KindCursor> {
        let pending = self.first.iter().filter(|(_, state)| matches!(state, State::Pending));
        let queue = |(post, _): &(&PostTask, State)| KindCursor {
            kind: WaitingKind::of(post),
            cursor: QueueCursor::of(post, last + 1),
        };
        pending.map(queue).collect()
    }

    /// Finds what is stored under the ids: tasks that were just inserted, and tasks that existed before. Notes
    /// in `arrivals` the latest place in the order of arrival.
    pub(super) async fn find(
        &self,
        session: &Session,
        inserted: &Inserted,
        snapshot: &mut Snapshot<'_>,
        arrivals: &AtomicI64,
    ) -> Result<(), PgError> {
        for place in &inserted.locked {
            snapshot.add_post(self.first[*place].0.task_id, PostLookup::Locked);
        }
        let mut seqs: HashMap<Uuid, i64> = HashMap::with_capacity(inserted.rows.len());
        for row in &inserted.rows {
            seqs.insert(row.try_get("id")?, row.try_get("seq")?);
        }
        if let Some(last) = seqs.values().max() {
            arrivals.fetch_max(*last, Ordering::Relaxed);
        }
        for (post, _) in &self.first {
            if let Some(seq) = seqs.get(&post.task_id) {
                snapshot.add_post(post.task_id, PostLookup::Inserted(QueueCursor::of(post, *seq)));
            }
        }
        if seqs.len() + inserted.locked.len() == self.first.len() {
            return Ok(());
        }
        let locked: HashSet<Uuid> =
            inserted.locked.iter().map(|place| self.first[*place].0.task_id).collect();
        let taken: Vec<Uuid> =
            self.ids().filter(|id| !seqs.contains_key(id) && !locked.contains(id)).collect();
        let stored = session.query(READ, &[&taken]).await?;
        if stored.len() < taken.len() {
            // A sweep has just deleted it.
            return Err(PgError::Deleted);
        }
        for row in &stored {
            let post = rows::task(row)?.posted;
            snapshot.add_post(post.task_id, PostLookup::Stored(Box::new(post)));
        }
        Ok(())
    }
}
