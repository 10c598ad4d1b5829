//! The number of connections that the server grants, which may be fewer than the pool would make.
//!
//! A role may have a limit, and a server may be full. A call that gets no further connection waits for one
//! that exists, and for a while the store does not ask for more than there are.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use deadpool_postgres::{Client, Pool};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::errors::PgError;
use crate::connections::Connections;

/// How long to wait before a refused connection is asked for once more: the server may not have noticed yet
/// that another one has ended.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// How long the store does without a connection that was refused, before it asks again.
const REMEMBERED: Duration = Duration::from_secs(30);

/// How long a new connection may take while there are others: a pooler that has no more lets it wait.
const LENT: Duration = Duration::from_secs(2);

/// The right to use one connection.
pub(super) type Permit = OwnedSemaphorePermit;

/// Hands out permits for as many connections as the server grants.
#[derive(Debug)]
pub(super) struct ConnectionLimit {
    permits: Arc<Semaphore>,
    granted: Arc<AtomicUsize>,
    /// How many calls wait for a permit.
    waiting: AtomicUsize,
    /// How long a call waits for a connection.
    patience: Duration,
    was_logged: AtomicBool,
}

impl ConnectionLimit {
    pub(super) fn new(most: usize, patience: Duration) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(most)),
            granted: Arc::new(AtomicUsize::new(most)),
            waiting: AtomicUsize::new(0),
            patience,
            was_logged: AtomicBool::new(false),
        }
    }

    /// Takes a connection of `pool`, as soon as there is one.
    pub(super) async fn take_from(&self, pool: &Pool) -> Result<(Client, Permit), PgError> {
        let deadline = Instant::now() + self.patience;
        let mut refused = 0;
        loop {
            let permit = self.permit(deadline).await?;
            let problem = match get(pool).await {
                Ok(client) => return Ok((client, permit)),
                Err(problem) => problem,
            };
            if !problem.is_out_of_connections() || Instant::now() + ASK_AGAIN >= deadline {
                return Err(problem);
            }
            refused += 1;
            let is_certain = refused > 1 || matches!(problem, PgError::PoolerFull);
            if is_certain && self.give_up(permit) {
                self.log_once(&problem);
            } else {
                // Other calls may have given back connections by then, or this store may have none at all.
                sleep(ASK_AGAIN).await;
            }
        }
    }

    async fn permit(&self, deadline: Instant) -> Result<Permit, PgError> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(permit);
        }
        let _waiting = Waiting::begin(&self.waiting);
        let permit = timeout_at(deadline, Arc::clone(&self.permits).acquire_owned()).await;
        permit
            .map_err(|_| PgError::NoConnection("all connections of the pool are in use".to_owned()))?
            .map_err(|_| PgError::NoConnection("the store is closed".to_owned()))
    }

    /// Says how the connections of `pool` are used.
    pub(super) fn look_at(&self, pool: &Pool) -> Connections {
        let status = pool.status();
        Connections {
            most: self.granted.load(Ordering::Relaxed),
            used: status.size.saturating_sub(status.available),
            idle: status.available,
            waiting: self.waiting.load(Ordering::Relaxed),
        }
    }

    /// Does without the connection that `permit` stands for, for a while. Returns `false`, and keeps the
    /// permit, if it is the last one.
    fn give_up(&self, permit: Permit) -> bool {
        let less = |granted: usize| (granted > 1).then(|| granted - 1);
        if self.granted.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_err() {
            return false;
        }
        permit.forget();
        let (permits, granted) = (Arc::clone(&self.permits), Arc::clone(&self.granted));
        tokio::spawn(async move {
            sleep(REMEMBERED).await;
            granted.fetch_add(1, Ordering::SeqCst);
            permits.add_permits(1);
        });
        true
    }

    fn log_once(&self, problem: &PgError) {
        if !self.was_logged.swap(true, Ordering::SeqCst) {
            tracing::warn!(
                reason = problem.describe(),
                "the server grants fewer connections than SQLALCHEMY_POOL_SIZE: calls wait for those that \
                 there are"
            );
        }
    }
}

/// A call that waits for a permit.
struct Waiting<'w>(&'w AtomicUsize);

impl<'w> Waiting<'w> {
    fn begin(waiting: &'w AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Gets a connection that exists, or makes one.
async fn get(pool: &Pool) -> Result<Client, PgError> {
    let mut getting = pin!(pool.get());
    loop {
        match timeout(LENT, &mut getting).await {
            Ok(got) => return Ok(got?),
            Err(_) if pool.status().size > 0 => return Err(PgError::PoolerFull),
            Err(_) => {}
        }
    }
}
