//! Tasks that are posted.

use std::collections::{HashMap, HashSet};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use slamon_protocol::{JsonText, PostTask};
use tokio_postgres::{Row, Statement};
use uuid::Uuid;

use super::locks::{Inserted, Locks};
use super::tasks::News;
use crate::postgres::errors::Problem;
use crate::postgres::rows;
use crate::postgres::session::Session;
use crate::{Command, Locked, Refusal, Reply, State, Submitted, Task, alias, lifecycle};

const INSERT: &str = "
    insert into task (
        id, seq, test_id, type, version, data, created_at, ttl, timeout, max_attempts, retry_errors, retry_delay,
        priority, delay, agent_filter, state, available_at, due_at
    )
    overriding system value
    select id, seq, test_id, type, version, data, $17, ttl, timeout, max_attempts, retry_errors, retry_delay,
        priority, delay, agent_filter, state, available_at, due_at
    from (
        -- The commands' order is the order of arrival, whatever order the rows go in.
        select nextval('task_arrival') as seq, in_order.*
        from (
            select *
            from unnest(
                $1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::text[], $6::bigint[], $7::bigint[],
                $8::integer[], $9::boolean[], $10::bigint[], $11::integer[], $12::bigint[], $13::text[],
                $14::text[], $15::timestamptz[], $16::timestamptz[]
            ) with ordinality as posted (
                id, test_id, type, version, data, ttl, timeout,
                max_attempts, retry_errors, retry_delay, priority, delay, agent_filter,
                state, available_at, due_at, place
            )
            order by place
        ) as in_order
    ) as numbered
    -- Two batches that post the same tasks meet at the first of them; in any other order, each could wait
    -- for the other.
    order by id
    on conflict (id) do nothing
    returning id, seq
";

const READ: &str =
    concat!("select ", rows::task_columns!(), ", task.data from task where id = any($1::uuid[])");

/// Which ids are those of attempts.
const OF_ATTEMPTS: &str = "
    select alias from task where alias is not null and alias = any($1::uuid[])
    union
    select alias from attempt where alias = any($1::uuid[]) and task_id <> alias
";

/// The submits of a batch.
pub(super) struct Submits<'a> {
    posts: Vec<(usize, &'a PostTask)>,
    /// The first post of each id, as the task it may become.
    first: Vec<Task>,
    now: Timestamp,
    /// Ids that tasks were posted under and that are those of attempts.
    of_attempts: HashSet<Uuid>,
    /// Where in the batch the tasks that are new come into being.
    born: HashMap<Uuid, usize>,
}

impl<'a> Submits<'a> {
    pub(super) fn of(batch: &'a [Command], now: Timestamp) -> Self {
        let posts: Vec<_> = batch
            .iter()
            .enumerate()
            .filter_map(|(place, command)| match command {
                Command::Submit(post) => Some((place, post)),
                _ => None,
            })
            .collect();
        let mut seen = HashSet::with_capacity(posts.len());
        let first = posts
            .iter()
            .filter(|(_, post)| seen.insert(post.task_id))
            .map(|(_, post)| Task {
                posted: (*post).clone(),
                created: now,
                attempts: 0,
                state: lifecycle::first_state(post, now),
            })
            .collect();
        Self { posts, first, now, of_attempts: HashSet::new(), born: HashMap::new() }
    }

    /// Leaves out posts under the id of an attempt: a result under it would be the attempt's, or the task's, and nobody
    /// could tell. Whoever knows such an id knows it from a commit that is over, so that it is found before the transaction.
    pub(super) async fn leave_out_attempts(&mut self, session: &Session) -> Result<(), Problem> {
        let ids = self.first.iter().map(|task| task.posted.task_id);
        let possible: Vec<Uuid> = ids.filter(|id| alias::is_possible(*id)).collect();
        if possible.is_empty() {
            return Ok(());
        }
        for row in session.query(OF_ATTEMPTS, &[&possible]).await? {
            self.of_attempts.insert(row.try_get("alias")?);
        }
        self.first.retain(|task| !self.of_attempts.contains(&task.posted.task_id));
        Ok(())
    }

    pub(super) async fn prepare(&self, session: &Session) -> Result<Option<Statement>, Problem> {
        session.prepare_if(!self.first.is_empty(), INSERT).await
    }

