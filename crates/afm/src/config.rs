//! The configuration of the server.
//!
//! Every key has a default, and is read from environment variables, Flask configuration files and the command line:
//! see [`load`] for their order and [`EXAMPLE`] for the keys. Files are read, never run.
//!
//! ```
//! use slamon_afm::config::{Overrides, load};
//!
//! let args = Overrides { database_uri: Some("sqlite:///afm.db".parse()?), ..Overrides::default() };
//! let loaded = load(&args, &|name| (name == "AGENT_RETURN_TIME").then(|| "30".to_owned()))?;
//! assert_eq!(loaded.config.agent_return_time.as_secs(), 30);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! To add a key: a field and its default here, a row in `keys.rs`, a paragraph in `config.example.cfg`. Tests compare
//! the three.

mod database_uri;
mod error;
mod flask_file;
#[cfg(any(test, fuzzing))]
pub mod fuzzed;
mod keys;
mod layers;
mod log_level;
mod python;
mod raw_value;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use slamon_protocol::Limits;
use tracing::Level;

pub use database_uri::DatabaseUri;
pub use error::{ConfigError, Origin};
pub use layers::load;

/// A configuration file with every key, its default and what it means.
pub const EXAMPLE: &str = include_str!("../../../config.example.cfg");

/// What the help of the command line says of settings: where they are given, and what they are called.
pub(crate) fn help() -> String {
    let mut help = "Settings are lines KEY = VALUE of a Flask configuration file, which --config or the environment \
                    variable\nSLAMON_AFM_CFG names, or environment variables of the same names. \
                    config.example.cfg, which comes with the\nsource, has the default and the meaning of each:\n"
        .to_owned();
    let mut width = 100;
    for key in &keys::KEYS {
        if width > 80 {
            help.push_str("\n ");
            width = 1;
        }
        help.push(' ');
        help.push_str(key.name);
        width += key.name.len() + 1;
    }
    help
}

/// How the server runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `SQLALCHEMY_DATABASE_URI`: where the tasks are. Not checked here: the store knows what it can open.
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
    /// `TASK_TIMEOUT_DEFAULT`: how long an attempt may take of a task that names no `task_timeout`; `None`: for ever.
    pub task_timeout_default: Option<Duration>,
    /// `TASK_RETENTION`: after which a finished task is deleted; `None`: it is kept.
    pub task_retention: Option<Duration>,
    /// `MAX_CONTENT_LENGTH`: the longest request body, in bytes; at least 1.
    pub max_content_length: usize,
    /// `MAX_NAME_LENGTH` and `MAX_CAPABILITIES`: how long names may be, in bytes, and how many capabilities an agent may
    /// have; each at least 1.
    pub limits: Limits,
    /// `REQUEST_TIMEOUT`: the longest a request may take; more than zero.
    pub request_timeout: Duration,
    /// `SHUTDOWN_TIMEOUT`: how long running requests may go on once the server is told to stop; more than zero.
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
            request_timeout: Duration::from_secs(30),
            shutdown_timeout: Duration::from_secs(10),
            log_file: None,
            log_level: Level::INFO,
            log_format: LogFormat::Text,
            statsd_host: None,
            statsd_port: 8125,
            statsd_prefix: "slamon.afm".to_owned(),
        }
    }
}

/// What a log line looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What the command line says about the configuration. It overrules everything else.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--config`: a file to read after the one that `SLAMON_AFM_CFG` names.
    pub config: Option<PathBuf>,
    /// `--database-uri`.
    pub database_uri: Option<DatabaseUri>,
}

/// A configuration, and what to say about it once there is a log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Where the database URI came from: an option, a variable, or a line of a file and its key.
    pub database_uri_name: String,
    /// What the user should know, each on one line, without secrets.
    pub warnings: Vec<String>,
    /// The files that were read, in the order they were.
    pub files: Vec<PathBuf>,
}
