//! Tasks that are posted.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use slamon_protocol::{JsonText, PostTask};
use tokio_postgres::{Row, Statement};
use uuid::Uuid;

use super::Outcomes;
use crate::postgres::connection::Session;
use crate::postgres::errors::Problem;
use crate::postgres::rows;
use crate::{Command, Outcome, Submitted, lifecycle};

const INSERT: &str = "
    insert into task (id, seq, test_id, type, version, data, created_at, state)
    overriding system value
    select id, seq, test_id, type, version, data, $6, 'pending'
    from (
        -- The commands' order is the order of arrival, whatever order the rows go in.
        select nextval('task_arrival') as seq, in_order.*
        from (
            select *
            from unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::text[])
                with ordinality as posted (id, test_id, type, version, data, place)
            order by place
        ) as in_order
    ) as numbered
    -- Two batches that post the same tasks meet at the first of them; in any other order, each could wait
    -- for the other.
    order by id
    on conflict (id) do nothing
    returning id
";

const READ: &str = "select id, test_id, type, version, data from task where id = any($1::uuid[])";

/// The submits of a batch.
pub(super) struct Submits<'a> {
    posts: Vec<(usize, &'a PostTask)>,
    /// The first post of each id.
    first: Vec<&'a PostTask>,
    /// Where in the batch the tasks that are new come into being.
    born: HashMap<Uuid, usize>,
}

impl<'a> Submits<'a> {
    pub(super) fn of(batch: &'a [Command]) -> Self {
        let posts: Vec<_> = batch
            .iter()
            .enumerate()
            .filter_map(|(place, command)| match command {
                Command::Submit(post) => Some((place, post)),
                _ => None,
            })
            .collect();
        let mut seen = HashSet::with_capacity(posts.len());
        let first = posts.iter().map(|(_, post)| *post).filter(|post| seen.insert(post.task_id)).collect();
        Self { posts, first, born: HashMap::new() }
    }

    pub(super) async fn prepare(&self, session: &Session) -> Result<Option<Statement>, Problem> {
        if self.posts.is_empty() { Ok(None) } else { session.prepare(INSERT).await.map(Some) }
    }

    pub(super) async fn insert(
        &self,
        session: &Session,
        statement: Option<&Statement>,
        now: Timestamp,
    ) -> Result<Vec<Row>, Problem> {
        let Some(statement) = statement else { return Ok(Vec::new()) };
        let ids: Vec<Uuid> = self.first.iter().map(|post| post.task_id).collect();
        let test_ids: Vec<Uuid> = self.first.iter().map(|post| post.test_id).collect();
        let types: Vec<&str> = self.first.iter().map(|post| post.task_type.as_str()).collect();
        let versions: Vec<i64> = self.first.iter().map(|post| post.task_version).collect();
        let data: Vec<Option<&str>> =
            self.first.iter().map(|post| post.task_data.as_ref().map(JsonText::as_str)).collect();
        session.run(statement, &[&ids, &test_ids, &types, &versions, &data, &now]).await
    }

    /// Decides each post in its turn, by what was inserted and what had been there.
    pub(super) async fn decide(
        &mut self,
        session: &Session,
        inserted: &[Row],
        outcomes: &mut Outcomes,
    ) -> Result<(), Problem> {
        let inserted = inserted.iter().map(|row| row.try_get(0)).collect::<Result<HashSet<Uuid>, _>>()?;
        let mut stored = HashMap::new();
        if inserted.len() < self.first.len() {
            let taken: Vec<Uuid> =
                self.first.iter().map(|post| post.task_id).filter(|id| !inserted.contains(id)).collect();
            for row in session.query(READ, &[&taken]).await? {
                let post = rows::posted(&row)?;
                stored.insert(post.task_id, post);
            }
            if stored.len() < taken.len() {
                return Err(Problem::Wrong("a task that was in the way of another is gone".to_owned()));
            }
        }
        for &(place, post) in &self.posts {
            let decision = lifecycle::submit(stored.get(&post.task_id), post);
            if decision == Ok(Submitted::Stored) {
                stored.insert(post.task_id, post.clone());
                self.born.insert(post.task_id, place);
            }
            outcomes.set(place, Outcome::Submit(decision));
        }
        Ok(())
    }

    /// Whether the task is one that comes into being only after this place of the batch.
    pub(super) fn is_unborn(&self, id: Uuid, place: usize) -> bool {
        self.born.get(&id).is_some_and(|born| *born > place)
    }
}