    pub(super) async fn insert(
        &self,
        session: &Session,
        statement: Option<&Statement>,
        locks: Locks,
    ) -> Result<Inserted, Problem> {
        let Some(statement) = statement else { return Ok(Inserted::default()) };
        let insert = |places: Vec<usize>| -> BoxFuture<'_, _> {
            let tasks: Vec<&Task> = places.into_iter().map(|place| &self.first[place]).collect();
            Box::pin(async move { self.insert_tasks(session, statement, &tasks).await })
        };
        locks.insert(session, self.first.len(), insert).await
    }

    async fn insert_tasks(
        &self,
        session: &Session,
        statement: &Statement,
        tasks: &[&Task],
    ) -> Result<Vec<Row>, Problem> {
        let posts = || tasks.iter().map(|task| &task.posted);
        let terms = || posts().map(|post| &post.terms);
        let ids: Vec<Uuid> = posts().map(|post| post.task_id).collect();
        let test_ids: Vec<Uuid> = posts().map(|post| post.test_id).collect();
        let types: Vec<&str> = posts().map(|post| post.task_type.as_str()).collect();
        let versions: Vec<i64> = posts().map(|post| post.task_version).collect();
        let data: Vec<Option<&str>> =
            posts().map(|post| post.task_data.as_ref().map(JsonText::as_str)).collect();
        let ttls: Vec<Option<i64>> = terms().map(|terms| terms.ttl.map(rows::micros)).collect();
        let timeouts: Vec<Option<i64>> = terms().map(|terms| terms.timeout.map(rows::micros)).collect();
        let max_attempts: Vec<i32> = terms().map(|terms| rows::small(terms.max_attempts)).collect();
        let retry_errors: Vec<bool> = terms().map(|terms| terms.retry_errors).collect();
        let retry_delays: Vec<i64> = terms().map(|terms| rows::micros(terms.retry_delay)).collect();
        let priorities: Vec<i32> = terms().map(|terms| terms.priority).collect();
        let delays: Vec<i64> = terms().map(|terms| rows::micros(terms.delay)).collect();
        let filters: Vec<String> = terms().map(|terms| terms.agent_filter.key()).collect();
        let states: Vec<&str> = tasks.iter().map(|task| rows::state_name(&task.state)).collect();
        let available: Vec<Option<Timestamp>> = tasks
            .iter()
            .map(|task| match &task.state {
                State::Delayed { until } => Some(*until),
                _ => None,
            })
            .collect();
        let due: Vec<Option<Timestamp>> = tasks.iter().map(|task| task.due()).collect();
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
                    &self.now,
                ],
            )
            .await
    }

    /// Decides each post in its turn, by what was inserted and what had been there.
    pub(super) async fn decide(
        &mut self,
        session: &Session,
        inserted: &Inserted,
        news: &mut News,
    ) -> Result<Vec<Reply<Result<Submitted, Refusal>>>, Problem> {
        let locked: HashSet<Uuid> =
            inserted.locked.iter().map(|place| self.first[*place].posted.task_id).collect();
        let inserted = inserted
            .rows
            .iter()
            .map(|row| Ok((row.try_get("id")?, row.try_get("seq")?)))
            .collect::<Result<HashMap<Uuid, i64>, Problem>>()?;
        let mut stored = HashMap::new();
        if inserted.len() + locked.len() < self.first.len() {
            let ids = self.first.iter().map(|task| task.posted.task_id);
            let is_taken = |id: &Uuid| !inserted.contains_key(id) && !locked.contains(id);
            let taken: Vec<Uuid> = ids.filter(is_taken).collect();
            for row in session.query(READ, &[&taken]).await? {
                let post = rows::task(&row)?.posted;
                stored.insert(post.task_id, post);
            }
            if stored.len() < taken.len() {
                // Retention has just deleted it.
                return Err(Problem::Deleted);
            }
        }
        for task in &self.first {
            if let Some(seq) = inserted.get(&task.posted.task_id) {
                news.note(task, *seq);
            }
        }
        let mut replies = Vec::with_capacity(self.posts.len());
        for &(place, post) in &self.posts {
            if locked.contains(&post.task_id) {
                replies.push(Err(Locked));
                continue;
            }
            let is_of_attempt = self.of_attempts.contains(&post.task_id);
            let decision = lifecycle::submit(stored.get(&post.task_id), is_of_attempt, post);
            if decision == Ok(Submitted::Stored) {
                stored.insert(post.task_id, post.clone());
                self.born.insert(post.task_id, place);
            }
            replies.push(Ok(decision));
        }
        Ok(replies)
    }

    /// When time first changes one of the tasks.
    pub(super) fn first_due(&self) -> Option<Timestamp> {
        self.first.iter().filter_map(Task::due).min()
    }

    /// Whether the task is one that comes into being only after this place of the batch.
    pub(super) fn is_unborn(&self, id: Uuid, place: usize) -> bool {
        self.born.get(&id).is_some_and(|born| *born > place)
    }
}
