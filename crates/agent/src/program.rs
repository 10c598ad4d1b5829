//! The program: what it is told by its command line, its environment and its file, and how it begins.

mod command_line;
mod file;
mod health;
mod logging;
mod settings;
mod state_folder;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{CommandFactory, Parser};
use slamon_command_line::without_environment;

use command_line::{CommandLine, Subcommand};
use settings::Settings;

/// Runs the program.
pub(crate) fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("slamon-agent: {}", sentence(&problem));
            ExitCode::FAILURE
        }
    }
}

/// An error and what caused it, which some errors tell by themselves.
fn sentence(problem: &anyhow::Error) -> String {
    let mut sentence = String::new();
    for cause in problem.chain().map(ToString::to_string) {
        if sentence.is_empty() {
            sentence = cause;
        } else if !sentence.ends_with(&cause) {
            sentence = format!("{sentence}: {cause}");
        }
    }
    sentence
}

fn run() -> Result<()> {
    let arguments = command_line::arguments(std::env::args_os(), |name| std::env::var(name).ok());
    let read = CommandLine::try_parse_from(&arguments);
    let CommandLine { config, options, subcommand } =
        read.unwrap_or_else(|error| without_environment(error, CommandLine::command(), arguments).exit());
    match subcommand {
        Some(Subcommand::Handlers) => return print_handlers(),
        Some(Subcommand::Health(health)) => return health.ask(),
        Some(Subcommand::Completions(completions)) => return Ok(completions.print(CommandLine::command())?),
        Some(Subcommand::Man(man)) => return Ok(man.write(CommandLine::command())?),
        None => {}
    }
    let file = match &config {
        Some(path) => file::read(path)?,
        None => file::File::default(),
    };
    let settings = Settings::of(options, file)?;
    logging::begin(settings.verbosity)?;
    settings.warn();
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = threads.context("could not start the threads of the agent")?;
    let agent = settings.agent()?;
    let ended = runtime.block_on(agent.run());
    // A name that is being looked up can take long, and nobody waits for it any more.
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(ended?)
}

fn print_handlers() -> Result<()> {
    let schemas = slamon_agent::handlers::schemas();
    let schemas = format!("{}\n", serde_json::to_string_pretty(&schemas)?);
    Ok(slamon_command_line::print(schemas.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let cause = || std::io::Error::other("it is a directory");
        let told = slamon_agent::AgentError::Spool { path: "/tmp".into(), cause: cause() };
        assert_eq!(sentence(&told.into()), "could not open the spool /tmp: it is a directory");
        let context = anyhow::Error::from(cause()).context("ca-file");
        assert_eq!(sentence(&context), "ca-file: it is a directory");
    }
}
