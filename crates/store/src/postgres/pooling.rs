//! Finds out whether connections are sessions of their own, or shared by a pooler.
//!
//! A pooler in session mode is as good as none. One that lends its connections for a transaction at a time
//! loses LISTEN, mixes up prepared statements, and passes on what was SET here to its other clients. Two
//! connections of ours tell the two apart: each session is served by one backend process, and no two by the
//! same.

use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error, SimpleQueryMessage};

/// A query for the process that serves a connection, and for the start of its server. It leaves no state with
/// either.
const BACKEND: &str = "select pg_backend_pid(), extract(epoch from pg_postmaster_start_time())";

/// The statement that is sent first. A pooler that lends connections for a transaction until it sees session
/// state takes this for some, and keeps the connection lent. For any other it does nothing.
const FIRST: &str = "discard plans";

/// Which of the two connections is asked, one after the other. A pooler that lends the connection that was
/// given back last is found out when the other one asks; one that lends the connection that was given back
/// first, when the same one asks again. Clients of others in between may hide it, which is less likely with
/// each turn.
const TURNS: [Turn; 12] = {
    use Turn::{Another, Ours};
    [Ours, Ours, Another, Another, Ours, Another, Another, Ours, Ours, Another, Ours, Another]
};

/// How long the other connection may take to answer before it is taken to wait for its turn.
const ANSWER: Duration = Duration::from_millis(500);

const LOOKS_FOR_LEFTOVERS: u32 = 6;

/// How long a connection may take to answer when it is asked whether it is still there.
const PRESENCE: Duration = Duration::from_secs(1);

/// How long connections are taken for sessions without another look, once they were found to be.
const FRESH: Duration = Duration::from_secs(1);

/// How long calls are refused without another look, once connections were found to be shared.
const REFUSED: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Ours,
    Another,
}

/// What was found out about the connections to a database.
#[derive(Debug, Default)]
pub(super) struct Pooling {
    verdict: Mutex<Verdict>,
    /// Held by the one connection that is being examined; the others wait for what it finds.
    looking: tokio::sync::Mutex<()>,
    silence: Mutex<Silence>,
    /// How many more times to look for what sessions have left behind.
    leftovers: AtomicU32,
}

/// When calls got no answer. Whatever has cut off one connection unnoticed has often cut them all.
#[derive(Debug, Clone, Copy, Default)]
struct Silence {
    /// When a call last got no answer in time.
    met: Option<std::time::Instant>,
    /// When another connection, asked for that reason, gave no answer either.
    sure: Option<std::time::Instant>,
}

#[derive(Debug, Clone, Copy, Default)]
enum Verdict {
    #[default]
    Unknown,
    /// They were found to be sessions at this time.
    Sessions(Instant),
    /// They were found to be shared with other clients at this time.
    Shared(Instant),
}

/// What comparing two connections has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finding {
    Sessions,
    Shared,
    /// Nothing, because only one connection could be had.
    Nothing,
}

impl Pooling {
    /// Whether connections were found to be shared, and not found to be sessions since.
    pub(super) fn is_shared(&self) -> bool {
        matches!(*self.verdict(), Verdict::Shared(_))
    }

    /// Whether connections were found to be shared so short a time ago that calls are refused without another
    /// look.
    pub(super) fn refuses(&self) -> bool {
        matches!(*self.verdict(), Verdict::Shared(found) if found.elapsed() < REFUSED)
    }

    /// Notes that a connection turned out to be shared while it was used.
    pub(super) fn found_shared(&self) {
        self.note(Finding::Shared);
    }

