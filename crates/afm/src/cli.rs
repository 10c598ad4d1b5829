//! The command line, as that of slamon-afm 1.1.0.

mod demo;
mod resource_limits;
mod run;
mod signals;
mod tables;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand};
use tokio::runtime::Runtime;
use tracing::Level;

use crate::config::{self, DatabaseUri, Loaded, Overrides};
use crate::database::{Database, DatabaseKind};
use crate::logging::{self, LogWriter, repeats};
use crate::metrics;

/// The database of the demo.
const IN_MEMORY: &str = "sqlite://";

/// The exit status that says that the arguments or the configuration are wrong and nothing was started.
const BAD_ARGUMENTS: u8 = 2;

/// SLAMon Agent Fleet Manager
#[derive(Debug, Parser)]
#[command(name = "slamon-afm", version, infer_long_args = true, after_help = config::help())]
struct CliArguments {
    /// Where tasks are kept: sqlite:///FILE, sqlite:// (in memory, the default) or
    /// postgresql://USER@HOST/NAME
    #[arg(long, value_name = "URI", global = true)]
    database_uri: Option<String>,
    /// Read settings from a file of KEY = value lines
    #[arg(long, short, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Subcommands>,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    /// Listen for BPMS clients and agents
    Run(run::Address),
    /// Show it all: an AFM in memory, three agents, and tasks that watch a site; until Ctrl-C
    Demo(run::Address),
    /// Create the tables, or bring those of an earlier version, or of slamon-afm 1.1.0, up to this one
    CreateTables,
    /// Drop the tables, with everything in them
    DropTables,
}

/// Runs the program and gives its exit status: 0 done, 1 failed, 2 wrong arguments or configuration.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match CliArguments::try_parse() {
        Ok(arguments) => arguments,
        // An argument in the wrong place is quoted in the message, and may hold a password.
        Err(error) if error.use_stderr() && error.to_string().contains("://") => {
            say("slamon-afm: a URI (not shown) stands where none belongs; \
                 the database goes to --database-uri URI");
            return ExitCode::from(BAD_ARGUMENTS);
        }
        Err(error) => error.exit(),
    };
    let Some(command) = arguments.command else {
        // As the original does: help, and a status that says that nothing was done.
        let _ = CliArguments::command().print_help();
        return ExitCode::FAILURE;
    };
    if let Subcommands::Run(address) | Subcommands::Demo(address) = &command
        && let Err(problem) = address.host_and_port()
    {
        say(&format!("slamon-afm: {problem}"));
        return ExitCode::from(BAD_ARGUMENTS);
    }
    // The runtime starts before anything is written, because the log may have reached the size limit, too.
    let runtime = match start_runtime() {
        Ok(runtime) => runtime,
        Err(problem) => {
            say(&format!("slamon-afm: {problem}"));
            return ExitCode::FAILURE;
        }
    };
    let is_demo = matches!(command, Subcommands::Demo(_));
    let database_uri = if is_demo { Some(IN_MEMORY.to_owned()) } else { arguments.database_uri };
    let overrides = Overrides { config: arguments.config, database_uri: database_uri.map(DatabaseUri::new) };
    let configured = configure(&overrides, is_demo).and_then(|(loaded, database, log)| {
        if matches!(command, Subcommands::CreateTables) && database.kind == DatabaseKind::Memory {
            return Err(tables::IN_MEMORY.to_owned());
        }
        Ok((loaded, database, log))
    });
    let (loaded, database, log) = match configured {
        Ok(configured) => configured,
        Err(problem) => {
            say(&format!("slamon-afm: {problem}"));
            return ExitCode::from(BAD_ARGUMENTS);
        }
    };
    // The log is flushed also when this function panics.
    let _flush = log.flush_at_end();
    if let Some(path) = &loaded.config.log_file {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        say(&format!("slamon-afm: log lines go to {}", path.display()));
    }
    for file in &loaded.files {
        tracing::info!(file = %file.display(), "settings read");
    }
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let done = runtime.block_on(async {
        match command {
            Subcommands::Run(address) => {
                run::run(&address, &loaded.config, database, log.clone(), |_| {}).await
            }
            Subcommands::Demo(address) => demo::run(&address, &loaded.config, database, log.clone()).await,
            Subcommands::CreateTables => tables::create(&database).await,
            Subcommands::DropTables => tables::drop(&database).await,
        }
    });
    // A thread that still waits for a database must not keep the program from its end.
    runtime.shutdown_background();
    let status = match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            if loaded.config.log_file.is_some() {
                say(&format!("slamon-afm: {error:#}"));
            }
            ExitCode::FAILURE
        }
    };
    repeats::finish();
    status
}

fn configure(overrides: &Overrides, is_demo: bool) -> Result<(Loaded, Database, LogWriter), String> {
    let mut loaded = config::load(overrides, &|key| std::env::var(key).ok()).map_err(|e| e.to_string())?;
    if is_demo {
        // What the demo prints would drown in what it does.
        loaded.config.log_level = loaded.config.log_level.min(Level::ERROR);
    }
    let database = Database::open(&loaded)?;
    let log = logging::start(&loaded.config).map_err(|e| format!("{e:#}"))?;
    metrics::start(&loaded.config)?;
    Ok((loaded, database, log))
}

fn start_runtime() -> io::Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let _entered = runtime.enter();
    resource_limits::outlive_size_limit()?;
    Ok(runtime)
}

/// Whoever started the program has this long to read a line.
const SAY: Duration = Duration::from_secs(1);

/// Writes a line for whoever started the program. If even that cannot be written, there is nobody left to
/// tell.
fn say(line: &str) {
    let line = format!("{line}\n");
    let (said, is_said) = mpsc::channel();
    // On a thread of its own, since standard error may be a pipe that nobody reads.
    let speaker = thread::Builder::new().spawn(move || {
        let _ = std::io::stderr().write_all(line.as_bytes());
        let _ = said.send(());
    });
    if speaker.is_ok() {
        let _ = is_said.recv_timeout(SAY);
    }
}
