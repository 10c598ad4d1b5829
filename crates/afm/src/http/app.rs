//! The state that all request handlers share.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::routing::MethodRouter;
use bytes::Bytes;
use jiff::Timestamp;
use slamon_protocol::Limits;
use slamon_store::{Counts, Reads, Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::access::HeldTokens;
use crate::clock::Clock;
use crate::database::health::Health;
use crate::dispatch::cache::DispatchCache;
use crate::dispatch::committer::{Committer, Observers};
use crate::dispatch::event_log::EventLog;
use crate::dispatch::heartbeats::Heartbeats;
use crate::dispatch::waiters::Waiters;
use crate::http::access::AccessSettings;
use crate::http::bulk::Bulk;
use crate::http::delayed_answers::DelayedAnswers;
use crate::http::error::ApiError;
use crate::metrics::ProcessCounts;
use crate::statistics::{OverviewFigures, PlaceFigures, Statistics};
use crate::traces::Tracer;

/// A running AFM. Each request has a clone, which costs one reference count and not one for each part.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// Paths without a slash at their end, each with its handlers, which share an [`App`].
pub(super) type Routes = Vec<(&'static str, MethodRouter<App>)>;

/// The parts of a running AFM.
pub struct Parts {
    /// Applies commands.
    pub committer: Committer,
    /// Knows who may do what.
    pub tokens: HeldTokens,
    /// Answers reads.
    pub store: Arc<dyn Store>,
    /// Tells the time.
    pub clock: Clock,
    /// Holds requests open that wait for tasks, or for their ends.
    pub waiters: Waiters,
    /// Answers polls that bring nothing, without the store.
    pub cache: DispatchCache,
    /// Knows whether the database takes writes.
    pub(crate) health: Arc<Health>,
    /// Keeps the latest changes of tasks for those who watch.
    pub(crate) event_log: EventLog,
    /// Saves and reads what happens to tasks.
    pub statistics: Statistics,
    /// Makes spans of the changes.
    pub(crate) tracer: Tracer,
    /// Counts requests and batches.
    pub(crate) process_counts: Arc<ProcessCounts>,
    /// Saves when agents were seen.
    pub heartbeats: Heartbeats,
    /// Cancelled when the server stops, which ends the requests that are held open.
    pub stop: CancellationToken,
    /// Delays answers to agents that are told to come back later.
    pub(crate) delayed: DelayedAnswers,
    /// Bounds what requests about many tasks do at the same time, and remembers what they have counted.
    pub(crate) bulk: Bulk,
    /// Reads the lists of `/dashboard/status` once for all who ask at the same time.
    pub(crate) overview: Reads<(), Bytes>,
    /// Reads the counts once for all who ask at the same time.
    pub(crate) counts: Reads<(), Counts>,
    /// The settings that answers depend on.
    pub settings: Settings,
}

impl App {
    /// Creates an AFM on `store`, and the future of its commit loop, which ends when all clones are gone.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Clock,
        settings: Settings,
        stop: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send) {
        Self::traced(store, clock, settings, stop, Tracer::default())
    }

    /// Creates an AFM as [`App::new`] does, that makes spans.
    pub(crate) fn traced(
        store: Arc<dyn Store>,
        clock: Clock,
        settings: Settings,
        stop: CancellationToken,
        tracer: Tracer,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let observers = Observers { tracer, ..Observers::default() };
        let delayed = DelayedAnswers::new();
        let tokens = HeldTokens::new(Arc::clone(&store));
        let health = Health::new(Arc::clone(&store));
        let (committer, work) =
            Committer::new(Arc::clone(&store), clock.clone(), observers.clone(), Arc::clone(&health));
        let Observers { waiters, cache, event_log, tally, tracer, process_counts } = observers;
        let statistics = Statistics::new(Arc::clone(&store), tally);
        let heartbeats = Heartbeats::new(cache.clone(), committer.clone());
        let (overview, counts) = (Reads::new(1), Reads::new(1));
        let parts = Parts {
            committer,
            tokens,
            store,
            clock,
            waiters,
            cache,
            health,
            event_log,
            statistics,
            tracer,
            process_counts,
            heartbeats,
            stop,
            delayed,
            bulk: Bulk::default(),
            overview,
            counts,
            settings,
        };
        (Self(Arc::new(parts)), work)
    }

    /// Returns the answer to a request whose read failed, and notes the failure.
    pub(crate) fn read_failed(&self, error: &StoreError) -> ApiError {
        ApiError::of_read(error, &self.health)
    }
}

impl App {
    /// Returns since when an agent must have been seen to count as active. Flushes heartbeats first, so that
    /// the store knows all that were.
    pub(crate) async fn active_since(&self) -> Timestamp {
        self.heartbeats.flush_for_read().await;
        self.clock.now().checked_sub(self.settings.agent_active_threshold).unwrap_or(Timestamp::MIN)
    }
}

impl App {
    /// Reads the figures of the first page, at most once a second for all who ask.
    ///
    /// # Errors
    /// Fails when they cannot be read.
    pub async fn overview_figures(&self) -> Result<Arc<OverviewFigures>, StoreError> {
        self.statistics.overview(self.clock.now(), self.active_since()).await
    }

    /// Returns how many agents there are in each place; `None` while they are counted for the first time.
    ///
    /// # Errors
    /// Fails when they cannot be counted.
    pub(crate) async fn places(&self) -> Result<Option<Arc<PlaceFigures>>, Arc<StoreError>> {
        self.statistics.places(self.clock.now(), self.active_since().await).await
    }
}

impl App {
    /// Counts all agents, as the background does, see [`Statistics::take_census`].
    ///
    /// # Errors
    /// Fails when they cannot be counted.
    pub async fn take_census(&self) -> Result<bool, StoreError> {
        self.statistics.take_census(&self.clock, || self.active_since()).await
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// How long a list of tasks looks on while it is not full.
pub const LIST_LOOKS_FOR: Duration = Duration::from_millis(100);

/// The settings that answers depend on.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How long after a poll an agent is told to poll next.
    pub agent_return_time: Duration,
    /// After how much silence an agent counts as lost.
    pub agent_active_threshold: Duration,
    /// The largest request body, in bytes.
    pub max_content_length: usize,
    /// How long names may be, and how many capabilities an agent may have.
    pub limits: Limits,
    /// How long a request may take, besides the time that it asks to wait.
    pub request_timeout: Duration,
    /// What is asked of requests without a token.
    pub access: AccessSettings,
    /// How long a list of tasks looks on while it is not full, see [`LIST_LOOKS_FOR`].
    pub list_looks_for: Duration,
}