    /// Whether to look once more for what sessions have left behind on connections that are shared by now.
    /// Sessions end one after the other, so one look is not enough.
    pub(super) fn may_have_left_something(&self) -> bool {
        let less = |looks: u32| looks.checked_sub(1);
        self.leftovers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    /// Notes that a call got no answer in time.
    pub(super) fn met_silence(&self) {
        self.silence().met = Some(std::time::Instant::now());
    }

    /// Whether a connection can be used that answered last at `last`. It is asked if another one gave no
    /// answer since.
    pub(super) async fn answers(&self, client: &Client, last: std::time::Instant) -> bool {
        let Silence { met, sure } = *self.silence();
        if met.is_none_or(|met| met < last) {
            return true;
        }
        if sure.is_some_and(|sure| sure > last) {
            return false;
        }
        let is_there = matches!(timeout(PRESENCE, client.simple_query("")).await, Ok(Ok(_)));
        if !is_there {
            self.silence().sure = Some(std::time::Instant::now());
        }
        is_there
    }

    fn silence(&self) -> MutexGuard<'_, Silence> {
        self.silence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a new connection is a session, as far as that can be told. `connect` makes another one in the
    /// same way.
    pub(super) async fn admits(
        &self,
        ours: &Client,
        connect: impl Future<Output = Result<(Client, JoinHandle<()>), Error>>,
    ) -> Result<bool, Error> {
        let _looking = self.looking.lock().await;
        let verdict = *self.verdict();
        match verdict {
            Verdict::Sessions(found) if found.elapsed() < FRESH => return Ok(true),
            Verdict::Shared(found) if found.elapsed() < REFUSED => return Ok(false),
            _ => {}
        }
        let found = match look(ours, connect).await {
            // Connections were sessions before; that there is no second one now does not change that.
            Err(error) if matches!(verdict, Verdict::Sessions(_)) && error.code().is_some() => {
                Finding::Nothing
            }
            found => found?,
        };
        self.note(found);
        Ok(found != Finding::Shared)
    }

    /// Notes what was found, and logs where it differs from before. What the first look finds is reported to
    /// the caller instead.
    fn note(&self, found: Finding) {
        let mut verdict = self.verdict();
        let before = *verdict;
        match (before, found) {
            (_, Finding::Nothing) => return,
            (Verdict::Sessions(_), Finding::Shared) => {
                self.leftovers.store(LOOKS_FOR_LEFTOVERS, Ordering::Relaxed);
                tracing::error!("{}; until then, requests get 503", crate::error::SchemaError::Shared);
            }
            (Verdict::Shared(_), Finding::Sessions) => {
                tracing::info!("connections to the database are sessions again");
            }
            _ => {}
        }
        let now = Instant::now();
        *verdict = if found == Finding::Shared { Verdict::Shared(now) } else { Verdict::Sessions(now) };
    }

    fn verdict(&self) -> MutexGuard<'_, Verdict> {
        self.verdict.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn look(
    ours: &Client,
    connect: impl Future<Output = Result<(Client, JoinHandle<()>), Error>>,
) -> Result<Finding, Error> {
    ours.batch_execute(FIRST).await?;
    let another = match connect.await {
        Ok((another, _)) => another,
        // This role, or this server, may have only one connection.
        Err(error) if error.code() == Some(&SqlState::TOO_MANY_CONNECTIONS) => return Ok(Finding::Nothing),
        Err(error) => return Err(error),
    };
    let mut backends: [Option<String>; 2] = [None, None];
    let mut is_first = true;
    for turn in TURNS {
        let answer = match turn {
            Turn::Ours => Some(backend(ours).await?),
            Turn::Another if is_first => {
                is_first = false;
                first_answer(ours, &another).await?
            }
            Turn::Another => Some(backend(&another).await?),
        };
        // The other one waits for a connection to the server and does not get ours, so ours is lent for
        // longer than a transaction.
        let Some(answer) = answer else { return Ok(Finding::Sessions) };
        let (mine, other) = (turn as usize, 1 - turn as usize);
        let is_another = backends[mine].as_ref().is_some_and(|known| *known != answer);
        if is_another || backends[other].as_ref() == Some(&answer) {
            return Ok(Finding::Shared);
        }
        backends[mine] = Some(answer);
    }
    Ok(Finding::Sessions)
}

/// The first answer of the other connection. `None` if ours is served over and over while the other one
/// waits: a pooler that lends connections for a transaction would serve whoever asked first.
async fn first_answer(ours: &Client, another: &Client) -> Result<Option<String>, Error> {
    let mut answer = pin!(async {
        another.batch_execute(FIRST).await?;
        backend(another).await
    });
    if let Ok(answer) = timeout(ANSWER, &mut answer).await {
        return answer.map(Some);
    }
    for _ in 0..3 {
        backend(ours).await?;
    }
    // It may only have been slow.
    timeout(ANSWER, answer).await.ok().transpose()
}

/// The backend process that serves a connection at this moment.
pub(super) async fn backend(client: &Client) -> Result<String, Error> {
    let messages = client.simple_query(BACKEND).await?;
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let column = |at| row.and_then(|row| row.get(at)).unwrap_or_default();
    Ok(format!("{} {}", column(0), column(1)))
}
