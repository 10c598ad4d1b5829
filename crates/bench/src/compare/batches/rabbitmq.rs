//! A RabbitMQ of our own: on free ports of 127.0.0.1, in a temporary folder, under a name of its own.

use std::env;
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use slamon_testbed::{Process, free_port};
use tempfile::TempDir;

/// Far beyond what it needs to start.
const START: Duration = Duration::from_secs(120);

/// Between two looks whether it answers.
const AGAIN: Duration = Duration::from_millis(100);

/// Where Debian keeps the program itself; what is in PATH changes its user first.
const PROGRAM: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

const MISSING: &str = "RabbitMQ is not there: apt-get install --no-install-recommends rabbitmq-server, and stop the \
                       service that it may have started";

/// A node that runs; it dies with this value.
#[derive(Debug)]
pub(crate) struct RabbitMq {
    port: u16,
    // In the order in which they go.
    _node: Process,
    _names: Process,
    _folder: TempDir,
}

/// The programs of the node and of its names' server.
///
/// # Errors
/// When it is not installed; says how to.
pub(crate) fn find() -> Result<(PathBuf, PathBuf)> {
    let path = env::var_os("PATH").unwrap_or_default();
    let names = env::split_paths(&path).map(|folder| folder.join("epmd")).find(|file| file.is_file());
    let server = Path::new(PROGRAM);
    ensure!(server.is_file(), MISSING);
    Ok((server.to_owned(), names.context(MISSING)?))
}

impl RabbitMq {
    /// Starts one and waits until it takes connections.
    ///
    /// # Errors
    /// When it does not; with what it printed.
    pub(crate) fn start(scratch: &Path) -> Result<Self> {
        let (server, names) = find()?;
        let folder = TempDir::new_in(scratch)?;
        let [port, between_nodes, of_names] =
            [free_port(), free_port(), free_port()].map(|port| port.to_string());
        let file = |name: &str| folder.path().join(name).display().to_string();
        let config = format!(
            "listeners.tcp.1 = 127.0.0.1:{port}\ndistribution.listener.interface = 127.0.0.1\n\
             distribution.listener.port_range.min = {between_nodes}\n\
             distribution.listener.port_range.max = {between_nodes}\nlog.console = true\n\
             log.console.level = warning\n"
        );
        fs::write(file("rabbitmq.conf"), config)?;
        fs::write(file("plugins"), "[].\n")?;
        fs::write(file("env.conf"), "")?;
        let env = [
            ("HOME", folder.path().display().to_string()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            ("ERL_EPMD_PORT", of_names.clone()),
            ("RABBITMQ_NODENAME", format!("slamon-bench-{port}@localhost")),
            ("RABBITMQ_DIST_PORT", between_nodes.clone()),
            ("RABBITMQ_CONFIG_FILE", file("rabbitmq.conf")),
            ("RABBITMQ_CONF_ENV_FILE", file("env.conf")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", file("plugins")),
            ("RABBITMQ_MNESIA_BASE", file("data")),
            ("RABBITMQ_LOG_BASE", file("log")),
            ("RABBITMQ_PID_FILE", file("pid")),
        ];
        let env: Vec<_> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
        // One that the node starts by itself would outlive it.
        let names = Process::start(&names, &["-address", "127.0.0.1", "-port", &of_names], &env)?;
        answers(&of_names, &names)?;
        let node = Process::start::<&str>(&server, &[], &env)?;
        answers(&port, &node)?;
        Ok(Self { port: port.parse()?, _node: node, _names: names, _folder: folder })
    }

    /// Where it takes connections.
    pub(crate) fn uri(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}", self.port)
    }
}

/// Waits until something listens on a port.
fn answers(port: &str, process: &Process) -> Result<()> {
    let began = Instant::now();
    let address = (Ipv4Addr::LOCALHOST, port.parse()?);
    while TcpStream::connect(address).is_err() {
        let said = || process.log_lines().join("\n");
        ensure!(!process.has_ended(), "RabbitMQ has ended:\n{}", said());
        ensure!(began.elapsed() < START, "RabbitMQ does not start:\n{}", said());
        thread::sleep(AGAIN);
    }
    Ok(())
}
