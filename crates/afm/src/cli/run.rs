//! `run`: the server.

use std::time::Duration;

use anyhow::Context;
use slamon_store::{Store, StoreError};
use tokio::net::TcpListener;

use super::tables;
use crate::app::{App, Settings};
use crate::clock::Clock;
use crate::committer::Committer;
use crate::config::Config;
use crate::database::{Database, Kind};
use crate::routes;
use crate::server::{self, Limits};
use crate::shutdown::Shutdown;

/// How long a connection may send nothing.
const IDLE: Duration = Duration::from_secs(75);

/// How long to wait before a database that is away is asked again.
const DATABASE_AGAIN: Duration = Duration::from_secs(1);

/// Where to listen
#[derive(Debug, clap::Args)]
pub(super) struct Address {
    /// Host name or address, e.g. localhost or 0.0.0.0; a number alone is a port on all interfaces
    #[arg(default_value = "127.0.0.1")]
    host: String,
    /// Port; 0 takes any that is free
    #[arg(default_value_t = 8080)]
    port: u16,
}

impl Address {
    /// `run 8080` names a port, not a host.
    fn host_and_port(&self) -> (&str, u16) {
        match self.host.parse() {
            Ok(port) => ("0.0.0.0", port),
            Err(_) => (self.host.trim_start_matches('[').trim_end_matches(']'), self.port),
        }
    }
}

pub(super) async fn run(address: &Address, config: &Config, database: Database) -> anyhow::Result<()> {
    let shutdown = Shutdown::on_signals()?;
    announce(&database.kind);
    let store = database.store;
    let prepared = prepare(&*store, config.auto_create).await;
    let away = match prepared {
        Ok(()) => None,
        // A server may come later than we do, as when a whole machine starts.
        Err(error @ (StoreError::Unavailable(_) | StoreError::InDoubt { .. }))
            if database.kind == Kind::Postgres =>
        {
            Some(error)
        }
        Err(error) => return Err(error.into()),
    };

    let (host, port) = address.host_and_port();
    let listener = TcpListener::bind((host, port))
        .await
        .with_context(|| format!("cannot listen on {host} port {port}"))?;
    let clock = Clock::system();
    let (committer, work) = Committer::new(store.clone(), clock.clone());
    let work = tokio::spawn(work);
    let settings = Settings {
        agent_return_time: config.agent_return_time,
        agent_active_threshold: config.agent_active_threshold,
        max_content_length: config.max_content_length,
        request_timeout: config.request_timeout,
    };
    let router = routes::router(App { committer, store: store.clone(), clock, settings });
    tracing::info!(addr = %listener.local_addr()?, version = env!("CARGO_PKG_VERSION"), "listening");

    let limits = Limits { idle: IDLE, shutdown: config.shutdown_timeout };
    let serving =
        tokio::spawn(server::serve(listener, router, limits, shutdown.stop.clone(), shutdown.abort.clone()));
    let prepared = match away {
        None => Ok(()),
        Some(error) => {
            tracing::warn!(
                error = format!("{error:#}"),
                "the database is away: requests get 503 until it comes"
            );
            tokio::select! {
                prepared = prepare_until_there(&*store, config.auto_create) => prepared,
                () = shutdown.stop.cancelled() => Ok(()),
            }
        }
    };
    match prepared {
        Ok(()) => notify_systemd(&[sd_notify::NotifyState::Ready]),
        Err(_) => shutdown.stop.cancel(),
    }
    shutdown.stop.cancelled().await;
    notify_systemd(&[sd_notify::NotifyState::Stopping]);
    serving.await?;
    // The router held the last committer: its work ends when what is queued is done.
    work.await?;
    store.close().await;
    tracing::info!("stopped");
    Ok(prepared?)
}

fn announce(kind: &Kind) {
    match kind {
        Kind::Memory => tracing::warn!(
            "tasks are kept in memory and are gone when this process stops; to keep them: --database-uri sqlite:///slamon-afm.db"
        ),
        Kind::File(file) => tracing::info!(file = %file.display(), "tasks are kept in an SQLite file"),
        Kind::Postgres => tracing::info!("tasks are kept in PostgreSQL"),
    }
}

async fn prepare(store: &dyn Store, auto_create: bool) -> Result<(), StoreError> {
    if auto_create {
        tables::report(store.create_tables().await?);
        Ok(())
    } else {
        store.check().await
    }
}

async fn prepare_until_there(store: &dyn Store, auto_create: bool) -> Result<(), StoreError> {
    loop {
        match prepare(store, auto_create).await {
            Err(StoreError::Unavailable(_) | StoreError::InDoubt { .. }) => {
                tokio::time::sleep(DATABASE_AGAIN).await;
            }
            done => return done,
        }
    }
}

fn notify_systemd(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd could not be notified");
    }
}
