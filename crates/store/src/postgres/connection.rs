//! How connections are made, as the URI says, and the pool that keeps them.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;

use deadpool_postgres::{
    ClientWrapper, Connect, Hook, HookError, Manager, ManagerConfig, Pool, PoolConfig, RecyclingMethod,
    Runtime, Timeouts,
};
use slamon_protocol::excerpt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Client, Config, Connection, Error, NoTls};

use super::PostgresOptions;
use super::errors::PgError;
use super::notifications::{InstanceId, listen_statements};
use super::pooling::Pooling;
use super::timeouts::{LOCK_WAIT, milliseconds};
use super::tls::{self, Tls};
use super::uri::{ConnectionTarget, options};
use crate::error::SchemaError;

/// How many notifications are buffered before the server has to wait until they are read.
const NOTIFICATIONS_KEPT: usize = 1_000;

/// One way to reach one of the servers: an address, with TLS or without.
#[derive(Clone)]
struct ServerRoute {
    config: Config,
    tls: Option<Tls>,
    /// The settings that the server is asked for when the connection begins, as on its command line.
    options: Option<String>,
}

/// Tries the servers of a URI in their order, each with and without TLS as `sslmode` says.
#[derive(Clone)]
pub(super) struct Connector {
    hosts: Vec<Vec<ServerRoute>>,
    /// The SQL that every connection begins with.
    settings: String,
    pub(super) pooling: Arc<Pooling>,
}

impl Connect for Connector {
    fn connect(
        &self,
        _: &Config,
    ) -> Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), Error>> + Send + '_>> {
        Box::pin(async {
            match self.open(None).await {
                Ok(connected) => Ok(connected),
                Err(PgError::Postgres(error)) => Err(error),
                // The pool can only pass on errors of PostgreSQL. The session that asked finds the cause in
                // `pooling`.
                Err(_) => nowhere().await,
            }
        })
    }
}

impl Connector {
    pub(super) fn new(target: &ConnectionTarget, options: &PostgresOptions) -> Self {
        let hosts = target.hosts.iter().map(|host| {
            let route = |(config, tls)| ServerRoute { config, tls, options: target.options.clone() };
            target.configs(host).into_iter().map(route).collect()
        });
        let lock_wait = milliseconds(LOCK_WAIT);
        let milliseconds = milliseconds(options.statement_timeout);
        // Should this process stand still inside a transaction, its locks are gone after a while. Our
        // statements are short: compiling them would take longer than running them. And each has an index
        // that was made for it: a plan made while the table was small, or by statistics of yesterday, must
        // not read all of it or sort all that waits. So they are planned once, too.
        let settings = format!(
            "set statement_timeout = {milliseconds}; set lock_timeout = {lock_wait}; \
             set idle_in_transaction_session_timeout = {milliseconds}; set jit = off; \
             set enable_seqscan = off; set enable_bitmapscan = off; set enable_hashjoin = off; \
             set enable_mergejoin = off; set plan_cache_mode = force_generic_plan",
        );
        Self { hosts: hosts.collect(), settings, pooling: Arc::default() }
    }

    /// Opens a connection; the payloads of notifications that arrive on it go to `notifications`.
    pub(super) async fn open(
        &self,
        notifications: Option<mpsc::Sender<String>>,
    ) -> Result<(Client, JoinHandle<()>), PgError> {
        let mut last = None;
        for routes in &self.hosts {
            for route in routes {
                match self.start(route, notifications.clone()).await {
                    Ok(Some(connected)) => return Ok(connected),
                    Ok(None) => return Err(SchemaError::Shared.into()),
                    Err(error) => {
                        // pg_hba.conf may want TLS, or none, and a handshake may fail: what allow and prefer
                        // try next.
                        let refused = error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION);
                        let next = refused || tls::TlsFailure::of(&error).is_some();
                        last = Some(error);
                        if !next {
                            break;
                        }
                    }
                }
            }
        }
        match last {
            Some(error) => Err(error.into()),
            None => Ok(nowhere().await?),
        }
    }

    /// Opens a connection by one route; `None` where a pooler shares it with other clients: then nothing was
    /// set on it.
    async fn start(
        &self,
        route: &ServerRoute,
        notifications: Option<mpsc::Sender<String>>,
    ) -> Result<Option<(Client, JoinHandle<()>)>, Error> {
        let (client, task) = match notifications {
            None => route.connect(None).await?,
            Some(_) => route.listening().connect(notifications).await?,
        };
        if !self.pooling.admits(&client, route.connect(None)).await? {
            return Ok(None);
        }
        client.batch_execute(&self.settings).await?;
        route.set_options(&client).await?;
        Ok(Some((client, task)))
    }

    /// Opens a connection and sets nothing on it.
    pub(super) async fn connect(&self) -> Result<Client, Error> {
        let mut last = None;
        for route in self.hosts.iter().flatten() {
            match route.connect(None).await {
                Ok((client, _)) => return Ok(client),
                Err(error) => last = Some(error),
            }
        }
        match last {
            Some(error) => Err(error),
            None => Ok(nowhere().await?.0),
        }
    }

    /// Opens a connection that listens, outside the pool, and gives the payloads that arrive on it.
    pub(super) async fn listen(&self, this: InstanceId) -> Result<(Client, mpsc::Receiver<String>), PgError> {
        let (sender, heard) = mpsc::channel(NOTIFICATIONS_KEPT);
        let (client, _) = self.open(Some(sender)).await?;
        client.batch_execute(&listen_statements(this)).await?;
        Ok((client, heard))
    }
}

