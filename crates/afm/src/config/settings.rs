//! Every setting, with its default.

use std::path::PathBuf;
use std::time::Duration;

use slamon_protocol::Limits;
use tracing::Level;

use super::database_uri::DatabaseUri;

/// The configuration of the server.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `SQLALCHEMY_DATABASE_URI`: where tasks are kept. It is checked when the store is opened.
    pub database_uri: DatabaseUri,
    /// `SQLALCHEMY_POOL_SIZE`: connections to the database, at least 1.
    pub pool_size: usize,
    /// `SQLALCHEMY_POOL_TIMEOUT`: how long a request waits for a connection; more than zero.
    pub pool_timeout: Duration,
    /// `SQLALCHEMY_ECHO`: log SQL statements at debug level.
    pub echo: bool,
    /// `AUTO_CREATE`: create or migrate tables at start.
    pub auto_create: bool,
    /// `AUTO_CLEANUP`: watch over lost agents and their tasks.
    pub auto_cleanup: bool,
    /// `AGENT_RETURN_TIME`: until an agent's next poll; may be zero.
    pub agent_return_time: Duration,
    /// `AGENT_ACTIVE_THRESHOLD`: after which a silent agent counts as lost; more than zero.
    pub agent_active_threshold: Duration,
    /// `AGENT_DROP_THRESHOLD`: after which a lost agent is forgotten; at least the active threshold.
    pub agent_drop_threshold: Duration,
    /// `TASK_TIMEOUT_DEFAULT`: how long an attempt may take of a task that names no `task_timeout`; `None`:
    /// for ever.
    pub task_timeout_default: Option<Duration>,
    /// `TASK_RETENTION`: after which a finished task is deleted; `None`: it is kept.
    pub task_retention: Option<Duration>,
    /// `MAX_CONTENT_LENGTH`: the longest request body, in bytes; at least 1.
    pub max_content_length: usize,
    /// `MAX_NAME_LENGTH` and `MAX_CAPABILITIES`: how long names may be, in bytes, and how many capabilities
    /// an agent may have; each at least 1.
    pub limits: Limits,
    /// `AUTH_REQUIRED`: whether requests need a token.
    pub auth_required: bool,
    /// `SHARED_READ`: whether requests that only read need none all the same.
    pub shared_read: bool,
    /// `REQUEST_TIMEOUT`: the longest a request may take; more than zero.
    pub request_timeout: Duration,
    /// `SHUTDOWN_TIMEOUT`: how long running requests may go on once the server is told to stop; more than
    /// zero.
    pub shutdown_timeout: Duration,
    /// `LOG_FILE`: the file that log lines are appended to, or standard error.
    pub log_file: Option<PathBuf>,
    /// `LOG_LEVEL`: the least severe level that is logged.
    pub log_level: Level,
    /// `LOG_FORMAT`: what a log line looks like.
    pub log_format: LogFormat,
    /// `STATSD_HOST`: where metrics are sent, or nowhere.
    pub statsd_host: Option<String>,
    /// `STATSD_PORT`: the UDP port on that host, from 1.
    pub statsd_port: u16,
    /// `STATSD_PREFIX`: what the names of metrics begin with.
    pub statsd_prefix: String,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`: the URL of the collector that spans are sent to, or nowhere.
    pub otlp_endpoint: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            database_uri: DatabaseUri::new("sqlite://"),
            pool_size: 5,
            pool_timeout: Duration::from_secs(10),
            echo: false,
            auto_create: true,
            auto_cleanup: true,
            agent_return_time: Duration::from_secs(60),
            agent_active_threshold: Duration::from_secs(300),
            agent_drop_threshold: Duration::from_secs(3600),
            task_timeout_default: None,
            task_retention: None,
            max_content_length: 1024 * 1024,
            limits: Limits::default(),
            auth_required: false,
            shared_read: false,
            request_timeout: Duration::from_secs(30),
            shutdown_timeout: Duration::from_secs(10),
            log_file: None,
            log_level: Level::INFO,
            log_format: LogFormat::Text,
            statsd_host: None,
            statsd_port: 8125,
            statsd_prefix: "slamon.afm".to_owned(),
            otlp_endpoint: None,
        }
    }
}

/// What a log line looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text, for people.
    Text,
    /// One JSON object a line.
    Json,
}
