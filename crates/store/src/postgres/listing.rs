//! Lists tasks.

mod conditions;
#[cfg(test)]
mod plans;
mod span;
mod summary;

use futures_util::future::try_join_all;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::errors::PgError;
use super::session::Session;
use crate::listing::{
    ListOrder, PASSED, RESULT_LISTED, SEARCHED_BYTES, Searched, Span, States, TYPE_READ, TaskPage, TaskPlace,
    TaskQuery, TaskSummary, Walked, merge,
};
use crate::views::{ERROR_READ, TEXT_READ};
use conditions::{Condition, conditions};

pub(super) use self::span::last_place;

/// All of a page is read from one snapshot. But for that of what is running, its indexes have the order of arrival, so
/// that no plan need sort what is passed over.
const BEGIN: &str = "begin isolation level repeatable read read only; set local enable_sort = off";

/// At most this many bytes of errors are read at once, and one error more.
const CHUNK_BYTES: i64 = 4 * 1024 * 1024;

/// At most this many tasks are read at once to search their errors.
const CHUNK: i64 = 500;

pub(super) async fn list(session: &Session, query: &TaskQuery) -> Result<TaskPage, PgError> {
    let states = query.filter.possible_states();
    let conditions = conditions(&query.filter, states);
    // PostgreSQL keeps no type with U+0000, and takes none as a parameter.
    if conditions.is_empty() || query.filter.task_type.as_ref().is_some_and(|name| name.contains('\0')) {
        return Ok(TaskPage::default());
    }
    session.script(BEGIN).await?;
    let page = match span::of(session, query).await? {
        None => TaskPage::default(),
        Some(span) => {
            let in_order = conditions.iter().filter(|condition| condition.is_in_order).count();
            let most = i64::from(PASSED) / i64::try_from(in_order.max(1)).unwrap_or(1);
            let walks = conditions
                .into_iter()
                .map(|condition| Walk { session, condition, query, states, most }.walk(span));
            let walked = try_join_all(walks).await?;
            let passed = walked.iter().map(|walked| walked.passed).sum();
            let (tasks, next) = merge(query.order, walked, query.limit);
            TaskPage { tasks, next, passed }
        }
    };
    session.script("commit").await?;
    Ok(page)
}

/// The reading of one index for a page.
#[derive(Clone, Copy)]
struct Walk<'a> {
    session: &'a Session,
    condition: Condition,
    query: &'a TaskQuery,
    states: States,
    /// The most tasks that are passed over.
    most: i64,
}

impl Walk<'_> {
    /// Reads until there is one task more than the page may have, or enough were passed over.
    async fn walk(mut self, span: Span) -> Result<Walked<TaskSummary>, PgError> {
        let wanted = i64::from(self.query.limit) + 1;
        if !self.condition.is_in_order {
            // All are read, and only those wanted are sorted.
            self.most = wanted;
        }
        if let Some(text) = &self.query.filter.error_text {
            return self.search(span, wanted, &Searched::new(text)).await;
        }
        let rows = self.read(span, wanted).await?;
        let found = rows.iter().map(summary::read).collect::<Result<Vec<_>, _>>()?;
        // A page that is full says by itself where it ends.
        let is_full = i64::try_from(found.len()).is_ok_and(|found| found >= wanted);
        let last = found.last().filter(|_| is_full).map(|(place, _)| *place);
        if last.is_some() || !self.condition.is_in_order {
            return Ok(Walked::of(found, last));
        }
        let stopped_at = self.end(span).await?;
        let passed = if stopped_at.is_some() { self.passed() } else { 0 };
        Ok(Walked { passed, ..Walked::of(found, stopped_at) })
    }

    /// Does the same where errors are searched, which are read a few megabytes at once.
    async fn search(
        self,
        mut left: Span,
        wanted: i64,
        searched: &Searched,
    ) -> Result<Walked<TaskSummary>, PgError> {
        let end = self.end(left).await?;
        match (self.query.order, end) {
            (_, None) => {}
            (ListOrder::NewestFirst, Some(end)) => left.first = end,
            (ListOrder::OldestFirst, Some(end)) => left.last = end,
        }
        let passed = if end.is_some() { self.passed() } else { 0 };
        let (mut found, mut bytes) = (Vec::new(), 0);
        loop {
            let rows = self.read(left, CHUNK).await?;
            let mut last = None;
            for row in &rows {
                let error: Option<&str> = row.try_get("searched")?;
                bytes += error.map_or(0, str::len);
                let (place, task) = summary::read(row)?;
                if error.is_some_and(|error| searched.is_in(error)) {
                    found.push((place, task));
                }
                let is_full = i64::try_from(found.len()).is_ok_and(|found| found >= wanted);
                if is_full || bytes >= SEARCHED_BYTES {
                    return Ok(Walked { passed, ..Walked::of(found, Some(place)) });
                }
                last = Some(place);
            }
            match (self.query.order, last) {
                (_, None) => return Ok(Walked { passed, ..Walked::of(found, end) }),
                (ListOrder::NewestFirst, Some(last)) => left.last = last - 1,
                (ListOrder::OldestFirst, Some(last)) => left.first = last + 1,
            }
        }
    }

    /// How many tasks are passed over up to the end.
    fn passed(self) -> u32 {
        u32::try_from(self.most).unwrap_or(PASSED)
    }

    /// Reads at most `limit` tasks of the list. Where errors are searched, fewer are read if they are large.
    async fn read(self, span: Span, limit: i64) -> Result<Vec<Row>, PgError> {
        let Self { condition, query, states, most, .. } = self;
        let sql = summary::statement(condition, query);
        let filter = &query.filter;
        let [from, to] = [filter.from, filter.to].map(|time| time.map(span::stored_time));
        let (text_read, error_read) = (TEXT_READ.cast_signed(), ERROR_READ.cast_signed());
        let (type_read, result_listed) = (TYPE_READ.cast_signed(), i64::from(RESULT_LISTED));
        let states = states.names();
        let agent_filter = filter.agent_filter_begins();
        let parameters: [&(dyn ToSql + Sync); 18] = [
            &span.first,
            &span.last,
            &most,
            &limit,
            &filter.task_id,
            &filter.test_id,
            &filter.task_type,
            &filter.task_version,
            &filter.agent_id,
            &from,
            &to,
            &states,
            &CHUNK_BYTES,
            &type_read,
            &text_read,
            &result_listed,
            &error_read,
            &agent_filter,
        ];
        self.session.query(&sql, &parameters).await
    }

    /// The last place that may be passed over, if others follow.
    async fn end(self, span: Span) -> Result<Option<TaskPlace>, PgError> {
        let Self { condition, query, most, .. } = self;
        let sql = end_statement(condition, query.order);
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&span.first, &span.last, &most];
        parameters.extend(condition.key.map(|key| key.of(&query.filter)));
        match &*self.session.query(&sql, &parameters).await? {
            [last, _] => Ok(Some(last.try_get("seq")?)),
            _ => Ok(None),
        }
    }
}

/// Writes the statement that reads the last place that may be passed over, and the one behind it.
fn end_statement(condition: Condition, order: ListOrder) -> String {
    let direction = conditions::direction(order);
    let tasks = condition.in_terms_of(|_| "$4");
    format!(
        "select seq
         from (
             select seq from task where {tasks} and seq between $1 and $2
             order by seq {direction}
             limit $3::bigint + 1
         ) as passed
         order by seq {direction}
         offset $3::bigint - 1"
    )
}
