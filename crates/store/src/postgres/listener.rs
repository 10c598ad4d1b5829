//! Listens for notifications of other AFMs, and finds out when none arrive.
//!
//! Something between here and the server may lose notifications without a word. So an AFM now and then sends
//! itself one, an echo. While echoes do not arrive, all that wait for events are told every second to look
//! for themselves.

use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use deadpool_postgres::Pool;
use futures_util::future::{join, select, select_all};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::Client;

use super::connection::Connector;
use super::connection_limit::ConnectionLimit;
use super::errors::PgError;
use super::leftovers;
use super::notifications;
use super::notify_pause::NEARLY_FULL;
use super::pooling;
use super::session::Session;
use super::shared_state::SharedState;
use super::timeouts::milliseconds;
use crate::error::SchemaError;
use crate::event::StoreEvent;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How long after an echo has arrived the next one is sent.
const ECHO_AGAIN: Duration = Duration::from_secs(10);

/// How long an echo may take, and every step that leads to it.
const ECHO: Duration = Duration::from_secs(5);

/// How often those that wait for events are told to look while notifications do not arrive.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How long notifications may fail to arrive before that is logged, unless the cause is clear.
const SILENCE: Duration = Duration::from_secs(15);

/// Listens on behalf of one AFM.
pub(super) struct Listener<'l> {
    pub(super) connector: &'l Connector,
    /// The connections over which echoes are sent: never the one that listens.
    pub(super) pool: &'l Pool,
    pub(super) limit: &'l ConnectionLimit,
    pub(super) shared: &'l SharedState,
    /// Why notifications do not arrive, while they do not.
    pub(super) problem: Mutex<Option<PgError>>,
}