/// Gives the error of a connection without an address: the only way to make an error of tokio-postgres.
async fn nowhere() -> Result<(Client, JoinHandle<()>), Error> {
    ServerRoute { config: Config::new(), tls: None, options: None }.connect(None).await
}

fn refuses_options(error: &Error) -> bool {
    error.code() == Some(&SqlState::PROTOCOL_VIOLATION)
        && error.as_db_error().is_some_and(|error| error.message().contains("startup parameter"))
}

impl ServerRoute {
    /// The same route, for a connection whose name in pg_stat_activity says that it listens.
    fn listening(&self) -> Self {
        let Self { mut config, tls, options } = self.clone();
        let name = format!("{} (listens)", config.get_application_name().unwrap_or_default());
        config.application_name(name);
        Self { config, tls, options }
    }

    async fn connect(
        &self,
        notifications: Option<mpsc::Sender<String>>,
    ) -> Result<(Client, JoinHandle<()>), Error> {
        let Some(options) = &self.options else { return self.connect_as(&self.config, notifications).await };
        let mut config = self.config.clone();
        config.options(options);
        match self.connect_as(&config, notifications.clone()).await {
            // PgBouncer refuses `options` when a connection begins; they are set afterwards.
            Err(error) if refuses_options(&error) && options::settings(options).is_some() => {
                self.connect_as(&self.config, notifications).await
            }
            connected => connected,
        }
    }

    async fn connect_as(
        &self,
        config: &Config,
        notifications: Option<mpsc::Sender<String>>,
    ) -> Result<(Client, JoinHandle<()>), Error> {
        match &self.tls {
            None => {
                let (client, connection) = config.connect(NoTls).await?;
                Ok((client, tokio::spawn(serve(connection, notifications))))
            }
            Some(tls) => {
                let (client, connection) = config.connect(tls.clone()).await?;
                Ok((client, tokio::spawn(serve(connection, notifications))))
            }
        }
    }

    /// Sets what `options` says: a pooler may have refused it when the connection began, or passed over it in
    /// silence.
    async fn set_options(&self, client: &Client) -> Result<(), Error> {
        let settings = self.options.as_deref().and_then(options::settings);
        for (name, value) in settings.unwrap_or_default() {
            let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
            let sql = format!("select set_config({}, {}, false)", quoted(&name), quoted(&value));
            match client.batch_execute(&sql).await {
                // This setting can only be given when a connection begins.
                Err(error) if error.code() == Some(&SqlState::CANT_CHANGE_RUNTIME_PARAM) => {}
                set => set?,
            }
        }
        Ok(())
    }
}

/// Moves the bytes of a connection until it ends, and passes on the payloads of its notifications.
async fn serve<S, T>(mut connection: Connection<S, T>, notifications: Option<mpsc::Sender<String>>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match poll_fn(|context| connection.poll_message(context)).await {
            Some(Ok(AsyncMessage::Notification(notification))) => {
                if let Some(notifications) = &notifications {
                    // The listener may be gone: then the connection is about to end.
                    let _ = notifications.send(notification.payload().to_owned()).await;
                }
            }
            Some(Ok(AsyncMessage::Notice(notice))) => {
                tracing::info!("{}: {}", notice.severity(), excerpt(notice.message()));
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                tracing::debug!(error = PgError::from(error).describe(), "a connection to PostgreSQL ended");
                return;
            }
            None => return,
        }
    }
}

/// Makes a pool that connects when it is first used.
pub(super) fn pool(connector: Connector, options: &PostgresOptions) -> Pool {
    // Fast means that only the state of the socket is checked, without a round trip. Where a connection died
    // a moment ago, the call notices and takes another.
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let timeout = Some(options.pool_timeout);
    let config = PoolConfig {
        // Calls wait for a permit of `ConnectionLimit` instead: there are no more of them than places in the
        // pool.
        timeouts: Timeouts { wait: None, create: timeout, recycle: timeout },
        ..PoolConfig::new(options.pool_size.max(1))
    };
    let pooling = Arc::clone(&connector.pooling);
    let answers = Hook::async_fn(move |client: &mut ClientWrapper, metrics| {
        let pooling = Arc::clone(&pooling);
        Box::pin(async move {
            let last = metrics.recycled.unwrap_or(metrics.created);
            if pooling.answers(client, last).await {
                Ok(())
            } else {
                Err(HookError::message("the connection does not answer"))
            }
        })
    });
    Pool::builder(Manager::from_connect(Config::new(), connector, recycling))
        .config(config)
        .pre_recycle(answers)
        .runtime(Runtime::Tokio1)
        .build()
        .unwrap_or_else(|_| unreachable!("a pool with time-outs and a runtime can be built"))
}
