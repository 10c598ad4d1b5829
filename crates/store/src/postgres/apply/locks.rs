//! What a batch does about rows that another session has locked.
//!
//! Rows that exist are locked with SKIP LOCKED: nobody waits for them. An insert cannot pass over a row that
//! another session has inserted and not committed. So statements wait for a lock for a moment only. Where
//! that is not enough for an insert, the batch begins anew, tries each row by itself, and leaves out those
//! that it would wait for. Where it is not enough for anything else, such as a lock on a table, the batch
//! begins anew and waits as long as a statement may take: nobody could be served meanwhile.

use std::time::Duration;

use futures_util::future::{BoxFuture, join, join_all, try_join3};
use tokio::time::Instant;
use tokio_postgres::Row;

use crate::postgres::errors::PgError;
use crate::postgres::session::Session;
use crate::postgres::timeouts::{LOCK_WAIT, milliseconds};

/// Common table expressions of which the last one, `locked`, finds the ids of `$among` whose rows in a table
/// another session has locked. All other rows are then locked by this one.
macro_rules! locked_by_others {
    ($table:literal, $key:literal, $among:literal) => {
        concat!(
            "mine as (
                select ",
            $key,
            " from ",
            $table,
            " where ",
            $key,
            " = any(",
            $among,
            ") for update skip locked
            ), counted as (
                select ",
            $key,
            ", count(*) as number from mine group by ",
            $key,
            "
            ), locked as (
                select ",
            $key,
            "
                from ",
            $table,
            "
                where ",
            $key,
            " = any(",
            $among,
            ")
                group by ",
            $key,
            "
                having count(*) > coalesce(
                    (select number from counted where counted.",
            $key,
            " = ",
            $table,
            ".",
            $key,
            "), 0
                )
            )"
        )
    };
}

pub(super) use locked_by_others;

/// How the statements of a batch wait for locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::postgres) enum Locks {
    /// They wait for a moment, which is longer than a commit takes.
    Brief,
    /// They wait as long as any statement may take.
    Long,
    /// They do not wait: inserts leave out the rows that they would wait for.
    Sorting,
}

/// The shortest time that PostgreSQL waits for a lock.
const NOT_AT_ALL: Duration = Duration::from_millis(1);

/// How long a batch looks for the rows that it would wait for. Rows that were not tried by then are left out,
/// too.
const SORTING: Duration = Duration::from_millis(500);

/// How many rows are tried in one round trip. So few statements are sent in their order.
const AT_ONCE: usize = 16;

impl Locks {
    /// Runs an insert of which no row can be left out.
    pub(super) async fn insert_all(
        self,
        session: &Session,
        insert: impl Future<Output = Result<Vec<Row>, PgError>>,
    ) -> Result<Vec<Row>, PgError> {
        match self {
            Self::Brief | Self::Long => insert.await,
            Self::Sorting => briefly(session, insert).await,
        }
    }

    /// Runs an insert of `count` rows: `insert` is given the places of those to insert. Rows that another
    /// session has locked are left out where that is known. Unless rows are tried one by one, the first poll
    /// of the future sends the insert.
    pub(super) async fn insert<'a>(
        self,
        session: &'a Session,
        count: usize,
        insert: impl Fn(Vec<usize>) -> BoxFuture<'a, Result<Vec<Row>, PgError>> + Send + Sync,
    ) -> Result<Inserted, PgError> {
        let all: Vec<usize> = (0..count).collect();
        match self {
            Self::Brief | Self::Long => Ok(Inserted { rows: insert(all).await?, locked: Vec::new() }),
            Self::Sorting => {
                let locked = locked(session, all.clone(), &insert).await?;
                let free = all.into_iter().filter(|place| !locked.contains(place)).collect();
                Ok(Inserted { rows: briefly(session, insert(free)).await?, locked })
            }
        }
    }
}

/// The result of an insert.
#[derive(Default)]
pub(super) struct Inserted {
    pub(super) rows: Vec<Row>,
    /// The places of the rows that were left out.
    pub(super) locked: Vec<usize>,
}

fn lock_timeout(time: Duration) -> String {
    format!("set local lock_timeout = {}", milliseconds(time))
}

async fn briefly<T>(session: &Session, work: impl Future<Output = Result<T, PgError>>) -> Result<T, PgError> {
    let (brief, long) = (lock_timeout(LOCK_WAIT), lock_timeout(session.statement_timeout()));
    let (brief, long) = (session.script(&brief), session.script(&long));
    let ((), done, ()) = try_join3(brief, work, long).await?;
    Ok(done)
}

/// Inserts each row and takes it back again, to find those for which that has to wait.
async fn locked<'a>(
    session: &'a Session,
    all: Vec<usize>,
    insert: &(impl Fn(Vec<usize>) -> BoxFuture<'a, Result<Vec<Row>, PgError>> + Send + Sync),
) -> Result<Vec<usize>, PgError> {
    let end = Instant::now() + SORTING;
    session.script(&format!("{}; savepoint sorting", lock_timeout(NOT_AT_ALL))).await?;
    let mut locked = Vec::new();
    for places in all.chunks(AT_ONCE) {
        if Instant::now() >= end {
            locked.extend(places);
            continue;
        }
        let try_one =
            |place: &usize| join(insert(vec![*place]), session.script("rollback to savepoint sorting"));
        for (place, (tried, taken_back)) in places.iter().zip(join_all(places.iter().map(try_one)).await) {
            taken_back?;
            match tried {
                Ok(_) => {}
                Err(problem) if problem.waits_for_insert() => locked.push(*place),
                Err(problem) => return Err(problem),
            }
        }
    }
    Ok(locked)
}
