//! The servers that are compared, as processes on ports of their own.

use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use slamon_testbed::{Process, free_port, original_afm};

use super::kind::Kind;
use super::place::Place;
use super::probe::until_answered;
use super::workshop::Workshop;

/// Far beyond what any server needs to start.
const START: Duration = Duration::from_secs(60);

/// Where a server runs whose load has a core of its own.
pub(crate) const SERVER_CORE: u32 = 0;
/// And its load.
pub(crate) const LOAD_CORE: u32 = 1;

/// A server that runs; it dies with this value.
#[derive(Debug)]
pub(crate) struct Server {
    process: Process,
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts one on what `place` holds and waits until it answers. With `core`, all of it runs on that one.
    ///
    /// # Errors
    /// When it does not; with what it printed.
    pub(crate) fn start(workshop: &Workshop, kind: Kind, place: &Place, core: Option<u32>) -> Result<Self> {
        let port = free_port();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let Command { program, args, env } = command(workshop, kind, place, address)?;
        let mut words = Vec::new();
        if let Some(core) = core {
            words.extend(["taskset".into(), "-c".into(), core.to_string().into()]);
        }
        words.push(program);
        words.extend(args);
        let env: Vec<_> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let process = Process::start(Path::new(&words[0]), &words[1..], &env)?;
        // The bare route has no status; that it says so is an answer.
        let (path, wanted) = if kind == Kind::Bare { ("/", 404) } else { ("/status", 200) };
        let ended = || process.has_ended();
        until_answered((address, path), wanted, Instant::now(), START, || !ended()).with_context(|| {
            let log = fs::read_to_string(place.log_file()).unwrap_or_default();
            format!("{} does not start:\n{}\n{log}", kind.label(), process.log_lines().join("\n"))
        })?;
        Ok(Self { process, kind, address })
    }

    /// The process that answers.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }
}

/// A server and its database, which go in this order.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) server: Server,
    _place: Place,
}

impl Running {
    /// A server on an empty database.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn start(workshop: &Workshop, kind: Kind) -> Result<Self> {
        let place = workshop.place(kind)?;
        let server = Server::start(workshop, kind, &place, None)?;
        Ok(Self { server, _place: place })
    }
}

/// A program, its arguments and its environment.
pub(crate) struct Command {
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(&'static str, String)>,
}

/// How a server is started.
///
/// # Errors
/// When the original is not installed.
pub(crate) fn command(
    workshop: &Workshop,
    kind: Kind,
    place: &Place,
    address: SocketAddr,
) -> Result<Command> {
    let log = place.log_file().display().to_string();
    let port = address.port().to_string();
    let words = |words: &[&str]| words.iter().map(Into::into).collect::<Vec<OsString>>();
    Ok(match kind {
        Kind::Bare => Command {
            program: workshop.itself().into(),
            args: words(&["bare", &address.to_string()]),
            env: Vec::new(),
        },
        Kind::Memory | Kind::File | Kind::Postgres => Command {
            program: workshop.ours().into(),
            args: words(&["--database-uri", place.uri(), "run", "127.0.0.1", &port]),
            env: vec![("LOG_FILE", log)],
        },
        Kind::Development => Command {
            program: original_afm()?.program("slamon-afm").into(),
            args: words(&[
                "--database-uri",
                place.uri(),
                "--config",
                &original_config(place)?,
                "run",
                "127.0.0.1",
                &port,
            ]),
            env: Vec::new(),
        },
        Kind::Gunicorn => Command {
            program: original_afm()?.program("gunicorn").into(),
            args: words(&["--workers", "4", "--bind", &address.to_string(), "slamon_afm.app:create_app()"]),
            env: vec![("SLAMON_AFM_CFG", original_config(place)?)],
        },
        Kind::Pgbench => anyhow::bail!("pgbench is no server"),
    })
}

/// A configuration file for the original: it logs to a file, as ours does.
fn original_config(place: &Place) -> Result<String> {
    let file = place.path("afm.cfg");
    let text = format!(
        "SQLALCHEMY_DATABASE_URI = {:?}\nLOG_FILE = {:?}\n",
        place.uri(),
        place.log_file().display().to_string()
    );
    fs::write(&file, text).context("cannot write the original's configuration")?;
    Ok(file.display().to_string())
}
