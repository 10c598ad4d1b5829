//! The agent: what it is, and how it is made.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::afm::Afm;
use crate::context::Context;
use crate::delivery::Delivery;
use crate::executor::Executor;
use crate::failure::Failure;
use crate::handler::{Handler, Handlers};
use crate::handlers::{Environment, built_in};
use crate::identity::{Identity, IdentityError};
use crate::location::Location;
use crate::metrics::Metrics;
use crate::run::Run;
use crate::spool::Spool;
use slamon_client::{ConnectError, ConnectOptions};

/// An agent: it polls an AFM for tasks that its handlers can execute, and reports what came out.
#[derive(Debug)]
pub struct Agent {
    urls: Vec<String>,
    name: String,
    location: Option<Location>,
    executors: usize,
    handlers: Handlers,
    options: ConnectOptions,
    id_file: Option<PathBuf>,
    spool: Option<PathBuf>,
    default_wait: Duration,
    longest_poll: Duration,
    shutdown_limit: Duration,
    monitoring: Option<String>,
}

/// Why an agent cannot run.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// An AFM cannot be spoken to as it was asked for.
    #[error(transparent)]
    Afm(#[from] ConnectError),
    /// It has no id.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The folder for results that are not delivered cannot be used.
    #[error("could not open the spool {}: {cause}", path.display())]
    Spool {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: std::io::Error,
    },
    /// It cannot answer those who watch over it.
    #[error("listen: could not listen on {address}: {cause}")]
    Listen {
        /// The address that was asked for.
        address: String,
        /// What the system says.
        #[source]
        cause: std::io::Error,
    },
    /// It cannot count.
    #[error("could not make the metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// It can do nothing.
    #[error("the agent has no handlers: there is nothing that it could be handed")]
    NoHandlers,
    /// A handler was named that the agent does not come with.
    #[error("there is no handler {name:?}; there are {known}")]
    UnknownHandler {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
}

impl Agent {
    /// An agent of the AFM at `url`, with a new id whenever it runs, and results kept in memory.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            urls: vec![url.into()],
            name: "slamon-agent".to_owned(),
            location: None,
            executors: 2,
            handlers: Handlers::new(),
            options: ConnectOptions::default(),
            id_file: None,
            spool: None,
            default_wait: Duration::from_secs(60),
            longest_poll: Duration::from_secs(50),
            shutdown_limit: Duration::from_secs(30),
            monitoring: None,
        }
    }

    /// Adds another address of the same fleet, for when those before it are away.
    #[must_use]
    pub fn or_url(mut self, url: impl Into<String>) -> Self {
        self.urls.push(url.into());
        self
    }

    /// Adds a handler: an async function from input to output that executes tasks of a type and version. Of each type
    /// the last version counts, since an agent can name one.
    #[must_use]
    pub fn handler<I, O, F, R>(mut self, task_type: impl Into<String>, version: i64, function: F) -> Self
    where
        I: DeserializeOwned,
        O: Serialize,
        F: Fn(I, Context) -> R + Send + Sync + 'static,
        R: Future<Output = Result<O, Failure>> + Send + 'static,
    {
        self.handlers.insert(task_type.into(), Handler::new(version, function));
        self
    }

    /// Adds the handlers that the agent comes with: those that `names` says, or all of them.
    ///
    /// # Errors
    /// Names the handler that there is not.
    pub fn built_in(
        mut self,
        names: Option<&[String]>,
        environment: &Arc<Environment>,
    ) -> Result<Self, AgentError> {
        let built_in = built_in();
        let is_unknown = |name: &&String| !built_in.iter().any(|handler| handler.name == **name);
        if let Some(unknown) = names.unwrap_or_default().iter().find(is_unknown) {
            let known = built_in.iter().map(|handler| handler.name).collect::<Vec<_>>().join(", ");
            return Err(AgentError::UnknownHandler { name: unknown.clone(), known });
        }
        for handler in built_in {
            if names.is_none_or(|names| names.iter().any(|name| name == handler.name)) {
                self.handlers.insert(handler.name.to_owned(), handler.handler(Arc::clone(environment)));
            }
        }
        Ok(self)
    }

    /// What people know the agent by.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Where the agent is.
    #[must_use]
    pub fn location(mut self, location: Location) -> Self {
        self.location = Some(location);
        self
    }

    /// How many tasks are executed at the same time; one at least.
    #[must_use]
    pub fn executors(mut self, executors: usize) -> Self {
        self.executors = executors.max(1);
        self
    }

    /// How the AFMs are spoken to.
    #[must_use]
    pub fn options(mut self, options: ConnectOptions) -> Self {
        self.options = options;
        self
    }

    /// Keeps the agent's id in a file, so that a restarted agent is the same agent.
    #[must_use]
    pub fn id_file(mut self, path: impl AsRef<Path>) -> Self {
        self.id_file = Some(path.as_ref().to_owned());
        self
    }

    /// Keeps results that are not delivered yet in a folder, so that a restart loses none.
    #[must_use]
    pub fn spool(mut self, folder: impl AsRef<Path>) -> Self {
        self.spool = Some(folder.as_ref().to_owned());
        self
    }

    /// How long to wait for the next poll where the AFM does not say, and at most after a problem.
    #[must_use]
    pub fn default_wait(mut self, wait: Duration) -> Self {
        self.default_wait = wait;
        self
    }

    /// How long a poll may wait for tasks at an AFM that can hold it; proxies in between must allow a little more.
    #[must_use]
    pub fn longest_poll(mut self, wait: Duration) -> Self {
        self.longest_poll = wait;
        self
    }

    /// How long tasks may go on, and results be delivered, once the agent is asked to stop.
    #[must_use]
    pub fn shutdown_limit(mut self, limit: Duration) -> Self {
        self.shutdown_limit = limit;
        self
    }

    /// Answers `/metrics`, `/healthz` and `/readyz` at an address, like `127.0.0.1:9100`.
    #[must_use]
    pub fn monitoring(mut self, address: impl Into<String>) -> Self {
        self.monitoring = Some(address.into());
        self
    }

    /// Runs until the process is asked to end by SIGTERM or SIGINT. A second one ends it at once; what is not delivered
    /// then is in the folder of [`Agent::spool`].
    ///
    /// # Errors
    /// When the agent cannot begin: [`AgentError`] says why. What goes wrong later is logged, and tried again.
    pub async fn run(self) -> Result<(), AgentError> {
        let mut signals = Signals::listen();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let told_twice = async move {
            signals.next().await;
            stop.cancel();
            signals.next().await;
        };
        tokio::select! {
            ended = self.run_until(stopped.cancelled_owned()) => ended,
            () = told_twice => {
                tracing::warn!("the agent ends at once: it was told to a second time");
                Ok(())
            }
        }
    }

    /// Runs until `stop` ends.
    ///
    /// # Errors
    /// As [`Agent::run`].
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> Result<(), AgentError> {
        if self.handlers.is_empty() {
            return Err(AgentError::NoHandlers);
        }
        let afm = Afm::new(&self.urls, &self.options)?;
        let identity = self.id_file.as_deref().map(Identity::open).transpose()?;
        let spool = match &self.spool {
            Some(path) => {
                Spool::open(path).map_err(|cause| AgentError::Spool { path: path.clone(), cause })?
            }
            None => Spool::in_memory(),
        };
        let monitoring = match self.monitoring {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        // A poll is answered by then, or one after it.
        let silence = 2 * self.default_wait.max(self.longest_poll) + Duration::from_secs(30);
        let metrics = Arc::new(Metrics::new(silence)?);
        let handlers = Arc::new(self.handlers);
        let executor = Executor::new(self.executors, Arc::clone(&handlers), Arc::clone(&metrics));
        let run = Run {
            afm,
            agent_id: identity.as_ref().map_or_else(Uuid::new_v4, |identity| identity.id),
            name: self.name,
            location: self.location,
            executor: Arc::new(executor),
            handlers,
            delivery: Arc::new(Delivery::new(spool, Arc::clone(&metrics))),
            metrics,
            monitoring,
            default_wait: self.default_wait,
            longest_poll: self.longest_poll,
            shutdown_limit: self.shutdown_limit,
        };
        run.until(stop).await;
        Ok(())
    }
}

async fn listen(address: String) -> Result<TcpListener, AgentError> {
    let listener = TcpListener::bind(&address).await;
    let listener = listener.map_err(|cause| AgentError::Listen { address, cause })?;
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "answering /metrics and /healthz");
    }
    Ok(listener)
}

/// What asks a process to end.
struct Signals {
    terminate: Option<Signal>,
    interrupt: Option<Signal>,
}

impl Signals {
    /// Listens from now on.
    fn listen() -> Self {
        let listen = |kind| match signal(kind) {
            Ok(signal) => Some(signal),
            Err(problem) => {
                tracing::error!(%problem, "could not listen for signals: the agent ends at once when it is told to");
                None
            }
        };
        Self { terminate: listen(SignalKind::terminate()), interrupt: listen(SignalKind::interrupt()) }
    }

    async fn next(&mut self) {
        async fn of(signal: Option<&mut Signal>) {
            match signal {
                Some(signal) => drop(signal.recv().await),
                None => std::future::pending().await,
            }
        }
        tokio::select! { () = of(self.terminate.as_mut()) => {}, () = of(self.interrupt.as_mut()) => {} }
    }
}
