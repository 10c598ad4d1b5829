//! The subcommand `run` puts the server together and serves until it is stopped.

mod address;
mod background;
mod spans;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use slamon_store::{SchemaError, Store, StoreError};
use tokio::net::TcpListener;
use tokio::task::JoinError;
use tokio::time::Instant;

pub(super) use self::address::Address;
use self::background::Background;
use super::signals::Shutdown;
use super::{resource_limits, tables};
use crate::clock::SteadyClock;
use crate::config::Config;
use crate::database::{Database, DatabaseKind};
use crate::http::access::AccessSettings;
use crate::http::app::{App, LIST_LOOKS_FOR, Settings};
use crate::http::router::router;
use crate::http::server::{self, ServerLimits};
use crate::logging::LogWriter;
use crate::maintenance::clock_sync::set_clock;
use crate::maintenance::sweeper::SweepPolicy;

/// A connection that sends nothing for this long is closed.
const IDLE: Duration = Duration::from_secs(75);

/// A client may leave its answer unread for this long.
const UNREAD: Duration = Duration::from_secs(30);

/// Large bodies that arrive and large answers that are not read yet may take this many bytes together. The
/// bound grows with MAX_CONTENT_LENGTH.
const MEMORY: usize = 64 * 1024 * 1024;

/// The last writes have at least this long once the last request has been answered.
const LAST_WRITES: Duration = Duration::from_secs(1);

/// A database that is away is asked again after this long.
const DATABASE_AGAIN: Duration = Duration::from_secs(1);

/// systemd has this long to take a notification.
const NOTIFY: Duration = Duration::from_secs(1);

/// Serves until the process is told to stop. `is_listening` is told where, once connections are accepted.
pub(super) async fn run(
    address: &Address,
    config: &Config,
    database: Database,
    log: LogWriter,
    is_listening: impl FnOnce(&[SocketAddr]),
) -> anyhow::Result<()> {
    let shutdown = Shutdown::on_signals(log)?;
    let (host, port) = address.host_and_port().map_err(anyhow::Error::msg)?;
    // Listening comes before the database is touched: while the original has the port, its tables are in use.
    let listeners =
        server::listen(host, port).await.with_context(|| format!("cannot listen on {host} port {port}"))?;
    let files = resource_limits::raise_limit();
    let store = database.store.clone();
    let clock = SteadyClock::start();
    let settings = Settings {
        agent_return_time: config.agent_return_time,
        agent_active_threshold: config.agent_active_threshold,
        max_content_length: config.max_content_length,
        limits: config.limits,
        request_timeout: config.request_timeout,
        access: AccessSettings { required: config.auth_required, shared_read: config.shared_read },
        list_looks_for: LIST_LOOKS_FOR,
    };
    let (tracer, sending) = spans::start(config, &store)?;
    let (app, work) = App::traced(store.clone(), clock.clock(), settings, shutdown.stop.clone(), tracer);
    let mut work = tokio::spawn(work);
    let addresses = listeners.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
    let limits = ServerLimits {
        idle: IDLE,
        write: UNREAD,
        shutdown: config.shutdown_timeout,
        connections: resource_limits::connections(files, config.pool_size),
        memory: MEMORY.max(config.max_content_length.saturating_mul(4)),
    };
    tracing::info!(open_files = files, connections = limits.connections, "limits");
    let router = router(app.clone());
    let (heartbeats, statistics) = (app.heartbeats.clone(), app.statistics.clone());
    let tokens = app.tokens.clone();
    warn_of_open_doors(&addresses, config);
    let mut serving =
        tokio::spawn(server::serve(listeners, router, limits, shutdown.stop.clone(), shutdown.abort.clone()));

    is_listening(&addresses);
    let ended = tokio::select! {
        biased;
        () = shutdown.stop.cancelled() => Ok(()),
        // Without these tasks nothing works: the program ends, so that a supervisor starts it again.
        died = &mut work => return Err(death("committer", died)),
        died = &mut serving => return Err(death("server", died)),
        failed = live(&addresses, app, clock, &database, config) => failed,
    };
    shutdown.stop.cancel();
    let deadline = Instant::now() + config.shutdown_timeout;
    notify_systemd(sd_notify::NotifyState::Stopping).await;
    serving.await?;
    let finish = async {
        // If this fails, only the last heartbeats are lost, which is no reason to fail.
        let _ = heartbeats.flush().await;
        drop(heartbeats);
        // The router and the background have dropped their committers: the commit loop ends once its queue is
        // empty.
        work.await?;
        // If this fails, the statistics of the last seconds are lost, as after a crash.
        for saved in [statistics.save().await, statistics.save_outcomes().await] {
            if let Err(error) = saved {
                tracing::warn!(error = format!("{error:#}"), "could not save the last statistics");
            }
        }
        tokens.save_uses().await;
        if let Some(sending) = sending {
            // The store must still be closed in time.
            let time_left = deadline.saturating_duration_since(Instant::now()).max(LAST_WRITES) / 2;
            sending.finish(time_left, &shutdown.abort).await;
        }
        store.close().await;
        anyhow::Ok(())
    };
    // A database that hangs, or a lock in it, must not keep the program from ending.
    let at_once = async {
        shutdown.abort.cancelled().await;
        tokio::time::sleep(LAST_WRITES).await;
    };
    tokio::select! {
        biased;
        finished = finish => finished?,
        () = at_once => anyhow::bail!("stopped at once: the database had not answered yet"),
        () = tokio::time::sleep_until(deadline.max(Instant::now() + LAST_WRITES)) => {
            anyhow::bail!("stopped: the database did not answer in time");
        }
    }
    tracing::info!("stopped");
    ended
}

