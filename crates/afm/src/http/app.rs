//! What every request handler works with.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use slamon_protocol::Limits;
use slamon_store::{Counts, Reads, Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::database::health::Health;
use crate::dispatch::cache::DispatchCache;
use crate::dispatch::committer::Committer;
use crate::dispatch::heartbeats::Heartbeats;
use crate::dispatch::waiters::Waiters;
use crate::http::delayed_answers::DelayedAnswers;
use crate::http::error::ApiError;

/// A running AFM. Each request has a clone of it, so a clone costs one count and not one a part.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// The parts of a running AFM.
pub struct Parts {
    /// Takes everything that changes something.
    pub committer: Committer,
    /// Answers everything that does not.
    pub store: Arc<dyn Store>,
    /// What time it is.
    pub clock: Clock,
    /// Who waits for tasks, and for their ends.
    pub waiters: Waiters,
    /// What need not be asked of the store.
    pub cache: DispatchCache,
    /// Whether the database takes writes.
    pub(crate) health: Arc<Health>,
    /// Saves when agents were seen.
    pub heartbeats: Heartbeats,
    /// Cancelled when the server stops: requests that are held open end then.
    pub stop: CancellationToken,
    /// Answers to agents that are to come back later.
    pub(crate) delayed: DelayedAnswers,
    /// The answer to those who ask for the dashboard's lists at the same time.
    pub(crate) overview: Reads<(), Bytes>,
    /// What those are told who ask at the same time how much there is.
    pub(crate) counts: Reads<(), Counts>,
    /// The numbers that answers depend on.
    pub settings: Settings,
}

impl App {
    /// An AFM on `store`, and the future that does its writing, which ends when all clones are gone.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Clock,
        settings: Settings,
        stop: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (waiters, cache) = (Waiters::default(), DispatchCache::default());
        let delayed = DelayedAnswers::new();
        let health = Health::new(Arc::clone(&store));
        let (committer, work) = Committer::new(
            Arc::clone(&store),
            clock.clone(),
            waiters.clone(),
            cache.clone(),
            Arc::clone(&health),
        );
        let heartbeats = Heartbeats::new(cache.clone(), committer.clone());
        let (overview, counts) = (Reads::new(1), Reads::new(1));
        let parts = Parts {
            committer,
            store,
            clock,
            waiters,
            cache,
            health,
            heartbeats,
            stop,
            delayed,
            overview,
            counts,
            settings,
        };
        (Self(Arc::new(parts)), work)
    }

    /// The answer to a request whose read failed.
    pub(crate) fn read_failed(&self, error: &StoreError) -> ApiError {
        ApiError::of_read(error, &self.health)
    }
}

impl App {
    /// Since when an agent must have been seen to be active; as of now, so that the store knows of all who were.
    pub(crate) async fn active_since(&self) -> Timestamp {
        self.heartbeats.flush_for_read().await;
        self.clock.now().checked_sub(self.settings.agent_active_threshold).unwrap_or(Timestamp::MIN)
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// The numbers that answers depend on.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// When an agent is told to poll next.
    pub agent_return_time: Duration,
    /// After how much silence an agent counts as lost.
    pub agent_active_threshold: Duration,
    /// The largest request body, in bytes.
    pub max_content_length: usize,
    /// How long names may be, and how many capabilities an agent may have.
    pub limits: Limits,
    /// How long a request may take, besides the time that it asks to wait.
    pub request_timeout: Duration,
}
