//! Finds the places between which a list has its tasks.

use jiff::Timestamp;

use super::conditions;
use crate::listing::{SLACK, Span, TaskPlace, TaskQuery, microsecond_from};
use crate::postgres::errors::PgError;
use crate::postgres::session::Session;

/// How many places are looked at together.
const AT_ONCE: i64 = 16;

/// A span this short is not searched further: so many tasks are soon passed over.
const SHORT: i64 = 500;

/// A time as parameters have it: whole microseconds, not before it.
pub(super) fn stored_time(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(microsecond_from(time)).unwrap_or(Timestamp::MAX)
}

/// The span of places that a page reads; `None` if it is empty.
pub(super) async fn of(session: &Session, query: &TaskQuery) -> Result<Option<Span>, PgError> {
    let mut span = Span::of(query);
    let slack = jiff::SignedDuration::from_secs(SLACK);
    if query.filter.from.is_some() || query.filter.to.is_some() {
        let Some(all) = ends(session).await? else { return Ok(None) };
        if let Some(from) = query.filter.from {
            let from = stored_time(from).saturating_sub(slack).unwrap_or(Timestamp::MIN);
            span.first = span.first.max(posted_around(session, all, stored_time(from)).await?.first);
        }
        if let Some(to) = query.filter.to {
            let to = stored_time(to).saturating_add(slack).unwrap_or(Timestamp::MAX);
            span.last = span.last.min(posted_around(session, all, to).await?.last);
        }
    }
    Ok(Some(span).filter(|span| !span.is_empty()))
}

/// The last place that is taken; `None` if there are no tasks.
pub(in crate::postgres) async fn last_place(session: &Session) -> Result<Option<TaskPlace>, PgError> {
    Ok(ends(session).await?.map(|all| all.last))
}

/// The first and the last place that is taken; `None` if there are no tasks.
async fn ends(session: &Session) -> Result<Option<Span>, PgError> {
    let rows = session.query(&ends_statement(), &[]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let (first, last): (Option<i64>, Option<i64>) = (row.try_get("first")?, row.try_get("last")?);
    Ok(first.zip(last).map(|(first, last)| Span { first, last }))
}

pub(super) fn ends_statement() -> String {
    let end = |direction: &str| {
        let ends: Vec<String> = conditions::not_running()
            .map(|tasks| format!("(select seq from task where {tasks} order by seq {direction} limit 1)"))
            .collect();
        ends.join(", ")
    };
    format!(
        "select least(running.first, {}) as first, greatest(running.last, {}) as last
         from (select min(seq) as first, max(seq) as last from task where {}) as running",
        end("asc"),
        end("desc"),
        conditions::RUNNING.in_terms_of(|_| "")
    )
}

/// Writes the statement that finds, for each of the places `$1`, the next task that is not running, and whether it
/// was posted before `$2`.
pub(super) fn next_statement() -> String {
    let next: Vec<String> = conditions::not_running()
        .map(|tasks| {
            format!("(select seq, created_at from task where {tasks} and seq >= place order by seq limit 1)")
        })
        .collect();
    format!(
        "select next.seq, next.created_at < $2::timestamptz as is_before
         from unnest($1::bigint[]) as places (place)
         cross join lateral (
             select seq, created_at from ({}) as nexts order by seq limit 1
         ) as next
         order by place",
        next.join(" union all ")
    )
}

/// Finds a short span: what lies before it was posted before a time, and what lies behind it was not, as if times
/// rose with places. It looks at no task that is running, as those have no index in this order.
async fn posted_around(session: &Session, all: Span, time: Timestamp) -> Result<Span, PgError> {
    let sql = next_statement();
    let mut span = all;
    while span.last - span.first > SHORT {
        let step = (span.last - span.first) / AT_ONCE;
        let places: Vec<i64> = (1..AT_ONCE).map(|n| span.first + n * step).collect();
        let before = span;
        for row in session.query(&sql, &[&places, &time]).await? {
            let place: i64 = row.try_get("seq")?;
            if row.try_get("is_before")? {
                span.first = place;
            } else {
                span.last = place;
                break;
            }
        }
        if span.last - span.first >= before.last - before.first {
            break;
        }
    }
    Ok(span)
}