/// Prepares the database and runs the background tasks. Returns only when either fails.
async fn live(
    addresses: &[SocketAddr],
    app: App,
    clock: SteadyClock,
    database: &Database,
    config: &Config,
) -> anyhow::Result<()> {
    let store = &*database.store;
    let listening = || {
        for addr in addresses {
            tracing::info!(%addr, version = env!("CARGO_PKG_VERSION"), "listening");
        }
    };
    match prepare(store, config.auto_create).await {
        Ok(()) => {
            announce(database, config);
            listening();
        }
        Err(error) if passes(&error) && database.kind == DatabaseKind::Postgres => {
            listening();
            warn_of(&error);
            prepare_until_there(store, config.auto_create, error).await.map_err(|e| database.unusable(e))?;
            tracing::info!("the database is there");
            announce(database, config);
        }
        Err(error) => return Err(database.unusable(error)),
    }
    set_clock(store, &clock).await;
    let mut background = Background::start(&app, clock, watch(config));
    notify_systemd(sd_notify::NotifyState::Ready).await;
    Err(background.death().await)
}

/// Warns where anybody who reaches the port may do everything.
fn warn_of_open_doors(addresses: &[SocketAddr], config: &Config) {
    if !config.auth_required && addresses.iter().any(|address| !address.ip().is_loopback()) {
        tracing::warn!(
            "no token is required: whoever reaches this port can post tasks, which agents execute, and read all \
             results; make tokens (slamon-afm token create) and set AUTH_REQUIRED = True"
        );
    }
}

fn death(part: &str, died: Result<(), JoinError>) -> anyhow::Error {
    let how = died.err().map_or_else(|| anyhow::anyhow!("it ended"), anyhow::Error::from);
    how.context(format!("the {part} died"))
}

fn watch(config: &Config) -> SweepPolicy {
    let if_cleaning_up = |after| config.auto_cleanup.then_some(after);
    SweepPolicy {
        lost_after: if_cleaning_up(config.agent_active_threshold),
        forget_after: if_cleaning_up(config.agent_drop_threshold),
        delete_after: config.task_retention,
    }
}

fn announce(database: &Database, config: &Config) {
    match &database.kind {
        DatabaseKind::Memory => tracing::warn!(
            "tasks are kept in memory and are gone when this process stops; \
             to keep them: --database-uri sqlite:///slamon-afm.db"
        ),
        DatabaseKind::File(file) => {
            tracing::info!(file = %file.display(), "tasks are kept in an SQLite file");
        }
        DatabaseKind::Postgres => {
            tracing::info!(database = %config.database_uri, "tasks are kept in PostgreSQL");
        }
    }
}

/// Creates the tables, if `auto_create` says so, and checks that they can be used. Also with tables that were
/// there already, somebody may first have to grant a right.
async fn prepare(store: &dyn Store, auto_create: bool) -> Result<(), StoreError> {
    if auto_create {
        let prepared = store.create_tables().await?;
        store.check().await?;
        tables::report(prepared);
        Ok(())
    } else {
        store.check().await
    }
}

/// Says whether the error may pass without a restart of this program: the database may start later, and a
/// standby may be promoted.
fn passes(error: &StoreError) -> bool {
    matches!(error, StoreError::Unavailable(_) | StoreError::ReadOnly(_) | StoreError::InDoubt { .. })
}

fn warn_of(error: &StoreError) {
    tracing::warn!("the database is away, and requests that need it get 503 until it comes: {error:#}");
}

/// Tries until the database can be used. The reason why it cannot may change meanwhile; each new one is
/// logged once.
async fn prepare_until_there(
    store: &dyn Store,
    auto_create: bool,
    mut last: StoreError,
) -> Result<(), StoreError> {
    loop {
        tokio::time::sleep(DATABASE_AGAIN).await;
        match prepare(store, auto_create).await {
            Err(error) if passes(&error) => {
                if std::mem::discriminant(&error) != std::mem::discriminant(&last) {
                    warn_of(&error);
                }
                last = error;
            }
            // An administrator can correct this while the program runs.
            Err(error @ StoreError::Schema(SchemaError::Shared)) => {
                if !matches!(last, StoreError::Schema(_)) {
                    tracing::error!("{error}; until then, requests get 503");
                }
                last = error;
            }
            done => return done,
        }
        tokio::time::sleep(DATABASE_AGAIN).await;
    }
}

/// Tells systemd, and waits only a short time for it, since its socket may be full.
async fn notify_systemd(state: sd_notify::NotifyState<'static>) {
    let notify = tokio::task::spawn_blocking(move || sd_notify::notify(&[state]));
    match tokio::time::timeout(NOTIFY, notify).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => tracing::warn!(%error, "could not notify systemd"),
        Ok(Err(error)) => tracing::warn!(%error, "could not notify systemd"),
        Err(error) => tracing::warn!(%error, "could not notify systemd"),
    }
}