impl Listener<'_> {
    /// Passes on events until `sender` is closed.
    pub(super) async fn listen(&self, sender: &mpsc::Sender<StoreEvent>) {
        let work = join(self.keep_listening(sender), self.look_instead(sender));
        select(pin!(sender.closed()), pin!(work)).await;
    }

    async fn keep_listening(&self, sender: &mpsc::Sender<StoreEvent>) {
        let mut pause = FIRST_PAUSE;
        loop {
            let connected = timeout(ECHO, self.connector.listen(self.shared.instance)).await;
            let problem = match connected.unwrap_or(Err(PgError::Timeout)) {
                Ok((client, heard)) => {
                    let problem = self.hear(&client, heard, &mut pause, sender).await;
                    let _ = sender.send(StoreEvent::ListeningStopped).await;
                    problem
                }
                Err(problem) => problem,
            };
            tracing::debug!(
                error = problem.describe(),
                "could not listen for notifications of other AFMs: trying again"
            );
            let is_shared = matches!(problem, PgError::Schema(SchemaError::Shared));
            *self.problem() = Some(problem);
            sleep(pause).await;
            if is_shared && self.connector.pooling.may_have_left_something() {
                leftovers::close(self.connector, self.pool.status().max_size + 2).await;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Passes on what arrives over one connection, and returns why nothing does any more.
    async fn hear(
        &self,
        client: &Client,
        mut heard: mpsc::Receiver<String>,
        pause: &mut Duration,
        sender: &mpsc::Sender<StoreEvent>,
    ) -> PgError {
        let (echo, first) = (Notify::new(), Notify::new());
        let pass_on = async {
            while let Some(payload) = heard.recv().await {
                if payload == notifications::ECHO {
                    echo.notify_one();
                }
                let Some(text) = notifications::of_others(&payload, self.shared.instance) else { continue };
                self.shared.other_afms.heard();
                for event in notifications::events(text) {
                    // While some notifications are lost, events may have been missed all the time.
                    let is_sure = event != StoreEvent::EventsMissed || self.shared.reception.is_complete();
                    let _ = sender.send(if is_sure { event } else { StoreEvent::NotListening }).await;
                }
            }
            PgError::NoConnection("the connection that listens has ended".to_owned())
        };
        let keep_asking = async {
            let problem = self.keep_asking(client, &echo, &first).await;
            problem.err().unwrap_or(PgError::NotificationsLost)
        };
        let begin = async {
            first.notified().await;
            *pause = FIRST_PAUSE;
            *self.problem() = None;
            let _listening = self.shared.reception.listen();
            // Others see its lock within a second, too.
            let listening = notifications::listening_statement(self.shared.instance);
            if let Err(problem) = self.notify(&listening).await {
                tracing::debug!(
                    error = problem.describe(),
                    "could not tell other AFMs that this one listens"
                );
            }
            if let Ok((_, others_listen)) = self.look_around().await {
                self.shared.other_afms.saw(others_listen);
            }
            if self.shared.reception.is_complete() {
                // Notifications from before the connection listened were missed.
                let _ = sender.send(StoreEvent::EventsMissed).await;
            }
            std::future::pending().await
        };
        let (pass_on, keep_asking, begin) = (pin!(pass_on), pin!(keep_asking), pin!(begin));
        select_all::<[std::pin::Pin<&mut (dyn Future<Output = PgError> + Send)>; 3]>([
            pass_on,
            keep_asking,
            begin,
        ])
        .await
        .0
    }

    /// Sends echoes again and again, and returns when one does not arrive.
    async fn keep_asking(&self, client: &Client, echo: &Notify, first: &Notify) -> Result<(), PgError> {
        let bounded = async || {
            let backend = timeout(ECHO, pooling::backend(client)).await;
            Ok::<_, PgError>(backend.map_err(|_| PgError::Timeout)??)
        };
        let backend = bounded().await?;
        loop {
            match timeout(ECHO, self.say()).await.unwrap_or(Err(PgError::Timeout)) {
                Ok(()) => {
                    timeout(ECHO, echo.notified()).await.map_err(|_| PgError::NotificationsLost)?;
                    if bounded().await? != backend {
                        self.connector.pooling.found_shared();
                        return Err(SchemaError::Shared.into());
                    }
                    first.notify_one();
                    sleep(ECHO_AGAIN).await;
                }
                // Echoes arrive again once there is room; until then all look for themselves.
                Err(problem) if problem.is_queue_full() => sleep(LOOK_AGAIN).await,
                // This connection may be the one that keeps all others from the server.
                Err(problem) if self.pool.status().size == 0 => return Err(problem),
                // No session can send notifications.
                Err(problem) if problem.is_refused() => return Err(problem),
                Err(_) => sleep(LOOK_AGAIN).await,
            }
        }
    }

    async fn say(&self) -> Result<(), PgError> {
        self.notify(&notifications::echo_statement(self.shared.instance)).await
    }

    /// Runs a NOTIFY in a transaction of its own, which may wait for others that notify.
    async fn notify(&self, notify: &str) -> Result<(), PgError> {
        let session = Session::open(self.pool, &self.connector.pooling, self.limit, ECHO, false).await?;
        let lock_wait = milliseconds(ECHO);
        let script = format!("begin; set local lock_timeout = {lock_wait}; {notify}; commit");
        session.bounded(session.script(&script)).await?;
        session.finish();
        Ok(())
    }

    /// How much of the queue of notifications is in use, from 0 to 1, and whether other AFMs listen.
    async fn look_around(&self) -> Result<(f64, bool), PgError> {
        let session = Session::open(self.pool, &self.connector.pooling, self.limit, ECHO, false).await?;
        let query = notifications::surroundings_query(self.shared.instance);
        let rows = session.bounded(session.query(&query, &[])).await?;
        session.finish();
        let row = rows.first().ok_or_else(|| {
            PgError::Unexpected("the query of the queue of notifications returned no row".to_owned())
        })?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    }

    /// Notes whether the queue of notifications is too full to be relied on, and ends the pause in sending
    /// them once there is room again.
    async fn watch_queue(&self, usage: f64, sender: &mpsc::Sender<StoreEvent>) {
        let is_nearly_full = usage >= NEARLY_FULL;
        let reception = &self.shared.reception;
        if reception.set_queue_full(is_nearly_full) {
            *self.problem() = is_nearly_full.then_some(PgError::QueueFull);
            if is_nearly_full {
                let _ = sender.send(StoreEvent::ListeningStopped).await;
            } else if reception.is_complete() {
                // Notifications that could not be sent were missed.
                let _ = sender.send(StoreEvent::EventsMissed).await;
            }
        }
        let pause = &self.shared.notify_pause;
        let may_end = pause.may_end(usage);
        if may_end {
            pause.end();
        }
        // Other AFMs may have begun to listen again before this one sends again.
        let others = &self.shared.other_afms;
        // Others notice a full queue themselves.
        let unsent = others.take_unsent() && !is_nearly_full;
        if (may_end | pause.take_unsent() | unsent)
            && let Err(problem) = self.notify(&notifications::anything_statement(self.shared.instance)).await
        {
            tracing::debug!(error = problem.describe(), "could not notify other AFMs");
            if pause.is_paused() {
                pause.note_unsent();
            } else {
                others.note_unsent();
            }
        }
    }

    /// While notifications do not arrive but the database answers, tells all that wait for events to look,
    /// and logs it once.
    async fn look_instead(&self, sender: &mpsc::Sender<StoreEvent>) {
        let mut silent_since = Instant::now();
        let mut is_said = false;
        loop {
            select(pin!(sleep(LOOK_AGAIN)), pin!(self.shared.other_afms.has_unsent())).await;
            let seen = timeout(ECHO, self.look_around()).await.unwrap_or(Err(PgError::Timeout));
            match seen {
                Ok((usage, others_listen)) => {
                    self.shared.other_afms.saw(others_listen);
                    self.watch_queue(usage, sender).await;
                }
                Err(_) => self.shared.other_afms.lost_sight(),
            }
            if self.shared.reception.is_complete() {
                if is_said {
                    tracing::info!("notifications of other AFMs arrive again");
                }
                is_said = false;
                silent_since = Instant::now();
                continue;
            }
            // Without the database there is nothing to look for; others log that.
            if seen.is_err() {
                silent_since = Instant::now();
                continue;
            }
            let (is_clear, why) = match &*self.problem() {
                Some(problem) => {
                    (matches!(problem, PgError::NotificationsLost | PgError::QueueFull), problem.describe())
                }
                None => (false, PgError::Timeout.describe()),
            };
            if !is_said && (is_clear || silent_since.elapsed() >= SILENCE) {
                tracing::warn!(
                    error = why,
                    "no notifications of other AFMs arrive: looking for their changes every second"
                );
                is_said = true;
            }
            // It is sent at once or not at all, so that it never comes after later events.
            let _ = sender.try_send(StoreEvent::NotListening);
        }
    }

    fn problem(&self) -> std::sync::MutexGuard<'_, Option<PgError>> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
