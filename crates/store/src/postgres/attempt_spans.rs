//! Reads when attempts ran.

use uuid::Uuid;

use super::errors::PgError;
use super::session::Session;
use crate::views::AttemptSpan;

const READ: &str = "
    select wanted.task_id, its.number, its.claimed_at, its.ended_at, its.ending
    from unnest($1::uuid[]) with ordinality as wanted (task_id, place)
    cross join lateral (
        select number, claimed_at, ended_at, ending from attempt
        where attempt.task_id = wanted.task_id
        order by number desc limit $2::bigint
    ) as its
    order by wanted.place, its.number
";

pub(super) async fn read(session: &Session, tasks: &[Uuid], most: u32) -> Result<Vec<AttemptSpan>, PgError> {
    let rows = session.query(READ, &[&tasks, &i64::from(most)]).await?;
    let span = rows.iter().map(|row| {
        Ok(AttemptSpan {
            task_id: row.try_get("task_id")?,
            number: row.try_get::<_, i32>("number")?.unsigned_abs(),
            claimed: row.try_get("claimed_at")?,
            ended: row.try_get("ended_at")?,
            end: row.try_get("ending")?,
        })
    });
    span.collect()
}
