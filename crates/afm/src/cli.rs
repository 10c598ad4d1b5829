//! The command line: that of slamon-afm 1.1.0, and commands that ask an AFM.

mod client;
mod demo;
mod resource_limits;
mod run;
mod signals;
mod tables;
mod tokens;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};
use slamon_command_line::{Completions, Man, without_environment};
use tokio::runtime::Runtime;

use crate::config::{self, DatabaseUri, Loaded, Overrides};
use crate::database::{Database, DatabaseKind};
use crate::logging::{self, LogWriter, repeats};
use crate::metrics;
use tokens::TokenCommand;

/// The database of the demo.
const IN_MEMORY: &str = "sqlite://";

/// The exit status that says that the arguments or the configuration are wrong and nothing was started.
const BAD_ARGUMENTS: u8 = 2;

/// SLAMon Agent Fleet Manager
#[derive(Debug, Parser)]
#[command(name = "slamon-afm", version, infer_long_args = true, after_help = config::help())]
struct CliArguments {
    #[command(flatten)]
    server: ServerOptions,
    #[command(subcommand)]
    command: Option<Subcommands>,
}

/// What an AFM itself is told, before or after its subcommand.
#[derive(Debug, Default, Args)]
struct ServerOptions {
    /// Where tasks are kept: sqlite:///FILE, sqlite:// (in memory, the default) or
    /// postgresql://USER@HOST/NAME
    #[arg(long, value_name = "URI")]
    database_uri: Option<String>,
    /// Read settings from a file of KEY = value lines
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ServerOptions {
    /// These, and what they do not say as `others` do.
    fn or(self, others: Self) -> Self {
        Self {
            database_uri: self.database_uri.or(others.database_uri),
            config: self.config.or(others.config),
        }
    }
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    /// Listen for BPMS clients and agents
    Run {
        #[command(flatten)]
        address: run::Address,
        #[command(flatten)]
        options: ServerOptions,
    },
    /// Show it all: an AFM in memory, three agents, and tasks that watch a site; until Ctrl-C
    #[command(mut_arg("database_uri", |argument| argument.hide(true)))]
    Demo {
        #[command(flatten)]
        address: run::Address,
        #[command(flatten)]
        options: ServerOptions,
    },
    /// Create the tables, or bring those of an earlier version, or of slamon-afm 1.1.0, up to this one
    CreateTables(ServerOptions),
    /// Drop the tables, with everything in them. Does not ask, since scripts for slamon-afm 1.1.0 call it
    DropTables(ServerOptions),
    #[command(subcommand)]
    Token(TokenCommand),
    #[command(flatten)]
    Client(client::ClientCommand),
    /// Print what a shell needs to complete command lines
    Completions(Completions),
    /// Print the manual page, or write those of all commands into a folder
    Man(Man),
}

/// What an AFM does.
enum ServerCommand {
    Run(run::Address),
    Demo(run::Address),
    CreateTables,
    DropTables,
    Token(TokenCommand),
}

/// Runs the program and gives its exit status: 0 done, 1 failed, 2 wrong arguments or configuration. Commands that ask an
/// AFM have more of them.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match CliArguments::try_parse() {
        Ok(arguments) => arguments,
        // An argument in the wrong place is quoted in the message, and may hold a password.
        Err(error) if may_tell_password(&error) => {
            say("slamon-afm: a URI (not shown) stands where none belongs; the database goes to \
                 --database-uri URI, the address of an AFM to --url URL");
            return ExitCode::from(BAD_ARGUMENTS);
        }
        Err(error) => without_environment(error, CliArguments::command(), std::env::args_os()).exit(),
    };
    let CliArguments { server: before, command } = arguments;
    let (command, options) = match command {
        None => {
            // As the original does: help, and a status that says that nothing was done.
            let _ = CliArguments::command().print_help();
            return ExitCode::FAILURE;
        }
        Some(Subcommands::Run { address, options }) => (ServerCommand::Run(address), options.or(before)),
        Some(Subcommands::Demo { address, options }) => (ServerCommand::Demo(address), options.or(before)),
        Some(Subcommands::Token(mut command)) => {
            let options = command.take_options();
            if let Err(problem) = command.check() {
                say(&format!("slamon-afm: {problem}"));
                return ExitCode::from(BAD_ARGUMENTS);
            }
            (ServerCommand::Token(command), options.or(before))
        }
        Some(Subcommands::CreateTables(options)) => (ServerCommand::CreateTables, options.or(before)),
        Some(Subcommands::DropTables(options)) => (ServerCommand::DropTables, options.or(before)),
        Some(_) if before.database_uri.is_some() || before.config.is_some() => {
            say(
                "slamon-afm: --database-uri and --config are for run, create-tables, drop-tables and token; \
                 demo takes --config",
            );
            return ExitCode::from(BAD_ARGUMENTS);
        }
        Some(Subcommands::Client(command)) => return client::run(&command),
        Some(Subcommands::Completions(completions)) => {
            return written(completions.print(CliArguments::command()));
        }
        Some(Subcommands::Man(man)) => return written(man.write(CliArguments::command())),
    };
    if matches!(command, ServerCommand::Demo(_)) && options.database_uri.is_some() {
        say("slamon-afm: demo keeps its tasks in memory and takes no --database-uri");
        return ExitCode::from(BAD_ARGUMENTS);
    }
    if let ServerCommand::Run(address) | ServerCommand::Demo(address) = &command
        && let Err(problem) = address.host_and_port()
    {
        say(&format!("slamon-afm: {problem}"));
        return ExitCode::from(BAD_ARGUMENTS);
    }
    if let ServerCommand::Demo(_) = &command
        && let Err(problem) = demo::without_proxies()
    {
        say(&format!("slamon-afm: could not leave the proxies of the environment: {problem}"));
        return ExitCode::FAILURE;
    }
    serve(command, options)
}

