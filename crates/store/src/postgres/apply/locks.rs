//! What a batch does about rows that somebody else has locked.
//!
//! Rows that are there are locked with SKIP LOCKED: nobody waits for them. An insert cannot pass over a row
//! that another has inserted and not committed. So statements wait for a lock for a moment only; if that is
//! not enough for an insert, the batch begins anew and tries each row by itself, so as to leave out those
//! that it would wait for. If it is not enough for anything else, such as a lock on a table, the batch begins
//! anew and waits as long as a statement may take: nobody could be served meanwhile.

use std::time::Duration;

use futures_util::future::{BoxFuture, join, join_all, try_join3};
use tokio::time::Instant;
use tokio_postgres::Row;

use crate::postgres::errors::Problem;
use crate::postgres::session::Session;
use crate::postgres::timeouts::{LOCK_WAIT, milliseconds};

/// Queries by whose last one, `locked`, those of `$among` are found of whose rows in a table somebody else
/// has locked any. The other rows are locked then.
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
    /// For a moment: longer than a commit takes.
    Brief,
    /// As long as for any statement.
    Long,
    /// Not at all: rows that it would wait for are left out.
    Sorting,
}

/// The shortest time that PostgreSQL knows.
const NOT_AT_ALL: Duration = Duration::from_millis(1);

/// For how long a batch looks for the rows that it would wait for. What is not known by then is left out with
/// them.
const SORTING: Duration = Duration::from_millis(500);

/// How many rows are tried with one trip to the server. So few are sent in their order.
const AT_ONCE: usize = 16;

impl Locks {
    /// Runs an insert of which no row can be left out.
    pub(super) async fn insert_all(
        self,
        session: &Session,
        insert: impl Future<Output = Result<Vec<Row>, Problem>>,
    ) -> Result<Vec<Row>, Problem> {
        match self {
            Self::Brief | Self::Long => insert.await,
            Self::Sorting => briefly(session, insert).await,
        }
    }

    /// Runs an insert of `count` rows, of which `insert` is given the places; those that somebody else has
    /// locked are left out, where that is known. Unless they are to be sorted, the first poll of the future
    /// sends it.
    pub(super) async fn insert<'a>(
        self,
        session: &'a Session,
        count: usize,
        insert: impl Fn(Vec<usize>) -> BoxFuture<'a, Result<Vec<Row>, Problem>> + Send + Sync,
    ) -> Result<Inserted, Problem> {
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

/// What came of an insert.
#[derive(Default)]
pub(super) struct Inserted {
    pub(super) rows: Vec<Row>,
    /// The places of those that were left out.
    pub(super) locked: Vec<usize>,
}

fn lock_timeout(time: Duration) -> String {
    format!("set local lock_timeout = {}", milliseconds(time))
}

async fn briefly<T>(session: &Session, work: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
    let (brief, long) = (lock_timeout(LOCK_WAIT), lock_timeout(session.statement_timeout()));
    let (brief, long) = (session.script(&brief), session.script(&long));
    let ((), done, ()) = try_join3(brief, work, long).await?;
    Ok(done)
}

/// Inserts each row and takes it back again: those where that would have had to wait.
async fn locked<'a>(
    session: &'a Session,
    all: Vec<usize>,
    insert: &(impl Fn(Vec<usize>) -> BoxFuture<'a, Result<Vec<Row>, Problem>> + Send + Sync),
) -> Result<Vec<usize>, Problem> {
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
