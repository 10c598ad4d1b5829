//! Commands that ask an AFM over HTTP, wherever it runs. They read no configuration of an AFM and open no database.

mod agents;
mod arguments;
mod change;
mod connection;
mod failure;
mod filter;
mod health;
mod list;
mod new_task;
mod one_test;
mod output;
mod overview;
mod pages;
mod post;
mod show_task;
pub(super) mod table;
pub(super) mod terminal_text;
mod top;
mod types;
mod wait;
mod words;

use std::process::ExitCode;

use clap::Subcommand;
use slamon_client::Change;

use failure::{EXIT_STATUS, Ending, Failure};
use output::{Output, tell};

/// Commands that ask an AFM.
#[derive(Debug, Subcommand)]
pub(super) enum ClientCommand {
    /// Post tasks, wait for them, list, cancel and repeat them
    #[command(subcommand, after_help = EXIT_STATUS)]
    Task(Box<TaskCommand>),
    /// List agents, show one, pause, resume or forget it
    #[command(after_help = EXIT_STATUS)]
    Agents(Box<agents::Agents>),
    /// List types of tasks, pause or resume one
    #[command(after_help = EXIT_STATUS)]
    Types(Box<types::Types>),
    /// Show the tasks of a test, and what they say together
    #[command(after_help = EXIT_STATUS)]
    Tests(one_test::OneTest),
    /// Show what waits and runs, and what happened in the last hour
    #[command(after_help = EXIT_STATUS)]
    Status(overview::Status),
    /// Say whether the AFM is ready to take tasks; for those who watch over it, such as HEALTHCHECK of a container
    #[command(after_help = EXIT_STATUS)]
    Health(health::Health),
    /// Show that live: each second anew, until q. Without a terminal, once
    #[command(after_help = EXIT_STATUS)]
    Top(top::Top),
}

/// What is done with tasks.
#[derive(Debug, Subcommand)]
pub(super) enum TaskCommand {
    /// Post a task, or the tasks of a file
    #[command(after_help = EXIT_STATUS)]
    Post(post::Post),
    /// Show a task
    #[command(after_help = EXIT_STATUS)]
    Get(wait::Get),
    /// Wait until a task has ended, and show it
    #[command(after_help = EXIT_STATUS)]
    Wait(wait::Wait),
    /// End tasks that have not ended
    #[command(after_help = EXIT_STATUS)]
    Cancel(change::ChangeTasks),
    /// List tasks
    #[command(after_help = EXIT_STATUS)]
    List(list::List),
    /// Post tasks again that ended without a result
    #[command(after_help = EXIT_STATUS)]
    Retry(change::ChangeTasks),
}

/// Does what a command says, and gives the exit status.
pub(super) fn run(command: &ClientCommand) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(problem) => {
            tell(&problem.to_string());
            return ExitCode::FAILURE;
        }
    };
    let mut out = Output::new();
    let ended = runtime.block_on(run_command(command, &mut out));
    let failure = match (ended, out.flush()) {
        // Whoever reads no more has read enough.
        (Ok(ending), Ok(()) | Err(Failure::Closed)) => return ending.into(),
        (Err(failure), _) | (Ok(_), Err(failure)) => failure,
    };
    if !matches!(failure, Failure::Closed) {
        tell(&failure.to_string());
    }
    failure.exit_code()
}

async fn run_command(command: &ClientCommand, out: &mut Output) -> Result<Ending, Failure> {
    match command {
        ClientCommand::Task(command) => match &**command {
            TaskCommand::Post(post) => post.run(out).await,
            TaskCommand::Get(get) => get.run(out).await,
            TaskCommand::Wait(wait) => wait.run(out).await,
            TaskCommand::Cancel(change) => change.run(Change::Cancel, out).await,
            TaskCommand::List(list) => list.run(out).await,
            TaskCommand::Retry(change) => change.run(Change::Retry, out).await,
        },
        ClientCommand::Agents(agents) => agents.run(out).await,
        ClientCommand::Types(types) => types.run(out).await,
        ClientCommand::Tests(test) => test.run(out).await,
        ClientCommand::Status(status) => status.run(out).await,
        ClientCommand::Health(health) => health.run(out).await,
        ClientCommand::Top(top) => top.run(out).await,
    }
}