/// Whether a message quotes an argument that stands in the wrong place, and may hold a password.
fn may_tell_password(error: &clap::Error) -> bool {
    let is_help = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    error.use_stderr() && !is_help && error.to_string().contains("://")
}

/// The exit status of a command that only writes.
fn written(done: io::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("slamon-afm: could not write: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Does what an AFM does.
fn serve(command: ServerCommand, options: ServerOptions) -> ExitCode {
    // The runtime starts before anything is written, because the log may have reached the size limit, too.
    let runtime = match start_runtime() {
        Ok(runtime) => runtime,
        Err(problem) => {
            say(&format!("slamon-afm: {problem}"));
            return ExitCode::FAILURE;
        }
    };
    let is_demo = matches!(command, ServerCommand::Demo(_));
    let database_uri = if is_demo { Some(IN_MEMORY.to_owned()) } else { options.database_uri };
    let overrides = Overrides { config: options.config, database_uri: database_uri.map(DatabaseUri::new) };
    let configured = configure(&overrides, is_demo).and_then(|(loaded, database, log)| {
        if database.kind == DatabaseKind::Memory {
            match &command {
                ServerCommand::CreateTables => return Err(tables::IN_MEMORY.to_owned()),
                ServerCommand::Token(_) => return Err(tokens::IN_MEMORY.to_owned()),
                ServerCommand::Run(_) | ServerCommand::Demo(_) | ServerCommand::DropTables => {}
            }
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
            ServerCommand::Run(address) => {
                run::run(&address, &loaded.config, database, log.clone(), |_| {}).await
            }
            ServerCommand::Demo(address) => demo::run(&address, &loaded.config, database, log.clone()).await,
            ServerCommand::CreateTables => tables::create(&database).await,
            ServerCommand::DropTables => tables::drop(&database).await,
            ServerCommand::Token(command) => {
                tokens::run(&command, &database, loaded.config.auto_create).await
            }
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
        demo::apply_defaults(&mut loaded.config);
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
