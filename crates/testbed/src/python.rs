//! The original AFM 1.1.0 and the original agent 1.1.0, from PyPI, in the environments that `scripts/setup-tests` builds.

use std::io::Write;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::NamedTempFile;

use crate::process::Process;

/// Far beyond what any machine needs; reached only when the program hangs.
const START: Duration = Duration::from_secs(60);

/// A virtual environment with one of the originals in it, or with a program that tests use.
#[derive(Debug)]
pub struct PythonEnv {
    folder: PathBuf,
}

impl PythonEnv {
    fn find(name: &str) -> Result<Self> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("no workspace")?;
        let folder = workspace.join(".venvs").join(name);
        // Written when everything is installed, not before.
        ensure!(
            folder.join("stamp").is_file(),
            "{} is missing or half built: run `make setup`",
            folder.display()
        );
        Ok(Self { folder })
    }

    /// One of its programs: `python`, `gunicorn`, `slamon-afm`, `slamon-agent`.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }
}

/// The environment of slamon-afm 1.1.0; gunicorn and psycopg2 are in it.
///
/// # Errors
///
/// When it has not been built; the error says how to.
pub fn original_afm() -> Result<&'static PythonEnv> {
    static AFM: OnceLock<PythonEnv> = OnceLock::new();
    once(&AFM, "afm-1.1.0")
}

/// The environment of slamon-agent 1.1.0.
///
/// # Errors
///
/// When it has not been built; the error says how to.
pub fn original_agent() -> Result<&'static PythonEnv> {
    static AGENT: OnceLock<PythonEnv> = OnceLock::new();
    once(&AGENT, "agent-1.1.0")
}

/// The environment of schemathesis, which tries an API by its OpenAPI document.
///
/// # Errors
///
/// When it has not been built; the error says how to.
pub fn schemathesis() -> Result<&'static PythonEnv> {
    static SCHEMATHESIS: OnceLock<PythonEnv> = OnceLock::new();
    once(&SCHEMATHESIS, "schemathesis")
}

fn once(cell: &'static OnceLock<PythonEnv>, name: &str) -> Result<&'static PythonEnv> {
    if let Some(found) = cell.get() {
        return Ok(found);
    }
    let found = PythonEnv::find(name)?;
    Ok(cell.get_or_init(|| found))
}

/// slamon-afm 1.1.0 in its own development server, which answers one request after the other. It dies with this value.
#[derive(Debug)]
pub struct OriginalAfm {
    process: Process,
    address: SocketAddr,
    _config: NamedTempFile,
}

impl OriginalAfm {
    /// Starts it on `database_uri`, with `extra_config` (keys and Python literals) as its configuration file, and waits until
    /// it answers; by then its tables are there.
    ///
    /// # Errors
    ///
    /// When it is not installed, or does not answer `/status` with 200; the error holds what it printed.
    pub fn start(database_uri: &str, extra_config: &[(&str, &str)]) -> Result<Self> {
        let mut config = NamedTempFile::new().context("no temporary file")?;
        for (key, literal) in extra_config {
            writeln!(config, "{key} = {literal}").context("cannot write the configuration")?;
        }
        let path = config.path().to_string_lossy();
        let args = ["--database-uri", database_uri, "--config", &path, "run", "127.0.0.1", "0"];
        let process = start(original_afm()?, "slamon-afm", &args)?;
        let address = process.find_line(START, running_on)?;
        let afm = Self { process, address, _config: config };
        // The tables are made by the first request.
        ureq::get(format!("{}/status", afm.url()))
            .config()
            .timeout_global(Some(START))
            .build()
            .call()
            .with_context(|| {
                // Its last lines may still be on their way.
                afm.kill9();
                format!("the original AFM does not answer:\n{}", afm.log_lines().join("\n"))
            })?;
        Ok(afm)
    }

    /// Its root, without a slash at the end: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Deref for OriginalAfm {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

/// slamon-agent 1.1.0 with its own handlers, `wait` and `url_http_status`, both version 1. It dies with this value; its log, at
/// level INFO, is at hand through [`Process`].
#[derive(Debug)]
pub struct OriginalAgent {
    process: Process,
}

impl OriginalAgent {
    /// Starts an agent of the AFM at `url` that runs up to `executors` tasks at once, and after a poll that failed waits
    /// `default_wait` seconds. Its first poll comes at once; this does not wait for it.
    ///
    /// # Errors
    ///
    /// When it is not installed.
    pub fn start(url: &str, executors: u32, default_wait: u32) -> Result<Self> {
        let (executors, default_wait) = (executors.to_string(), default_wait.to_string());
        let args = ["-u", url, "-l", "slamon_agent.handlers", "-x", &executors, "-w", &default_wait, "-v"];
        Ok(Self { process: start(original_agent()?, "slamon-agent", &args)? })
    }
}

impl Deref for OriginalAgent {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

fn start(python: &PythonEnv, program: &str, args: &[&str]) -> Result<Process> {
    Process::start(&python.program(program), args, &[("PYTHONUNBUFFERED", "1")])
}

/// The address in werkzeug's ` * Running on http://IP:PORT/ (Press CTRL+C to quit)`, printed once it listens.
fn running_on(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("Running on http://")?;
    rest.split('/').next()?.parse().ok()
}
